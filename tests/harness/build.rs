//! Where the programs are, of this build or of another.

use std::path::{Path, PathBuf};

/// The programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    pub gateway: PathBuf,
    pub runner: PathBuf,
    pub guest: PathBuf,
}

impl Build {
    /// As it is tested.
    #[must_use]
    pub fn own() -> Self {
        Self {
            gateway: program("river-gateway"),
            runner: program("river-runner"),
            guest: guest(),
        }
    }

    /// All in one folder.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self {
            gateway: folder.join("river-gateway"),
            runner: folder.join("river-runner"),
            guest: folder.join("river-guest"),
        }
    }
}

/// `debug`, or what `RIVER_PROFILE` says.
fn profile() -> String {
    std::env::var("RIVER_PROFILE").unwrap_or_else(|_| "debug".to_owned())
}

/// Where the build lies.
#[must_use]
pub fn target() -> PathBuf {
    // This program lies in target/PROFILE or target/PROFILE/deps. The tag that cargo leaves in a
    // target folder is no sign of it: where `make guest` came first, there is none.
    let own = std::env::current_exe().unwrap();
    let of_profile = |dir: &&Path| dir.ends_with("debug") || dir.ends_with("release");
    let found = own.ancestors().find(of_profile).and_then(Path::parent);
    found
        .expect("this program lies in target/debug or target/release")
        .to_owned()
}

/// One that was built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    target().join(profile()).join(name)
}

/// The static guest that was built.
#[must_use]
pub fn guest() -> PathBuf {
    let dir = target().join("guest/x86_64-unknown-linux-gnu");
    dir.join(profile()).join("river-guest")
}

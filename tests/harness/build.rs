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
    // This program lies in target/debug or target/debug/deps.
    let own = std::env::current_exe().unwrap();
    let found = own
        .ancestors()
        .find(|dir| dir.join("CACHEDIR.TAG").exists());
    found.unwrap().to_owned()
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

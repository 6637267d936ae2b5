//! `scripts/release.sh` with the programs that the tests run on.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::river::{guest, program};
use tempfile::TempDir;

/// What it made.
pub(super) struct Release {
    _dir: TempDir,
    pub(super) deb: PathBuf,
    pub(super) archive: PathBuf,
}

fn place(from: &Path, to: &Path, more: &str) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let mut bytes = std::fs::read(from).unwrap();
    bytes.extend_from_slice(more.as_bytes());
    std::fs::write(to, bytes).unwrap();
    std::fs::set_permissions(to, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Another `more` is another release: at the end of a program it changes nothing but its content.
pub(super) fn release(more: &str) -> Release {
    let version = if more.is_empty() { "0.1.0" } else { "0.1.0+1" };
    called(version, more)
}

/// … with this version in its names.
pub(super) fn called(version: &str, more: &str) -> Release {
    let dir = tempfile::tempdir().unwrap();
    let built = dir.path().join("target");
    for name in ["river-gateway", "river-runner", "river-forward"] {
        place(&program(name), &built.join("debug").join(name), more);
    }
    place(
        &guest(),
        &built.join("guest/x86_64-unknown-linux-gnu/debug/river-guest"),
        more,
    );
    make(&built, &dir.path().join("dist"), version);
    let named = |name: String| dir.path().join("dist").join(name);
    Release {
        deb: named(format!("river_{version}_amd64.deb")),
        archive: named(format!("river-{version}-x86_64.tar.gz")),
        _dir: dir,
    }
}

fn make(built: &Path, out: &Path, version: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(root.join("scripts/release.sh"))
        .args(["--profile", "debug", "--no-build", "--out"])
        .arg(out)
        .env("CARGO_TARGET_DIR", built)
        .env("RIVER_VERSION", version)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_release_is_whole_its_owners_are_nobodys_and_made_again_it_is_the_same() {
    let made = release("");
    let archive = made.archive.to_str().unwrap();
    let list = said("tar", &["tzvf", archive, "--numeric-owner"]);
    for (mode, path) in [
        ("-rwxr-xr-x", "bin/river-gateway"),
        ("-rwxr-xr-x", "bin/river-runner"),
        ("-rwxr-xr-x", "lib/river/river-guest"),
        ("-rw-r--r--", "lib/systemd/system/river-gateway.service"),
        ("-rw-r--r--", "lib/systemd/system/river-gateway.socket"),
        ("-rw-r--r--", "lib/systemd/system/river-runner.service"),
        ("-rw-r--r--", "share/man/man8/river-gateway.8"),
        ("-rw-r--r--", "share/man/man7/river.7"),
        ("-rw-r--r--", "share/doc/river/LICENSE"),
        ("-rw-r--r--", "share/doc/river/README.md"),
        ("-rw-r--r--", "share/doc/river/docs/operate.md"),
        ("-rw-r--r--", "share/doc/river/examples/gateway.toml"),
    ] {
        let end = format!("river-0.1.0-x86_64/{path}");
        let line = list.lines().find(|line| line.ends_with(&end));
        let line = line.unwrap_or_else(|| panic!("no {path}\n{list}"));
        assert!(line.starts_with(mode) && line.contains(" 0/0 "), "{line}");
    }
    let sums = std::fs::read_to_string(made.deb.with_file_name("river-0.1.0.sha256")).unwrap();
    assert_eq!(sums.lines().count(), 2);
    let again = release("");
    for (one, other) in [(&made.deb, &again.deb), (&made.archive, &again.archive)] {
        let same = std::fs::read(one).unwrap() == std::fs::read(other).unwrap();
        assert!(same, "{}", one.display());
    }
}

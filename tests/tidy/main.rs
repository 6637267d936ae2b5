//! Is the house in order: lengths, first lines, purity.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod commands;
mod docs;
mod man;
mod units;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let crates = [
        "cluster", "forward", "gateway", "keys", "runner", "shell", "tests", "tunnel",
    ];
    let mut look: Vec<PathBuf> = crates.iter().map(|name| root().join(name)).collect();
    while let Some(dir) = look.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn every_file_is_a_small_room_with_a_name_on_its_door() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{}: {lines} lines", path.display());
        assert!(
            text.starts_with("//!"),
            "{}: its first line says nothing",
            path.display()
        );
    }
}

#[test]
fn deciders_touch_nothing() {
    let pure = [
        "keys/src",
        "cluster/src",
        "shell/src",
        "forward/src/frame.rs",
        "forward/src/peers.rs",
        "gateway/src/state",
        "gateway/src/scheduler",
        "gateway/src/queries",
        "gateway/src/doctor/verdict",
        "gateway/src/ssh/door/lobby",
        "gateway/src/ssh/door/sources.rs",
        "gateway/src/ssh/door/tally.rs",
        "gateway/src/permission.rs",
        "runner/src/workloads",
        "tunnel/src/wire",
    ];
    let banned = [
        "Instant::now",
        "SystemTime::now",
        "std::fs",
        "std::net",
        "tokio::",
        "async fn",
        "Mutex<",
    ];
    for (path, text) in sources() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        if pure.iter().any(|folder| name.starts_with(folder)) {
            for word in banned {
                assert!(!text.contains(word), "{name} uses {word}");
            }
        }
    }
}

#[test]
fn only_the_harness_sleeps() {
    for (path, text) in sources() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let own = name.ends_with("harness/wait.rs") || name.ends_with("tidy/main.rs");
        if name.starts_with("tests/") && !own {
            assert!(!text.contains("thread::sleep"), "{name} sleeps");
        }
    }
}

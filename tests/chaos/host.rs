//! What this program made of the machine itself, beside its nodes: folders, mounts, loop devices, groups, networks,
//! programs. After the last row there must be none of it.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use harness::wait::rest;

/// Folders of clusters that were made, whatever became of them.
static MADE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Before there is anything in it.
pub(crate) fn made(folder: &Path) {
    let mut all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(folder.to_owned());
}

/// What names of this run begin with: others may run beside.
fn marks() -> Vec<String> {
    let all = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let folders = all.iter().map(|folder| folder.display().to_string());
    let names = format!("rvc{}-", std::process::id());
    folders.chain(std::iter::once(names)).collect()
}

/// One line for each thing.
pub(crate) fn look() -> BTreeSet<String> {
    let marks = marks();
    let ours = |line: &str| marks.iter().any(|mark| line.contains(mark));
    let mut found = BTreeSet::new();
    let mut add = |kind: &str, line: String| {
        if ours(&line) {
            found.insert(format!("{kind}: {line}"));
        }
    };
    for folder in ["/tmp", "/run/netns", "/sys/fs/cgroup"] {
        inside(Path::new(folder)).for_each(|path| add("folder", path.display().to_string()));
    }
    // A folder for each kind of limit, where groups are of the first version.
    for group in
        inside(Path::new("/sys/fs/cgroup")).flat_map(|kind| inside(&kind).collect::<Vec<_>>())
    {
        add("group", group.display().to_string());
    }
    let mounts = std::fs::read_to_string("/proc/1/mounts").unwrap_or_default();
    let own = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let all = mounts.lines().chain(own.lines());
    all.for_each(|mount| add("mount", mount.to_owned()));
    for (kind, words) in [
        ("loop", &["losetup", "-l", "-n", "-O", "NAME,BACK-FILE"][..]),
        ("link", &["ip", "-o", "link"]),
    ] {
        let listed = Command::new(words[0]).args(&words[1..]).output();
        let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        for line in listed.unwrap_or_default().lines() {
            add(kind, line.to_owned());
        }
    }
    for process in inside(Path::new("/proc")) {
        let name = process.file_name().unwrap_or_default().as_bytes();
        if name.first().is_some_and(u8::is_ascii_digit) {
            let (line, environment) = program(&process);
            if ours(&line) || ours(&environment) {
                found.insert(format!("process: {line}"));
            }
        }
    }
    found
}

fn inside(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// What it was started with and where it is, and its environment, which is looked at and not shown: whatever a row began
/// bears one of our names somewhere. Not this program itself, which knows them all.
fn program(process: &Path) -> (String, String) {
    if process.ends_with(std::process::id().to_string()) {
        return Default::default();
    }
    let read = |file: &str| {
        let bytes = std::fs::read(process.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let place = std::fs::read_link(process.join("cwd")).unwrap_or_default();
    let words = read("cmdline");
    let line = format!("{} in {}: {words}", process.display(), place.display());
    (line, read("environ"))
}

/// What is there now and was not before, when it has had its time to go; but for the folders of rows that failed, which
/// are kept.
pub(crate) fn left(before: &BTreeSet<String>, failed: bool) -> Vec<String> {
    let kept = |line: &String| failed && line.starts_with("folder: /tmp/rvc");
    let mut left = Vec::new();
    for _ in 0..100 {
        let now = look();
        left = now
            .difference(before)
            .filter(|line| !kept(line))
            .cloned()
            .collect();
        if left.is_empty() {
            break;
        }
        rest(std::time::Duration::from_millis(100));
    }
    left
}

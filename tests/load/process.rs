//! What a process uses, by proc(5).

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// `USER_HZ`: proc_pid_stat(5).
const TICKS: f64 = 100.0;

/// As many files as there may be, here and in what is started from here.
pub(crate) fn open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// Seconds of a core, of the user and of the kernel for it.
#[expect(clippy::cast_precision_loss, reason = "seconds of one run")]
pub(crate) fn processor(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / TICKS
}

/// Open files, and threads.
pub(crate) fn open(pid: u32) -> (usize, usize) {
    let count = |what: &str| {
        std::fs::read_dir(format!("/proc/{pid}/{what}"))
            .unwrap()
            .count()
    };
    (count("fd"), count("task"))
}

/// What it has started.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.collect()
}

/// Bytes of memory that would be free without it and what it has started (PSS).
pub(crate) fn family(pid: u32) -> u64 {
    own(pid) + children(pid).into_iter().map(family).sum::<u64>()
}

fn own(pid: u32) -> u64 {
    // It may end at any moment.
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

#[expect(clippy::cast_precision_loss, reason = "megabytes of a process")]
pub(crate) fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

//! The command and everything it started.

use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::children::Children;

/// Rounds over a tree that grows while it is killed.
const ROUNDS: usize = 100;

/// Collects what has ended; the main command's status if it is among them. Sessions hear of theirs.
pub(super) fn reap(main: Option<Pid>, sessions: &Children) -> Option<WaitStatus> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)))
                if Some(pid) == main =>
            {
                ended = Some(status);
            }
            Ok(status @ (WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _))) => {
                sessions.ended(pid, status);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended,
        }
    }
}

/// A runner that a service manager protects hands down what no task should have: it would be the last to be killed
/// for memory (proc_pid_oom_score_adj(5)), and its files would be its own alone (umask(2)).
pub(super) fn as_everybody() {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let score = fs::read_to_string(SCORE).ok();
    if score.is_some_and(|score| score.trim().starts_with('-')) {
        let _ = fs::write(SCORE, "0");
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
}

/// To the command's process group; what has ended gets nothing.
pub(super) fn signal_group(main: Pid, signal: u8) {
    if let Ok(signal) = Signal::try_from(i32::from(signal)) {
        let group = Pid::from_raw(-main.as_raw());
        if kill(group, signal).is_err() {
            // Its launch has not made the group yet.
            let _ = kill(main, signal);
        }
    }
}

/// Stops or continues everything.
pub(super) fn freeze(frozen: bool) {
    let signal = if frozen {
        Signal::SIGSTOP
    } else {
        Signal::SIGCONT
    };
    for pid in descendants() {
        let _ = kill(pid, signal);
    }
}

/// Nothing that the command started is alive when this returns. Orphans are ours: we are pid 1 of the
/// box, or their subreaper (prctl(2)).
pub(super) fn kill_all() {
    for _ in 0..ROUNDS {
        let alive = descendants();
        for pid in &alive {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        match waitpid(
            None,
            if alive.is_empty() {
                Some(WaitPidFlag::WNOHANG)
            } else {
                None
            },
        ) {
            Err(Errno::ECHILD) => return,
            Ok(WaitStatus::StillAlive) if alive.is_empty() => return,
            _ => {}
        }
    }
}

/// TERM to everything; `false` when there was nothing.
pub(super) fn term_all() -> bool {
    let alive = descendants();
    for pid in &alive {
        let _ = kill(*pid, Signal::SIGTERM);
    }
    !alive.is_empty()
}

/// Is nothing left?
pub(super) fn none_left() -> bool {
    descendants().is_empty()
}

/// By /proc/PID/task/TID/children (proc(5)).
fn descendants() -> Vec<Pid> {
    let mut found = Vec::new();
    let mut look = vec![std::process::id()];
    while let Some(parent) = look.pop() {
        let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            for child in children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok())
            {
                found.push(Pid::from_raw(child));
                look.push(child.unsigned_abs());
            }
        }
    }
    found
}

//! The machine's processes, as proc(5) shows them, and the end of a whole tree of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Passes over a tree that grows while it is being stopped.
const PASSES: usize = 1000;

/// State (`R`, `S`, `T`, `Z`, …) and start time of a process; the time is what tells two of one pid apart.
pub(super) fn stat(pid: Pid) -> Option<(char, String)> {
    let fields = fields(pid)?;
    Some((fields.first()?.chars().next()?, fields.get(19)?.clone()))
}

/// From the third on (proc_pid_stat(5)).
fn fields(pid: Pid) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, brackets too.
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(str::to_owned).collect())
}

/// What it executes (proc_pid_exe(5)).
pub(super) fn program(pid: Pid) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Is it this process, or one below it?
pub(super) fn is_below(root: Pid, pid: Pid) -> bool {
    let parent = |pid: &Pid| fields(*pid)?.get(1)?.parse().ok().map(Pid::from_raw);
    std::iter::successors(Some(pid), parent)
        .take(PASSES)
        .any(|pid| pid == root)
}

/// Does the text of /proc/PID/cgroup place a process in this container? The last part of its path is the
/// id, or `docker-ID.scope` (cgroups(7)); what runs inside may have made groups below it.
pub(super) fn in_container(groups: &str, id: &str) -> bool {
    !id.is_empty() && groups.split(['\n', '/', '-', '.']).any(|part| part == id)
}

/// A process and all below it, parents first.
fn tree(root: Pid) -> Vec<Pid> {
    let mut all = vec![root];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace();
            all.extend(
                children
                    .filter_map(|pid| pid.parse().ok())
                    .map(Pid::from_raw),
            );
        }
    }
    all
}

fn stands(pid: Pid) -> bool {
    stat(pid).is_none_or(|(state, _)| matches!(state, 'T' | 't' | 'Z' | 'X'))
}

/// Does everything below this process stand still, and is there anything?
pub(super) fn is_frozen(root: Pid) -> bool {
    let below = tree(root).into_iter().skip(1);
    let states: Vec<char> = below
        .filter_map(|pid| stat(pid).map(|(state, _)| state))
        .filter(|state| *state != 'Z')
        .collect();
    !states.is_empty() && states.iter().all(|state| *state == 'T')
}

/// Ends a process and all below it. Everything is stopped first: what runs could bear more meanwhile,
/// and what lost its parent would no longer be found below `root`.
pub(super) fn kill_tree(root: Pid) {
    let mut stopped = BTreeSet::new();
    for _ in 0..PASSES {
        let all = tree(root);
        let fresh: Vec<Pid> = all
            .iter()
            .copied()
            .filter(|pid| !stopped.contains(pid))
            .collect();
        if fresh.is_empty() && all.iter().all(|pid| stands(*pid)) {
            break;
        }
        for pid in fresh {
            let _ = kill(pid, Signal::SIGSTOP);
            stopped.insert(pid);
        }
    }
    stopped.remove(&root);
    for pid in stopped.iter().chain([&root]) {
        let _ = kill(*pid, Signal::SIGKILL);
    }
}

/// The process whose last words are `run RUN_DIR …`: a guest that nobody wrote down.
pub(super) fn guest_of(run: &Path) -> Option<Pid> {
    let run = run.as_os_str().as_encoded_bytes();
    let mut found: Option<(u64, Pid)> = None;
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        if !words.windows(2).any(|pair| pair == [&b"run"[..], run]) {
            continue;
        }
        let pid = Pid::from_raw(pid);
        // A child between fork and exec bears its parent's words: the elder is the guest.
        if let Some(born) = stat(pid).and_then(|(_, born)| born.parse().ok())
            && found.is_none_or(|best| (born, pid) < best)
        {
            found = Some((born, pid));
        }
    }
    found.map(|(_, pid)| pid)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_container_is_known_by_its_cgroup() {
        let id = "4f0c9e";
        for inside in [
            "0::/system.slice/docker-4f0c9e.scope\n",
            "0::/../4f0c9e\n",
            "5:pids:/docker/4f0c9e\n1:name=systemd:/docker/4f0c9e/init\n",
        ] {
            assert!(in_container(inside, id), "{inside}");
        }
        for outside in ["", "0::/\n", "0::/docker/4f0c9e7\n", "0::/user.slice\n"] {
            assert!(!in_container(outside, id), "{outside}");
        }
        assert!(!in_container("0::/\n", ""));
    }

    #[test]
    fn a_guest_that_was_not_written_down_is_found_by_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        assert_eq!(guest_of(&run), None);
        let script = "read line";
        let mut guest = Command::new("sh")
            .args(["-c", script, "guest", "run"])
            .arg(&run)
            .arg(dir.path().join("out"))
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(guest.id()).unwrap());
        // Its words are there a moment after the exec that `spawn` waits for.
        while guest_of(&run).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(guest_of(&run), Some(pid));
        assert!(!is_frozen(pid));
        kill_tree(pid);
        guest.wait().unwrap();
        assert_eq!(guest_of(&run), None);
    }
}

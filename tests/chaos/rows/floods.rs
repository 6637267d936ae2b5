//! Tasks that write without end, and tasks that take all that there is.

use std::time::Instant;

use super::net::submit;
use super::{Play, with, within};
use crate::cluster::Cluster;
use crate::ledger::Job;
use crate::memory::peak;
use crate::node::Engine;

/// More than the gateway may hold of what tasks write, in bytes.
const MEMORY: u64 = 64 << 20;

/// Everything that was written, of a task that ended well.
fn written(cluster: &Cluster, words: &str) -> Vec<u8> {
    let said = cluster
        .river(&format!("task submit -q -c 0 {words}"))
        .good();
    let id = said.trim();
    assert_eq!(cluster.river(&format!("task wait {id}")).code, 0, "{words}");
    let logs = cluster.river(&format!("task logs {id}"));
    assert_eq!(logs.code, 0, "{words}: {}", logs.stderr);
    logs.stdout
}

/// A thousand lines ten times a second, for so many seconds, with a reader that follows from the begin.
fn steady(cluster: &Cluster, seconds: u32) -> String {
    let thousands = seconds * 10;
    let line = format!(
        "task submit -q -c 0 --backend process -- sh -c 'i=0; while [ $i -lt {thousands} ]; do \
         seq ${{i}}001 $((i+1))000; i=$((i+1)); sleep 0.1; done'"
    );
    let id = cluster.river(&line).good().trim().to_owned();
    let seen = cluster.river(&format!("task logs -f {id}"));
    assert_eq!(seen.code, 0, "{}", seen.stderr);
    // Of `seq 0001 1000` the first is 1.
    let wanted: String = (1..=thousands * 1000)
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(
        seen.stdout == wanted.as_bytes(),
        "{} bytes",
        seen.stdout.len()
    );
    format!(
        "{} lines in {seconds} s and more, followed",
        thousands * 1000
    )
}

/// A burst of lines, lines without end, one line that does not end, bytes that are no text, many tasks at once.
pub(super) fn output(play: Play) -> String {
    with(&[Engine::Docker, Engine::Process], "", |cluster, ledger| {
        let (lines, seconds, long, tasks) = if play.small {
            (100_000, 3, 20 << 20, 10)
        } else {
            (1_000_000, 600, 1 << 30, 200)
        };
        let mut told = Vec::new();
        let idle = peak(cluster.gateway_pid());
        let burst: String = (1..=lines).map(|line| format!("{line}\n")).collect();
        for backend in ["docker", "process"] {
            let begun = Instant::now();
            let seen = written(cluster, &format!("--backend {backend} -- seq {lines}"));
            assert!(seen == burst.as_bytes(), "{} bytes", seen.len());
            told.push(within(
                play,
                &format!("{lines} lines, {backend}"),
                begun,
                30.0,
            ));
        }
        told.push(steady(cluster, seconds));
        let line = format!("--backend process -- sh -c 'head -c {long} /dev/zero | tr \"\\0\" x'");
        let seen = written(cluster, &line);
        assert_eq!(seen.len(), long);
        assert!(seen.iter().all(|byte| *byte == b'x'));
        told.push(format!("a line of {} MiB", long >> 20));
        let path = cluster.starts().join("bytes");
        let bytes: Vec<u8> = (0..2_000_000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        std::fs::write(&path, &bytes).unwrap();
        assert!(
            written(
                cluster,
                &format!("--backend process -- cat {}", path.display())
            ) == bytes
        );
        let many = Job {
            lines: 5000,
            seconds: 0.0,
        };
        submit(cluster, ledger, "-c 0", many, tasks / 2);
        let checked = ledger.check(cluster);
        let most = peak(cluster.gateway_pid());
        assert!(
            most < idle + MEMORY,
            "the gateway had {most} bytes, idle {idle}"
        );
        format!(
            "{}; gateway at most {} MiB; {checked}",
            told.join(", "),
            most >> 20
        )
    })
}

/// In a box with limits: processes, files open, files, memory of /dev/shm, memory of its own, without end.
const BOMBS: [&str; 5] = [
    "bomb() { bomb | bomb & }; bomb; wait",
    "exec 3< /dev/null; i=4; while :; do eval \"exec $i< /dev/null\" || break; i=$((i+1)); done; sleep 20",
    "mkdir /tmp/many; i=0; while [ $i -lt 100000 ]; do : > /tmp/many/$i || break; i=$((i+1)); done",
    "while :; do head -c 1000000000 /dev/zero >> /dev/shm/full || break; done; sleep 20",
    "exec tail /dev/zero",
];

/// The neighbours work on, the node answers, nothing is left.
pub(super) fn bombs(play: Play) -> String {
    with(&[Engine::Docker], "", |cluster, ledger| {
        let mut ids = Vec::new();
        for bomb in BOMBS {
            let line = format!("task submit -q -c 1 -m 256M --time-limit 15s -- sh -c '{bomb}'");
            ids.push(cluster.river(&line).good().trim().to_owned());
        }
        let begun = Instant::now();
        submit(cluster, ledger, "-c 0", Job::SHORT, 5);
        ledger.settle(cluster);
        let beside = within(play, "5 neighbours done in", begun, 30.0);
        cluster.until_ready();
        let ends = ids
            .iter()
            .map(|id| cluster.river(&format!("task wait {id}")).code);
        let ends: Vec<i32> = ends.collect();
        // Each ends by itself, by its limits or by its time: 137 is memory, 124 time.
        assert!(
            ends.iter().all(|code| [0, 1, 2, 124, 137].contains(code)),
            "{ends:?}"
        );
        assert_eq!(ends.last(), Some(&137), "{ends:?}");
        // Where memory ended it, the limit is named.
        for (id, _) in ids.iter().zip(&ends).filter(|(_, code)| **code == 137) {
            let why = cluster.river(&format!("task status {id}")).good();
            assert!(why.contains("limit of 256 MiB"), "{why}");
        }
        let states: Vec<String> = ends.iter().map(ToString::to_string).collect();
        cluster.until_ready();
        format!(
            "{beside} beside; codes of the bombs {}; {}",
            states.join(" "),
            ledger.check(cluster)
        )
    })
}

//! L8: what is left when all have gone.

use std::time::Duration;

use crate::Bench;
use crate::client::{Login, address};
use crate::idle::enter;
use crate::newcomers::come;
use crate::process::{mega, open};
use crate::report::Bar;
use crate::submits::each;

/// Of the same load.
const ROUNDS: usize = 4;
/// Ended tasks in memory are not for ever more.
const TASKS: usize = 2000;

pub(crate) fn measure(bench: &mut Bench) {
    let sessions = crate::count("SESSIONS", 5000) / 5;
    let rest = Duration::from_secs(crate::count("REST", 60) as u64);
    let river = Bench::river();
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    let mut memory = Vec::new();
    let mut opened = Vec::new();
    for round in 0..ROUNDS {
        bench.run(async {
            let idle = enter(&login, 1, sessions).await;
            let mut failed = come(&login, "task list", Duration::from_secs(5))
                .await
                .failed;
            let client = login.enter(address(1, 1)).await.unwrap();
            each(&client, TASKS).await;
            let first = 1 + round * TASKS;
            for start in (first..first + TASKS).step_by(500) {
                let ids: Vec<String> = (start..start + 500).map(|id| id.to_string()).collect();
                let killed = client.run(&format!("task kill {}", ids.join(" "))).await;
                failed += usize::from(killed.is_err());
            }
            client.leave().await;
            assert_eq!(failed, 0);
            drop(idle);
        });
        harness::wait::rest(rest / 4);
        memory.push(river.memory());
        opened.push(open(river.pids().0));
    }
    let report = &mut bench.report;
    let (first, last) = (memory[0], memory[ROUNDS - 1]);
    report.note("RSS after the first round, at rest", mega(first), "MB");
    let most = mega(first) * 1.3;
    report.figure(
        "RSS after the fourth, at rest",
        mega(last),
        "MB",
        Bar::AtMost(most),
    );
    let slope = (mega(last) - mega(first)) / (ROUNDS - 1) as f64;
    report.note("  a round", slope, "MB");
    let (files, threads) = opened[ROUNDS - 1];
    report.figure(
        "open files",
        files as f64,
        "",
        Bar::AtMost(opened[0].0 as f64),
    );
    report.note("threads", threads as f64, "");
    report.note("the most it ever had", mega(river.peak()), "MB");
}

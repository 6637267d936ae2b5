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
const ROUNDS: usize = 6;
/// Ended tasks in memory are not for ever more.
const TASKS: usize = 2000;

pub(crate) fn measure(bench: &mut Bench) {
    let sessions = crate::count("SESSIONS", 5000) / 5;
    let rest = Duration::from_secs(crate::count("REST", 60) as u64);
    let river = Bench::river();
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    let fresh = river.memory();
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
        harness::wait::rest(rest / ROUNDS as u32);
        memory.push(river.memory());
        opened.push(open(river.pids().0));
    }
    let report = &mut bench.report;
    report.note("RSS of a gateway that has just begun", mega(fresh), "MB");
    let rounds: Vec<String> = memory
        .iter()
        .map(|bytes| format!("{:.1}", mega(*bytes)))
        .collect();
    println!(
        "{:<6} RSS after each round, at rest: {}",
        report.row,
        rounds.join(", ")
    );
    let (first, last) = (mega(memory[0]), mega(memory[ROUNDS - 1]));
    let most = (first * 1.3).ceil();
    report.figure(
        "RSS after the last round, at rest",
        last,
        "MB",
        Bar::AtMost(most),
    );
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

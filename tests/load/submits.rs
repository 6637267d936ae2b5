//! L5: submits, each durable before it is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Client, Login, address};
use crate::report::Bar;

/// Of one connection, at the same time.
const AT_ONCE: usize = 16;
const SINGLE: usize = 2000;
const LINES: usize = 20_000;

pub(crate) fn lines(count: usize) -> Vec<u8> {
    b"-- true\n".repeat(count)
}

/// `task submit --batch --each`, answered by so many lines.
pub(crate) async fn each(client: &Client, count: usize) {
    let answers = client
        .feed("task submit -q --batch --each", lines(count))
        .await
        .unwrap();
    let answers = String::from_utf8(answers).unwrap();
    let ids: Vec<u64> = answers.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ids.len(), count);
    assert!(ids.is_sorted_by(|a, b| a < b), "in order");
}

pub(crate) fn measure(bench: &mut Bench) {
    let river = Bench::river();
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    let client = Arc::new(bench.run(login.enter(address(1, 0))).unwrap());
    bench.run(each(&client, 100));
    let begun = Instant::now();
    bench.run(each(&client, LINES));
    let rate = LINES as f64 / begun.elapsed().as_secs_f64();
    let report = &mut bench.report;
    report.figure(
        "--batch --each, one connection",
        rate,
        "/s",
        Bar::AtLeast(1000.0),
    );
    let begun = Instant::now();
    let all = lines(10_000);
    let line = "task submit -q --batch";
    let answers = bench.runtime.block_on(client.feed(line, all)).unwrap();
    assert_eq!(answers.split(|byte| *byte == b'\n').count(), 10_001);
    let rate = 10_000.0 / begun.elapsed().as_secs_f64();
    report.figure(
        "--batch, all of 10,000 or none",
        rate,
        "/s",
        Bar::AtLeast(1000.0),
    );
    let begun = Instant::now();
    bench.runtime.block_on(async {
        let next = Arc::new(AtomicUsize::new(0));
        let mut hands = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (client, next) = (Arc::clone(&client), Arc::clone(&next));
            hands.spawn(async move {
                while next.fetch_add(1, Ordering::Relaxed) < SINGLE {
                    client.run("task submit -q -- true").await.unwrap();
                }
            });
        }
        hands.join_all().await;
    });
    let rate = SINGLE as f64 / begun.elapsed().as_secs_f64();
    report.figure(
        "`task submit`, 16 at a time on one connection",
        rate,
        "/s",
        Bar::AtLeast(200.0),
    );
    let begun = Instant::now();
    bench.runtime.block_on(async {
        for _ in 0..SINGLE / 4 {
            client.run("task submit -q -- true").await.unwrap();
        }
    });
    let rate = (SINGLE / 4) as f64 / begun.elapsed().as_secs_f64();
    report.note("`task submit`, one after the other", rate, "/s");
}

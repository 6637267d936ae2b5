//! L6: a long queue before full nodes.

use harness::wait::until_within;

use crate::Bench;
use crate::client::{Client, Login, address};
use crate::fleet::Fleet;
use crate::process::mega;
use crate::report::{Bar, rank, times};
use crate::submits::each;

/// Each has one core, and it is taken.
const NODES: usize = 50;
const ROUNDS: usize = 60;

/// Milliseconds, half of the times.
fn half(bench: &Bench, client: &Client, line: &str) -> f64 {
    let seen = times(ROUNDS, || {
        bench.run(client.run(line)).unwrap();
    });
    rank(&seen, 0.5)
}

pub(crate) fn measure(bench: &mut Bench) {
    let queued = crate::count("QUEUED", 100_000);
    let mut river = Bench::river();
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    let client = bench.run(login.enter(address(1, 0))).unwrap();
    let fleet = bench.run(Fleet::start(&client, river.port, NODES, 1));
    until_within("all are connected", crate::LONG, || {
        fleet.connected() == NODES
    });
    bench.run(each(&client, NODES + 10));
    let first = half(bench, &client, "task submit -q -- true");
    let before = river.memory();
    let begun = std::time::Instant::now();
    bench.run(each(&client, queued));
    let rate = queued as f64 / begun.elapsed().as_secs_f64();
    let grown = river.memory().saturating_sub(before);
    let last = half(bench, &client, "task submit -q -- true");
    let list = half(bench, &client, "task list");
    let status = half(bench, &client, "status");
    let why = half(bench, &client, &format!("task why {queued}"));
    let report = &mut bench.report;
    report.note("queued by --batch --each, before 50 full nodes", rate, "/s");
    report.figure(
        "  RSS of the gateway has grown by",
        mega(grown),
        "MB",
        Bar::AtMost(200.0),
    );
    report.note(
        "one submit with a pass, short queue, half within",
        first,
        "ms",
    );
    report.figure(
        "one submit with a pass, long queue, half within",
        last,
        "ms",
        Bar::AtMost(50.0),
    );
    report.figure("  long over short", last / first, "", Bar::AtMost(1.5));
    report.figure("`task list`, first page", list, "ms", Bar::AtMost(100.0));
    report.figure("`status`", status, "ms", Bar::AtMost(100.0));
    report.note("`task why` of the last", why, "ms");
    river.kill_gateway();
    let start = rank(&times(1, || river.start_gateway()), 0.5);
    bench.report.figure(
        "a start with the queue, to listening",
        start,
        "ms",
        Bar::AtMost(1500.0),
    );
    let count = bench.run(async {
        let client = login.enter(address(1, 1)).await.unwrap();
        let text = client.run("status --json").await.unwrap();
        let status: serde_json::Value = serde_json::from_slice(&text).unwrap();
        status["pending"].as_f64().unwrap()
    });
    let report = &mut bench.report;
    report.figure("  of them there", count, "", Bar::AtLeast(queued as f64));
}

//! L4: many runners that have nothing to do, and a gateway that goes and comes back to them and to many people at once.

use std::time::{Duration, Instant};

use harness::wait::{until, until_within};

use crate::Bench;
use crate::client::{Login, address};
use crate::crowd::Crowd;
use crate::fleet::Fleet;
use crate::process::{mega, processor};
use crate::report::Bar;

pub(crate) fn measure(bench: &mut Bench) {
    let nodes = crate::count("RUNNERS", 500);
    let mut river = Bench::river();
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    let begun = Instant::now();
    let fleet = bench.run(async {
        let admin = login.enter(address(1, 0)).await.unwrap();
        Fleet::start(&admin, river.port, nodes, 4).await
    });
    until_within("all are connected", crate::LONG, || {
        fleet.connected() == nodes
    });
    let report = &mut bench.report;
    report.note(
        "all invited, joined and connected",
        begun.elapsed().as_secs_f64(),
        "s",
    );
    let watch = crate::seconds().max(Duration::from_secs(10));
    let before = processor(river.pids().0);
    harness::wait::rest(watch);
    let used = (processor(river.pids().0) - before) / watch.as_secs_f64();
    report.figure(
        "connected, one word each in 5 s: a core",
        used * 100.0,
        "%",
        Bar::AtMost(100.0),
    );
    report.figure(
        "  RSS of the gateway",
        mega(river.memory()),
        "MB",
        Bar::AtMost(150.0),
    );
    let crowd = bench.run(async { Crowd::start(&login, crate::count("USERS", 2000)) });
    until_within("all are inside", crate::LONG, || {
        crowd.inside() == crowd.count()
    });
    river.kill_gateway();
    until("all have noticed", || {
        fleet.connected() == 0 && crowd.inside() == 0
    });
    let begun = Instant::now();
    river.start_gateway();
    until_within("all are back", crate::LONG, || {
        fleet.connected() == nodes && crowd.inside() == crowd.count()
    });
    let took = begun.elapsed().as_secs_f64();
    let report = &mut bench.report;
    report.figure(
        &format!("kill -9, a start: they and {} people back", crowd.count()),
        took,
        "s",
        Bar::AtMost(30.0),
    );
    let ready = bench.runtime.block_on(async {
        let admin = login.enter(address(1, 0)).await.unwrap();
        let list = admin.run("node list --json").await.unwrap();
        let list = String::from_utf8(list).unwrap();
        list.matches("\"state\":\"ready\"").count()
    });
    report.figure(
        "  of them ready",
        ready as f64,
        "",
        Bar::AtLeast(nodes as f64),
    );
}

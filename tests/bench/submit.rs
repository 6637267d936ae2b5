//! What the front desk takes: submits, alone and in a batch, and listings of a long queue.

use std::fmt::Write;

use harness::{Engine, River};

use crate::peer::{Sshd, Warm, quietly};
use crate::report::{Bar, Report, median, pair, took};

const QUEUE: usize = 10_000;

pub(super) fn measure(report: &mut Report) {
    let river = River::start(Engine::Process, 2);
    river.admin.ssh("node drain n1").good();
    let sshd = Sshd::start();
    let cold = || quietly(&mut river.admin.command(&["-T"], "task submit -- true"));
    let seen = pair(15, cold, || {
        quietly(&mut sshd.person.command(&["-T"], "true"))
    });
    report.time(
        "submit, new connection",
        &seen,
        "ssh true",
        Bar::AtMost(0.5),
    );
    let (warm, other) = (Warm::open(&river.admin), Warm::open(&sshd.person));
    let seen = pair(41, || warm.ssh("task submit -- true"), || other.ssh("true"));
    report.time(
        "submit, warm connection",
        &seen,
        "ssh true",
        Bar::AtMost(1.0),
    );
    let alone = pair(41, || warm.ssh("version"), || other.ssh("true"));
    report.time(
        "  of it: a command that asks nothing",
        &alone,
        "ssh true",
        Bar::AtMost(1.0),
    );
    let mut specs = String::new();
    for number in 0..QUEUE {
        let _ = writeln!(specs, "--name b{number} -- true");
    }
    let mut batch = || {
        river
            .admin
            .ssh_with("task submit -q --batch", specs.as_bytes())
            .good();
    };
    let seconds = took(&mut batch);
    report.figure(
        "10,000 by --batch, ms for each",
        seconds * 1e3 / 10_000.0,
        "ms",
        1.0,
    );
    let list = |line: &str| median((0..15).map(|_| took(&mut || warm.ssh(line))));
    let listing = list("task list -n 50");
    Report::note("list 50 of 10,000, whole ssh", listing * 1e3, "ms");
    report.figure(
        "  above a command that asks nothing",
        (listing - alone.ours).max(0.0) * 1e3,
        "ms",
        5.0,
    );
}

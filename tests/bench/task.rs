//! A task from its command to its end.

use harness::{Engine, River};

use crate::peer::{Sshd, Warm, docker_run, quietly};
use crate::report::{Bar, Report, pair};

pub(super) fn measure(report: &mut Report) {
    in_docker(report);
    as_process(report);
}

fn in_docker(report: &mut Report) {
    let river = River::start(Engine::Docker, 4);
    // Makes the default image.
    river.admin.ssh("task run -- true").good();
    let run = || quietly(&mut river.admin.command(&["-T"], "task run -- true"));
    let docker = || quietly(&mut docker_run());
    let seen = pair(15, run, docker);
    report.time(
        "task run -- true (docker)",
        &seen,
        "docker run",
        Bar::AtMost(1.10),
    );
    let warm = Warm::open(&river.admin);
    let seen = pair(9, || warm.ssh("task run -- true"), docker);
    report.time(
        "  same, on a warm connection",
        &seen,
        "docker run",
        Bar::AtMost(1.0),
    );
    let sixty = || {
        let specs = "-- true\n".repeat(60);
        let run = river
            .admin
            .ssh_with("task submit --wait -q --batch", specs.as_bytes());
        run.good();
    };
    let four_ways = || {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..15).for_each(|_| docker()));
            }
        });
    };
    let seen = pair(2, sixty, four_ways);
    report.speed(
        "60 tiny tasks, 4 at a time",
        &seen,
        (60.0, "/s"),
        "docker run",
        Bar::AtLeast(1.0),
    );
}

fn as_process(report: &mut Report) {
    let river = River::start(Engine::Process, 4);
    let sshd = Sshd::start();
    let run = || quietly(&mut river.admin.command(&["-T"], "task run -- true"));
    let seen = pair(15, run, || {
        quietly(&mut sshd.person.command(&["-T"], "true"))
    });
    report.time(
        "task run -- true (process)",
        &seen,
        "ssh true",
        Bar::AtMost(1.0),
    );
    let (warm, other) = (Warm::open(&river.admin), Warm::open(&sshd.person));
    let seen = pair(25, || warm.ssh("task run -- true"), || other.ssh("true"));
    report.time(
        "  same, both on a warm connection",
        &seen,
        "ssh true",
        Bar::AtMost(1.0),
    );
    report.figure("  its time alone", seen.ours * 1e3, "ms", 30.0);
}

//! What it costs to do nothing, and to begin.

use std::time::Duration;

use harness::river::docker;
use harness::wait::until;
use harness::{Engine, River};

use crate::report::{Report, rest, took};

const WATCH: Duration = Duration::from_secs(20);
/// `USER_HZ`: proc_pid_stat(5).
const TICKS: f64 = 100.0;

pub(super) fn measure(report: &mut Report) {
    let mut river = River::start(Engine::Docker, 2);
    let id = river.admin.ssh("task submit -q -- sleep 600").good();
    until("it runs", || {
        river.admin.ssh("task list").text().contains("running")
    });
    let guest = guest(&format!(
        "river.attempt={}.1",
        id.trim().trim_start_matches("task-")
    ));
    let (gateway, runner) = river.pids();
    let before = (ticks(gateway), ticks(runner), ticks(guest));
    rest(WATCH);
    let spent =
        |pid: u32, before: u64| (ticks(pid) - before) as f64 / TICKS / WATCH.as_secs_f64() * 100.0;
    report.figure(
        "idle gateway, CPU",
        spent(gateway, before.0),
        "% of a core",
        0.1,
    );
    report.figure(
        "idle runner, CPU",
        spent(runner, before.1),
        "% of a core",
        0.1,
    );
    report.figure(
        "idle guest, CPU",
        spent(guest, before.2),
        "% of a core",
        0.1,
    );
    report.figure("idle gateway, memory", pss(gateway), "MB PSS", 25.0);
    report.figure("idle runner, memory", pss(runner), "MB PSS", 20.0);
    report.figure("idle guest, memory", pss(guest), "MB PSS", 4.0);
    river.admin.ssh(&format!("task kill {}", id.trim())).good();
    let options = ["-T"];
    for _ in 0..3 {
        let line = "task run -- head -c 268435456 /dev/zero";
        crate::peer::quietly(&mut river.admin.command(&options, line));
    }
    report.figure("gateway after 768 MiB", pss(gateway), "MB PSS", 64.0);
    report.figure("runner after 768 MiB", pss(runner), "MB PSS", 64.0);
    river.kill_gateway();
    Report::note(
        "gateway, start to listening",
        took(&mut || river.start_gateway()) * 1e3,
        "ms",
    );
    river.kill_runner();
    Report::note(
        "runner, start to ready",
        took(&mut || river.start_runner()) * 1e3,
        "ms",
    );
}

/// The pid of the container with this label.
fn guest(label: &str) -> u32 {
    let id = docker(&["ps", "-q", "--filter", &format!("label={label}")]);
    docker(&["inspect", "-f", "{{.State.Pid}}", &id])
        .parse()
        .unwrap()
}

/// User and system time: fields 14 and 15 of proc_pid_stat(5).
fn ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = text.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn pss(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1000.0
}

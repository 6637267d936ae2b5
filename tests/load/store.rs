//! A store that remembers a million ended tasks: they must cost nothing at a start, and nothing in memory.

use std::path::Path;
use std::sync::Arc;

use cluster::{
    Outcome, OutputSize, Placement, Task, TaskId, TaskSpec, TaskState, Timestamp, Wanted,
};
use gateway::state::{Counters, Record};
use gateway::store::Store;
use keys::Role;

use crate::Bench;
use crate::client::{Login, address};
use crate::process::mega;
use crate::report::{Bar, rank, times};

const ROUNDS: usize = 40;
/// Rows of one commit.
const TURN: u64 = 10_000;

fn ended(number: u64, now: u64) -> Arc<Task> {
    let at = Timestamp(now - 60_000);
    let words = ["python", "train.py", "--seed"].map(ToOwned::to_owned);
    let mut command = words.to_vec();
    command.push(number.to_string());
    Arc::new(Task {
        id: TaskId(number),
        name: format!("brave-otter-{number}").parse().unwrap(),
        owner: "alice".parse().unwrap(),
        owner_role: Role::Admin,
        spec: Arc::new(TaskSpec::of(command)),
        state: TaskState::Completed,
        submitted: at,
        spool: None,
        attempt: 1,
        placement: Some(Placement {
            node: "n1".parse().unwrap(),
            cores: vec![0],
            epoch: 1,
            at,
        }),
        wanted: Wanted::Run,
        killed_by: None,
        retried: 0,
        started: Some(at),
        ended: Some(at),
        outcome: Some(Outcome {
            state: TaskState::Completed,
            code: 0,
            reason: None,
        }),
        output: OutputSize::default(),
        collected: true,
        note: None,
        batch: None,
    })
}

/// By the store's own commits.
fn fill(dir: &Path, count: u64) {
    let (mut store, loaded) = Store::open(dir, 0).unwrap();
    let now = gateway::head::now().0;
    for first in (1..=count).step_by(TURN as usize) {
        let numbers = first..=count.min(first + TURN - 1);
        let mut records: Vec<Record> = numbers.map(|id| Record::Task(ended(id, now))).collect();
        records.push(Record::Counters(Counters {
            task: count.min(first + TURN - 1),
            ..loaded.counters
        }));
        store.commit(&records, &[]).unwrap();
    }
}

pub(crate) fn measure(bench: &mut Bench) {
    let count = crate::count("ENDED", 1_000_000) as u64;
    let mut river = Bench::river();
    let start = |river: &mut harness::River| rank(&times(1, || river.start_gateway()), 0.5);
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    river.kill_gateway();
    let empty = start(&mut river);
    let before = mega(river.memory());
    river.kill_gateway();
    let dir = river.dir.path().join("g");
    fill(&dir, count);
    let size = std::fs::metadata(dir.join("river.db")).unwrap().len();
    let full = start(&mut river);
    let client = bench.run(login.enter(address(1, 0))).unwrap();
    let half = |line: &str| {
        let seen = times(ROUNDS, || {
            bench.runtime.block_on(client.run(line)).unwrap();
        });
        rank(&seen, 0.5)
    };
    let nothing = half("version");
    let list = half("task list -a -n 50");
    let old = half("task status 17");
    let name = half(&format!("task status brave-otter-{}", count / 2));
    let failed = half("task list --state failed");
    let submit = half("task submit -q -- true");
    let memory = mega(river.memory());
    let report = &mut bench.report;
    report.note("ended tasks in the store", count as f64, "");
    report.note("  its size", mega(size), "MB");
    report.note("a start to listening, empty store", empty, "ms");
    report.figure(
        "a start to listening",
        full,
        "ms",
        Bar::AtMost(empty * 2.0 + 50.0),
    );
    report.figure(
        "RSS beside that of an empty store",
        memory - before,
        "MB",
        Bar::AtMost(16.0),
    );
    report.note("`version`, half within", nothing, "ms");
    report.figure(
        "`task list -a -n 50`",
        list,
        "ms",
        Bar::AtMost(nothing + 5.0),
    );
    report.figure(
        "`task status` of an old one",
        old,
        "ms",
        Bar::AtMost(nothing + 5.0),
    );
    report.figure("  by its name", name, "ms", Bar::AtMost(nothing + 5.0));
    report.figure(
        "`task list --state failed`, none is",
        failed,
        "ms",
        Bar::AtMost(nothing + 5.0),
    );
    report.note("`task submit`", submit, "ms");
}

//! Ended tasks: found by their index, and gone when their time is over.

use std::sync::Arc;

use cluster::{Outcome, OutputSize, Task, TaskId, TaskSpec, TaskState, Timestamp, Vps, Wanted};
use keys::Role;

use crate::queries::{History, TaskFilter};
use crate::state::Record;
use crate::store::history::listing;
use crate::store::{HistoryReader, Store, check};

fn ended(id: u64, owner: &str, key: Option<&str>, vps: bool) -> Record {
    let spec = TaskSpec {
        key: key.map(ToOwned::to_owned),
        vps: vps.then(Vps::default),
        ..TaskSpec::of(vec!["true".into()])
    };
    Record::Task(Arc::new(Task {
        id: TaskId(id),
        name: format!("name-{id}").parse().unwrap(),
        owner: owner.parse().unwrap(),
        owner_role: Role::User,
        spec: Arc::new(spec),
        state: TaskState::Killed,
        submitted: Timestamp(id),
        spool: None,
        attempt: 0,
        placement: None,
        wanted: Wanted::Run,
        killed_by: None,
        retried: 0,
        started: None,
        ended: Some(Timestamp(id)),
        outcome: Some(Outcome {
            state: TaskState::Killed,
            code: 137,
            reason: None,
        }),
        output: OutputSize::default(),
        collected: true,
        note: None,
        batch: None,
    }))
}

fn counted(task: u64) -> Record {
    Record::Counters(crate::state::Counters {
        task,
        ..crate::state::Counters::default()
    })
}

#[test]
fn listings_find_what_they_ask_for() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    let mut all = vec![counted(40)];
    for id in 1..=40 {
        let owner = if id % 2 == 0 { "alice" } else { "bob" };
        all.push(ended(id, owner, (id == 6).then_some("k"), id % 10 == 0));
    }
    store.commit(&all, &[]).unwrap();
    let history = HistoryReader::open(dir.path()).unwrap();
    let ids = |filter: TaskFilter| -> Vec<u64> {
        let limit = 100;
        let filter = TaskFilter { limit, ..filter };
        let found = history.tasks(&filter).unwrap();
        found.iter().map(|task| task.id.0).collect()
    };
    let alice = "alice".parse().ok();
    assert_eq!(ids(TaskFilter::default()).len(), 36);
    let boxes = TaskFilter {
        vps: true,
        owner: alice.clone(),
        ..TaskFilter::default()
    };
    assert_eq!(ids(boxes), [40, 30, 20, 10]);
    let named = TaskFilter {
        owner: alice.clone(),
        name: Some("name-3".to_owned()),
        ..TaskFilter::default()
    };
    assert_eq!(ids(named), [38, 36, 34, 32]);
    let state = |state| TaskFilter {
        state: Some(state),
        ..TaskFilter::default()
    };
    assert_eq!(ids(state(TaskState::Failed)).len(), 0);
    assert_eq!(ids(state(TaskState::Killed)).len(), 36);
    let by_key = |owner: &str, key| history.by_key(&owner.parse().unwrap(), key).unwrap();
    assert_eq!(by_key("alice", "k").unwrap().id, TaskId(6));
    assert!(by_key("bob", "k").is_none() && by_key("alice", "kk").is_none());
}

#[test]
fn no_listing_looks_through_what_it_does_not_show() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), 10).unwrap());
    let db = rusqlite::Connection::open(dir.path().join("river.db")).unwrap();
    let (owner, node) = ("alice".parse().ok(), "n1".parse().ok());
    let (failed, completed) = (Some(TaskState::Failed), Some(TaskState::Completed));
    for (owner, state, node, index) in [
        (None, None, None, "tasks_vps"),
        (owner.clone(), None, None, "tasks_owner"),
        (owner.clone(), completed, None, "tasks_owner"),
        (None, failed, None, "tasks_state"),
        (owner.clone(), failed, None, "tasks_owner_state"),
        (None, None, node.clone(), "tasks_node"),
        (owner.clone(), None, node.clone(), "tasks_node"),
        (owner, failed, node, "tasks_owner_state"),
    ] {
        let filter = TaskFilter {
            owner,
            state,
            node,
            limit: 50,
            ..TaskFilter::default()
        };
        let (sql, values) = listing(&filter);
        let plan: String = db
            .query_row(
                &format!("EXPLAIN QUERY PLAN {sql}"),
                rusqlite::params_from_iter(values),
                |row| row.get(3),
            )
            .unwrap();
        let wanted = format!("USING INDEX {index} ");
        assert!(plan.contains(&wanted), "{filter:?}: {plan}");
    }
}

#[test]
fn old_tasks_go_a_few_at_a_time_and_their_numbers_stay_given() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    let tasks: Vec<Record> = (1..=30).map(|id| ended(id, "alice", None, false)).collect();
    store.commit(&tasks, &[]).unwrap();
    store.commit(&[counted(30)], &[]).unwrap();
    assert_eq!(store.retire(Timestamp(21), 15).unwrap(), 15);
    assert_eq!(store.retire(Timestamp(21), 15).unwrap(), 5);
    assert_eq!(store.retire(Timestamp(21), 15).unwrap(), 0);
    assert_eq!(store.retire(Timestamp(1_000), 100).unwrap(), 10);
    assert_eq!(check(dir.path()).unwrap().wrong, [""; 0]);
    drop(store);
    let (_store, loaded) = Store::open(dir.path(), 10).unwrap();
    assert_eq!((loaded.tasks.len(), loaded.counters.task), (0, 30));
}

/// Nothing else is written meanwhile: the log once grew by more than the whole database.
#[test]
fn while_old_tasks_go_the_log_stays_small_and_the_disk_gets_its_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    const ALL: u64 = 30_000;
    for first in (1..=ALL).step_by(1000) {
        let ids = first..first + 1000;
        let tasks: Vec<Record> = ids.map(|id| ended(id, "alice", None, false)).collect();
        store.commit(&tasks, &[]).unwrap();
    }
    let size = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().len();
    let (before, mut largest) = (size("river.db"), 0);
    let mut gone = 0;
    while gone < ALL as usize {
        gone += store.retire(Timestamp(u64::from(u32::MAX)), 200).unwrap();
        largest = largest.max(size("river.db-wal"));
    }
    assert!(largest < before / 2, "a log of {largest} for {before}");
    store.commit(&[counted(ALL)], &[]).unwrap();
    drop(store);
    assert!(
        size("river.db") < before / 2,
        "{} of {before}",
        size("river.db")
    );
}

//! What must always hold. Called after every input in debug builds, and by every test.

use std::collections::BTreeMap;

use cluster::{TaskId, TaskState};
use keys::UserName;

use super::State;

/// # Panics
/// When something that can never be is: a bug in the gateway, found before it is committed.
pub fn check(state: &State) {
    for task in state.tasks() {
        let id = task.id;
        assert!(id.0 <= state.counters().task, "{id} is above the counter");
        assert_eq!(
            task.state.is_final(),
            task.outcome.is_some(),
            "{id}: outcome and state differ"
        );
        assert_eq!(
            task.state.is_final(),
            task.ended.is_some(),
            "{id}: end and state differ"
        );
        if task.state.holds_resources() {
            assert!(
                task.placement.is_some() && task.attempt > 0,
                "{id} holds nothing anywhere"
            );
        }
        if task.state == TaskState::Pending {
            assert!(task.placement.is_none(), "{id} waits and has a place");
        }
        if let (Some(outcome), TaskState::Completed) = (&task.outcome, task.state) {
            assert_eq!(outcome.code, 0, "{id} completed with a code");
        }
    }
    let alike: usize = state.lines.values().map(|line| line.len()).sum();
    assert_eq!(alike, state.queue.len(), "who waits stands in a line");
    no_core_twice(state);
    each_owner_has_what_is_theirs(state);
}

fn each_owner_has_what_is_theirs(state: &State) {
    let mut owned: BTreeMap<&UserName, usize> = BTreeMap::new();
    for task in state.tasks().filter(|task| !task.state.is_final()) {
        *owned.entry(&task.owner).or_default() += task.spec.weight();
    }
    assert!(
        owned
            .into_iter()
            .eq(state.owned.iter().map(|(owner, weight)| (owner, *weight))),
        "what is unended is not what is counted"
    );
}

fn no_core_twice(state: &State) {
    for node in state.nodes() {
        let mut taken: BTreeMap<u32, TaskId> = BTreeMap::new();
        let here = state.tasks().filter(|task| task.state.holds_resources());
        for task in here {
            let Some(placement) = task.placement.as_ref().filter(|p| p.node == node.name) else {
                continue;
            };
            assert_eq!(
                placement.cores.len(),
                task.spec.cores as usize,
                "{}: cores",
                task.id
            );
            for core in &placement.cores {
                if let Some(other) = taken.insert(*core, task.id) {
                    panic!(
                        "core {core} of {} is given to {other} and {}",
                        node.name, task.id
                    );
                }
            }
        }
    }
}

//! What must be true, as seen from outside.

use std::collections::BTreeMap;

use cluster::{AttemptId, TaskId, TaskState};
use runner::workloads::Step;

use crate::world::{World, code_of};

impl World {
    /// After every step.
    pub(crate) fn watch(&mut self) {
        self.no_core_is_used_twice();
        self.no_end_changes();
    }

    /// By what truly runs, not only in the gateway's books.
    fn no_core_is_used_twice(&self) {
        for node in &self.cluster.nodes {
            let mut taken: BTreeMap<u32, AttemptId> = BTreeMap::new();
            for (id, attempt) in &node.attempts {
                if !matches!(attempt.step, Step::Running { .. }) {
                    continue;
                }
                for core in &attempt.assignment.cores {
                    if let Some(other) = taken.insert(*core, *id) {
                        panic!("core {core} of {} runs {other} and {id}", node.name);
                    }
                }
            }
        }
    }

    /// What a person may have read stays true.
    fn no_end_changes(&mut self) {
        for (id, task) in &self.cluster.disk.tasks {
            match (&task.outcome, self.ends.get(id)) {
                (Some(now), Some(before)) => assert_eq!(now, before, "{id}: its end changed"),
                (Some(now), None) => drop(self.ends.insert(*id, now.clone())),
                (None, Some(_)) => panic!("{id} had ended and goes on"),
                (None, None) => {}
            }
        }
    }

    /// At the end, when everything has settled.
    pub(crate) fn check(&self) {
        for id in &self.acknowledged {
            self.check_task(*id);
        }
        for (id, attempt) in &self.killed {
            let last = self.cluster.disk.tasks[id].attempt;
            assert_eq!(last, *attempt, "{id} began again after its kill");
        }
        let mut per_task: BTreeMap<TaskId, u32> = BTreeMap::new();
        for (attempt, count) in &self.starts() {
            assert_eq!(*count, 1, "{attempt} began {count} times");
            *per_task.entry(attempt.task).or_default() += 1;
        }
        for (id, count) in per_task {
            let task = &self.cluster.disk.tasks[&id];
            let retried = task.retried;
            assert!(
                count <= retried + 1,
                "{id} began {count} times with {retried} retries"
            );
            let again = retried == 0 || !task.spec.stdin.streams();
            assert!(again, "{id} began again without its input");
            let asked = task.spec.retry_on_lost || retried <= task.spec.retries;
            assert!(asked, "{id} began again and did not ask for it");
        }
    }

    fn check_task(&self, id: TaskId) {
        let Some(task) = self.cluster.disk.tasks.get(&id) else {
            panic!("{id} was acknowledged and is lost");
        };
        let (outcome, last) = (task.outcome.as_ref().unwrap(), task.current());
        match task.state {
            TaskState::Completed | TaskState::Failed => {
                let last = last.unwrap();
                assert!(self.starts().contains_key(&last), "{last} never began");
                assert_eq!(outcome.code, code_of(id), "{id}: a wrong code");
                assert!(self.fetched.contains(&last), "{last}: its output is gone");
            }
            TaskState::Killed => assert!(self.wished.contains(&id), "{id}: nobody killed it"),
            TaskState::Lost => assert!(self.unheard.contains(&id), "{id}: it was never away"),
            TaskState::PendingApproval
            | TaskState::Pending
            | TaskState::Stopped
            | TaskState::Assigning
            | TaskState::Running
            | TaskState::Paused
            | TaskState::TimedOut
            | TaskState::KilledOom
            | TaskState::Rejected => panic!("{id} is {}", task.state),
        }
    }

    fn starts(&self) -> BTreeMap<AttemptId, u32> {
        let mut starts = BTreeMap::new();
        for (id, count) in self.cluster.nodes.iter().flat_map(|node| &node.starts) {
            *starts.entry(*id).or_default() += count;
        }
        starts
    }
}

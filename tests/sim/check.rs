//! What must be true, as seen from outside.

use std::collections::BTreeMap;

use cluster::{AttemptId, TaskId, TaskState};

use harness::pretend::PretendNode;
use keys::NodeName;

use crate::world::World;

/// Code that a task ends with: its own number tells, so that a wrong one is seen.
pub(crate) fn code_of(task: TaskId) -> u8 {
    u8::try_from(task.0 % 5).unwrap()
}

impl World {
    /// After every step.
    pub(crate) fn watch(&mut self) {
        self.no_core_is_used_twice();
        self.no_end_changes();
        self.nothing_new_where_it_drains();
    }

    /// By what truly runs, not only in the gateway's books. What only a life knew that a restore took back is left
    /// alone where it is, on cores that nobody knows any more.
    fn no_core_is_used_twice(&self) {
        let tasks = &self.cluster.disk.tasks;
        let known = |id: AttemptId, node: &NodeName| {
            let current = tasks
                .get(&id.task)
                .filter(|task| task.current() == Some(id));
            let place = current.and_then(|task| task.placement.as_ref());
            !self.restored || place.is_some_and(|place| place.node == *node)
        };
        for node in &self.cluster.nodes {
            let mut taken: BTreeMap<u32, AttemptId> = BTreeMap::new();
            let up = node.machine.boxes.values().filter(|held| held.is_up());
            for held in up.filter(|held| known(held.life, &node.name)) {
                for core in &held.cores {
                    if let Some(other) = taken.insert(*core, held.life) {
                        let (name, life) = (&node.name, held.life);
                        panic!("core {core} of {name} runs {other} and {life}");
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

    fn nothing_new_where_it_drains(&self) {
        let placed = self.cluster.disk.tasks.values();
        for place in placed.filter_map(|task| task.placement.as_ref()) {
            if let Some(since) = self.drained.get(&place.node) {
                let node = &place.node;
                assert!(place.at <= *since, "{node} drains, and gets {place:?}");
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
            let good = last == *attempt || self.counted_anew.contains(id);
            assert!(good, "{id} began again after its kill");
        }
        let mut per_task: BTreeMap<TaskId, u32> = BTreeMap::new();
        for (attempt, count) in &self.starts() {
            let again = self.again.contains(&attempt.task);
            assert!(*count == 1 || again, "{attempt} began {count} times");
            *per_task.entry(attempt.task).or_default() += 1;
        }
        for (id, count) in per_task {
            self.check_count(id, count);
        }
    }

    /// Boxes that nothing will ever end. Those of a life that a restore took back are shown, and are an operator's.
    pub(crate) fn left(&self, node: &PretendNode) -> Vec<AttemptId> {
        let known = |id: &AttemptId| {
            let task = self.cluster.disk.tasks.get(&id.task);
            !self.restored || task.is_some_and(|task| task.attempt > 0)
        };
        let lives = node.machine.boxes.values().map(|held| held.life);
        lives.filter(known).collect()
    }

    fn check_count(&self, id: TaskId, count: u32) {
        let Some(task) = self.cluster.disk.tasks.get(&id) else {
            assert!(self.restored, "{id} began and is lost");
            return;
        };
        if task.is_vps() {
            let lives = task.attempt;
            let good = count <= lives || self.counted_anew.contains(&id);
            assert!(good, "{id} began {count} times in {lives} lives");
            return;
        }
        let retried = task.retried;
        let good = count <= retried + 1 || self.counted_anew.contains(&id);
        assert!(good, "{id} began {count} times with {retried} retries");
        let again = retried == 0 || !task.spec.stdin.streams();
        assert!(again, "{id} began again without its input");
        let asked = task.spec.retry_on_lost || retried <= task.spec.retries;
        assert!(asked, "{id} began again and did not ask for it");
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
            TaskState::Killed => {
                // A life that was taken back gave it up, and its node obeyed.
                let wished = self.wished.contains(&id) || self.counted_anew.contains(&id);
                assert!(wished, "{id}: nobody killed it");
            }
            TaskState::Lost => assert!(
                self.unheard.contains(&id),
                "{id}: it was never away: {outcome:?}"
            ),
            TaskState::TimedOut => {
                assert!(task.spec.time_limit_ms.is_some(), "{id} had time");
                assert_eq!(outcome.code, 124, "{id}: a wrong code");
            }
            TaskState::KilledOom => assert!(self.oomed.contains(&id), "{id} had memory"),
            TaskState::PendingApproval
            | TaskState::Pending
            | TaskState::Stopped
            | TaskState::Assigning
            | TaskState::Running
            | TaskState::Paused
            | TaskState::Rejected => panic!("{id} is {}", task.state),
        }
    }

    pub(crate) fn starts(&self) -> BTreeMap<AttemptId, u32> {
        let mut starts = BTreeMap::new();
        let nodes = self.cluster.nodes.iter();
        for (id, count) in nodes.flat_map(|node| &node.machine.starts) {
            *starts.entry(*id).or_default() += count;
        }
        starts
    }
}

//! What breaks, and what is done about it behind everybody's back.

use std::collections::BTreeSet;

use cluster::{AttemptId, TaskId, Wanted};
use gateway::state::Input;
use keys::NodeName;
use rand::RngExt;

use crate::world::World;

impl World {
    /// Runners that fell between two of their writes start anew.
    pub(crate) fn bury(&mut self) {
        for node in 0..self.cluster.nodes.len() {
            if self.cluster.nodes[node].fell() {
                self.note_killed_for_time(node);
                let lost = self.lost();
                self.cluster.hang_up(node, lost);
                let now = self.cluster.now;
                self.cluster.nodes[node].restart(false, now);
            }
        }
    }

    /// A runner that falls between its KILL for a time limit, which the guest did not heed, and the reading of the end
    /// does not know any more why: the task is lost, and says so.
    fn note_killed_for_time(&mut self, node: usize) {
        let attempts = self.cluster.nodes[node].attempts.values();
        let late = attempts.filter(|attempt| {
            let spec = &attempt.assignment.spec;
            spec.time_limit_ms.is_some() && attempt.stopping.is_some()
        });
        self.unheard
            .extend(late.map(|attempt| attempt.assignment.attempt.task));
    }

    /// A runner starts anew, at times because its machine did; boxes may have gone meanwhile.
    pub(crate) fn restart(&mut self, node: usize) {
        let (rebooted, gone) = (self.rng.random_bool(0.3), self.rng.random_bool(0.2));
        let lost = self.lost();
        self.cluster.hang_up(node, lost);
        self.note_killed_for_time(node);
        let now = self.cluster.now;
        let node = &mut self.cluster.nodes[node];
        let up = node.machine.boxes.iter().filter(|(_, held)| held.is_up());
        let up: Vec<AttemptId> = up.map(|(held, _)| *held).collect();
        for held in up.into_iter().filter(|_| rebooted || gone) {
            self.unheard.insert(held.task);
            node.machine.kill(held);
        }
        node.restart(rebooted, now);
    }

    /// Somebody pauses a box, or lets it go on.
    pub(crate) fn meddle(&mut self, node: usize) {
        let node = &mut self.cluster.nodes[node];
        let up = node.machine.boxes.iter().filter(|(_, held)| held.is_up());
        let up: Vec<AttemptId> = up.map(|(held, _)| *held).collect();
        if !up.is_empty() {
            node.meddle(up[self.rng.random_range(0..up.len())]);
        }
    }

    /// The engine of a node is away, or back.
    pub(crate) fn engine(&mut self, node: usize) {
        let node = &mut self.cluster.nodes[node];
        node.away = !node.away;
    }

    /// The disk of the gateway is full, or has room again.
    pub(crate) fn fill(&mut self) {
        self.cluster.full = !self.cluster.full && self.rng.random_bool(0.5);
    }

    /// Whoever is cut off is not heard of for longer than `lost_after`.
    pub(crate) fn silence(&mut self) {
        self.cluster.now.0 += 400_000;
        self.note_silent();
        self.tick();
    }

    /// What is on a node that may be given up from now on, or was, may be lost; and what a copy that was put back does
    /// not know of it begins elsewhere.
    pub(crate) fn note_silent(&mut self) {
        let (state, now) = (&self.cluster.state, self.cluster.now);
        let given_up = |name: &NodeName| {
            let since = state.silent_since(name);
            let silent = since.is_some_and(|since| now.0 >= since.0 + 300_000);
            silent || state.node(name).is_some_and(|node| node.lost)
        };
        let nodes = self.cluster.nodes.iter();
        for node in nodes.filter(|node| given_up(&node.name)) {
            let held: BTreeSet<TaskId> = node.machine.journal.keys().map(|id| id.task).collect();
            let placed = state.tasks().filter(|task| {
                let place = task.placement.as_ref();
                place.is_some_and(|place| place.node == node.name)
            });
            self.unheard.extend(placed.map(|task| task.id));
            self.again.extend(held.intersection(&self.counted_anew));
        }
    }

    pub(crate) fn tick(&mut self) {
        self.cluster.give(Input::Tick);
    }

    pub(crate) fn collect_one(&mut self) {
        if self.rng.random_bool(0.3)
            && let Some((attempt, output)) = self.cluster.fetched.first().copied()
        {
            // Heard at last; once more where it was fetched once more.
            if self.rng.random_bool(0.9) {
                self.cluster.fetched.remove(0);
            }
            self.cluster.give(Input::Collected { attempt, output });
            return;
        }
        let Some(attempt) = self.cluster.collect.pop_first() else {
            return;
        };
        let fetched = match self.calm || self.rng.random_bool(0.5) {
            true => self.cluster.fetch(attempt),
            false => self.cluster.fetch_quietly(attempt),
        };
        if fetched {
            self.fetched.insert(attempt);
        }
    }

    /// A copy of the store is made; one that was made before is put back.
    pub(crate) fn copy_or_restore(&mut self) {
        let begun = |world: &Self| world.starts().into_keys().collect::<BTreeSet<_>>();
        let Some((copy, before)) = self.copy.take() else {
            self.copy = Some((self.cluster.disk.clone(), begun(self)));
            return;
        };
        let since: BTreeSet<AttemptId> = begun(self).difference(&before).copied().collect();
        let nodes = self.cluster.nodes.iter();
        let here: BTreeSet<AttemptId> = nodes
            .flat_map(|node| &node.machine.journal)
            .filter(|(_, found)| found.taken.assignment.wanted != Wanted::Drop)
            .map(|(id, _)| *id)
            .collect();
        for task in copy.tasks.values().filter(|task| !task.state.is_final()) {
            let id = task.id;
            self.unheard.insert(id);
            self.counted_anew.insert(id);
            let mut gone = since.difference(&here);
            if gone.any(|attempt| attempt.task == id) {
                self.again.insert(id);
            }
        }
        // What was acknowledged since may be lost, and what was asked since.
        let known = |id: &TaskId| copy.tasks.contains_key(id);
        self.acknowledged.retain(known);
        self.keys.retain(|_, id| known(id));
        let over = |id: &TaskId| {
            let task = copy.tasks.get(id);
            task.is_some_and(|task| task.state.is_final())
        };
        self.ends.retain(|id, _| over(id));
        self.killed.retain(|id, _| over(id));
        self.wishes.clear();
        self.restored = true;
        self.note_silent();
        self.cluster.restore(&copy);
    }
}

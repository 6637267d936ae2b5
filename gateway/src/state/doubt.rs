//! After a restore: what the copy says was placed may have ended since, or have begun once more. Its node is not told
//! to run it before it has said that it does, or it would run twice.

use cluster::{AttemptId, Task, TaskId};

use super::{Effect, State};

impl State {
    /// Was it placed before the copy was put back, and has its node not spoken of it since?
    pub(super) fn is_doubted(&self, task: &Task) -> bool {
        let placed = task.placement.as_ref();
        placed.is_some_and(|placed| placed.epoch < self.counters.restored)
    }

    /// Its node has it, as this attempt or as a later one of a life that we do not remember: that is then the present
    /// one.
    pub(super) fn confirm(&mut self, task: &mut Task, told: AttemptId, out: &mut Vec<Effect>) {
        let later = told.number > task.attempt && !task.state.is_final();
        if told.number != task.attempt && !later {
            return;
        }
        task.attempt = told.number;
        if let Some(placed) = &mut task.placement {
            placed.epoch = self.counters.epoch;
            let node = placed.node.clone();
            self.put(task.clone(), out);
            self.publish(&node, out);
        }
    }

    /// May anything be held back at all?
    pub(super) fn has_doubts(&self) -> bool {
        let mut links = self.links.values();
        self.counters.restored_task > 0 || links.any(|link| !link.unknown.is_empty())
    }

    /// It waits here, and a node has it, or may have it: why it is not placed yet.
    #[must_use]
    pub fn held_back(&self, id: TaskId) -> Option<String> {
        for (name, link) in &self.links {
            let own = link.unknown.iter().find(|(attempt, _)| attempt.task == id);
            if let Some((attempt, phase)) = own {
                return Some(format!(
                    "{name} has {attempt} of it ({phase}), which this gateway does not remember: an operator ends \
                     that by `node forget {name} {attempt}`"
                ));
            }
        }
        if id.0 > self.counters.restored_task {
            return None;
        }
        let unheard = self
            .nodes
            .values()
            .find(|node| !node.lost && !self.heard.contains(&node.name))?;
        let name = &unheard.name;
        Some(format!(
            "the store was put back from a copy: {name} may have begun it since, and has not been heard yet"
        ))
    }
}

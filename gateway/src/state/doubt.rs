//! After a restore: what the copy says was placed may have ended since, or have begun once more. Its node is not told
//! to run it before it has said that it does, or it would run twice.

use cluster::{AttemptId, Task};

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
}

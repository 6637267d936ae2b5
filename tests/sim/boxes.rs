//! Boxes that stay, and what was last wished of what goes on.

use cluster::{Task, TaskId, TaskState};
use rand::RngExt;
use shell::Change;
use shell::command::TaskRef;

use crate::people::Heard;
use crate::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Paused,
    Resumed,
    Stopped,
    Restarted,
    Deleted,
}

impl World {
    pub(crate) fn vps(&mut self) {
        let Some((id, _)) = self.one(Task::is_vps) else {
            return;
        };
        let boxes = vec![TaskRef::vps(id.0.to_string())];
        let (change, wish) = match self.rng.random_range(0..10) {
            0..4 => (Change::VpsStop { boxes }, Wish::Stopped),
            4..9 => (Change::VpsRestart { boxes }, Wish::Restarted),
            _ => (Change::VpsDelete { boxes }, Wish::Deleted),
        };
        let heard = self.asked(change);
        if wish == Wish::Deleted && heard != Heard::No {
            self.wished.insert(id);
        }
        self.note(id, heard, wish);
    }

    pub(crate) fn wish(&mut self, id: TaskId, heard: Heard, pauses: bool) {
        let wish = if pauses { Wish::Paused } else { Wish::Resumed };
        self.note(id, heard, wish);
    }

    /// A deletion is not taken back by what comes after it.
    fn note(&mut self, id: TaskId, heard: Heard, wish: Wish) {
        let deleted = self.wishes.get(&id) == Some(&Wish::Deleted);
        match heard {
            Heard::No => {}
            Heard::Nothing if deleted => {}
            Heard::Nothing => drop(self.wishes.remove(&id)),
            Heard::Yes if deleted => {}
            Heard::Yes => drop(self.wishes.insert(id, wish)),
        }
    }

    /// Everything was heard, and nothing ended since by itself: it is as it was wished.
    pub(crate) fn check_wishes(&self) {
        for (id, wish) in &self.wishes {
            let Some(state) = self.state(*id) else {
                continue;
            };
            let task = &self.cluster.disk.tasks[id];
            let good = match (wish, state) {
                // It may have ended before, or wait for another attempt, which nobody has paused.
                (Wish::Paused, TaskState::Running) => task.retried > 0 || self.is_fresh(task),
                (Wish::Resumed, TaskState::Paused) => false,
                (Wish::Stopped, state) => state == TaskState::Stopped,
                // It may have failed too often.
                (Wish::Restarted, TaskState::Running | TaskState::Pending | TaskState::Stopped) => {
                    true
                }
                (Wish::Restarted, TaskState::Assigning) => self.is_fresh(task),
                (Wish::Paused | Wish::Resumed | Wish::Restarted, _) => true,
                (Wish::Deleted, _) => true,
            };
            // Somebody may have deleted it, and not have heard so.
            let deleted = *wish != Wish::Deleted || state.is_final();
            assert!(deleted, "{id} is {state}, and was deleted");
            let unsure = self.unheard.contains(id) || self.wished.contains(id);
            assert!(good || unsure, "{id} is {state}, and was wished {wish:?}");
        }
    }

    /// It had a place a moment ago.
    fn is_fresh(&self, task: &Task) -> bool {
        let place = task.placement.as_ref();
        place.is_some_and(|place| self.cluster.now.0 < place.at.0 + 20_000)
    }

    /// Nothing stands still for ever, and nothing stays.
    pub(crate) fn resume_and_delete(&mut self) {
        let live = self.cluster.state.tasks();
        let live = live.filter(|task| !task.state.is_final());
        let live: Vec<(TaskId, bool, TaskState)> = live
            .map(|task| (task.id, task.is_vps(), task.state))
            .collect();
        for (id, stays, state) in live {
            if stays {
                let boxes = vec![TaskRef::vps(id.0.to_string())];
                self.wished.insert(id);
                self.asked(Change::VpsDelete { boxes });
            } else if state == TaskState::Paused {
                let tasks = vec![TaskRef::task(id.0.to_string())];
                self.asked(Change::TaskResume { tasks });
            }
        }
    }
}

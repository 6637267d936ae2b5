//! One after the other: whatever starts a box that stays, copies its disk, puts one back or removes it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cluster::AttemptId;
use tokio::sync::OwnedMutexGuard;

type Lock = tokio::sync::Mutex<()>;

/// Cheap to share.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Of boxes that somebody has a turn with, or waits for one.
    locks: HashMap<AttemptId, Weak<Lock>>,
    copied: HashSet<AttemptId>,
}

/// While it lives, nobody else changes the box.
pub type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits until everybody who came before is done with the box.
    pub async fn take(&self, held: AttemptId) -> Turn {
        let lock = self.lock(held);
        lock.lock_owned().await
    }

    /// Only if nobody has it.
    #[must_use]
    pub fn try_take(&self, held: AttemptId) -> Option<Turn> {
        self.lock(held).try_lock_owned().ok()
    }

    /// The engine stands the box still for as long as that lives, and nobody else is to care.
    #[must_use]
    pub fn copy(&self, held: AttemptId) -> Copying {
        self.state().copied.insert(held);
        Copying(self.clone(), held)
    }

    /// Is its disk being copied?
    #[must_use]
    pub fn is_copied(&self, held: AttemptId) -> bool {
        self.state().copied.contains(&held)
    }

    fn lock(&self, held: AttemptId) -> Arc<Lock> {
        let mut state = self.state();
        state.locks.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = state.locks.get(&held).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(Lock::default());
        state.locks.insert(held, Arc::downgrade(&lock));
        lock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Turns::copy`].
pub struct Copying(Turns, AttemptId);

impl Drop for Copying {
    fn drop(&mut self) {
        self.0.state().copied.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use cluster::TaskId;

    use super::*;

    #[tokio::test]
    async fn a_box_is_changed_by_one_at_a_time_and_others_do_not_wait() {
        let turns = Turns::default();
        let held = |task| AttemptId {
            task: TaskId(task),
            number: 0,
        };
        let first = turns.take(held(1)).await;
        assert!(turns.try_take(held(1)).is_none());
        assert!(turns.try_take(held(2)).is_some());
        let next = tokio::spawn({
            let turns = turns.clone();
            async move {
                drop(
                    turns
                        .take(AttemptId {
                            number: 0,
                            task: TaskId(1),
                        })
                        .await,
                )
            }
        });
        drop(first);
        next.await.unwrap();
        assert!(turns.try_take(held(1)).is_some());
        let copying = turns.copy(held(1));
        assert!(turns.is_copied(held(1)) && !turns.is_copied(held(2)));
        drop(copying);
        assert!(!turns.is_copied(held(1)));
    }
}

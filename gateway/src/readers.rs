//! Reads of the store: a few at a time, and of one account fewer still, so that nobody waits behind all that somebody
//! else asks for, and commits find a thread.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use keys::UserName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of all together.
const ALL: usize = 8;
/// Of one account.
const EACH: usize = 2;

/// There is one of it.
#[derive(Debug)]
pub struct Readers {
    all: Arc<Semaphore>,
    /// As many as there are accounts.
    each: Mutex<HashMap<UserName, Arc<Semaphore>>>,
}

impl Default for Readers {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            each: Mutex::default(),
        }
    }
}

impl Readers {
    /// Does this on a thread where it may wait for the disk, once it is this account's turn. `None`: the process ends.
    pub async fn read<T: Send + 'static>(
        &self,
        account: &UserName,
        look: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turn = self.turn(account).await?;
        let looking = tokio::task::spawn_blocking(move || {
            let seen = look();
            drop(turn);
            seen
        });
        looking.await.ok()
    }

    async fn turn(&self, account: &UserName) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = {
            let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
            let own = each.entry(account.clone());
            Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(EACH))))
        };
        let own = own.acquire_owned().await.ok()?;
        let any = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some([own, any])
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_asks_for_much_waits_for_himself_alone() {
        let readers = Readers::default();
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let held = [readers.turn(&alice).await, readers.turn(&alice).await];
        assert!(readers.turn(&alice).now_or_never().is_none());
        assert_eq!(readers.read(&bob, || 7).await, Some(7));
        drop(held);
        assert_eq!(readers.read(&alice, || 8).await, Some(8));
    }
}

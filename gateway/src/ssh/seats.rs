//! Connections of each account: one has a quarter of those that the gateway can have, so that there are always some for
//! others and for nodes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use keys::UserName;

/// Open files of this process for each connection that one account may have.
const FILES: usize = 4;
/// However few files may be open.
const LEAST: usize = 32;

/// There is one of it.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    taken: Mutex<HashMap<UserName, usize>>,
}

/// A connection of an account, until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    account: UserName,
}

impl Seats {
    /// `files`: that this process may have open.
    #[must_use]
    pub fn of(files: usize) -> Arc<Self> {
        Arc::new(Self {
            most: (files / FILES).max(LEAST),
            taken: Mutex::default(),
        })
    }

    /// `None`: the account has as many as it may.
    pub(super) fn take(self: &Arc<Self>, account: &UserName) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(account.clone()).or_default();
        if *own >= self.most {
            return None;
        }
        *own += 1;
        Some(Seat {
            seats: Arc::clone(self),
            account: account.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self
            .seats
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let left = taken.get(&self.account).map_or(0, |own| own - 1);
        if left == 0 {
            taken.remove(&self.account);
        } else {
            taken.insert(self.account.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_its_part_and_others_have_theirs() {
        let seats = Seats::of(LEAST * FILES);
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let mut held: Vec<Seat> = (0..LEAST).map_while(|_| seats.take(&alice)).collect();
        assert_eq!(held.len(), LEAST);
        assert!(seats.take(&alice).is_none());
        drop(seats.take(&bob).unwrap());
        held.pop();
        held.push(seats.take(&alice).unwrap());
        drop(held);
        assert!(seats.taken.lock().unwrap().is_empty());
    }
}

//! Things that people share, counted by whose they are: nobody has all of them. Each is a seat, until it is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use keys::UserName;

/// Open files of this process for each connection that one account may have.
const FILES: usize = 4;
/// However few files may be open.
const LEAST: usize = 32;

/// There is one of it for each kind of thing.
#[derive(Debug)]
pub struct Seats<K> {
    most: usize,
    taken: Mutex<HashMap<K, usize>>,
}

/// One of those of somebody.
#[derive(Debug)]
pub struct Seat<K: Eq + Hash> {
    seats: Arc<Seats<K>>,
    whose: K,
}

impl<K: Eq + Hash + Clone> Seats<K> {
    /// So many for each.
    #[must_use]
    pub fn of(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            taken: Mutex::default(),
        })
    }

    /// `None`: they have as many as they may.
    pub fn take(self: &Arc<Self>, whose: &K) -> Option<Seat<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(whose.clone()).or_default();
        if *own >= self.most {
            return None;
        }
        *own += 1;
        Some(Seat {
            seats: Arc::clone(self),
            whose: whose.clone(),
        })
    }
}

impl Seats<UserName> {
    /// Connections of accounts: a quarter of those that may be, so that there are always some for others and for nodes.
    /// `files`: that this process may have open.
    #[must_use]
    pub fn connections(files: usize) -> Arc<Self> {
        Self::of((files / FILES).max(LEAST))
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let taken = self.seats.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.whose) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_part_and_others_have_theirs() {
        let seats = Seats::connections(LEAST * FILES);
        let (alice, bob) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        let mut held: Vec<Seat<UserName>> = (0..LEAST).map_while(|_| seats.take(&alice)).collect();
        assert_eq!(held.len(), LEAST);
        assert!(seats.take(&alice).is_none());
        drop(seats.take(&bob).unwrap());
        held.pop();
        held.push(seats.take(&alice).unwrap());
        drop(held);
        assert!(seats.taken.lock().unwrap().is_empty());
    }
}

//! Things that people share, counted by whose they are: nobody has all of them. Who has some holds a seat, until it is
//! dropped.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use keys::UserName;

/// Of the files that this process may have open, one of so many may be a connection of one holder…
const PART: usize = 4;
/// … and so many of [`PART`] connections of people. The others are nodes', and the gateway's own.
const PARTS: usize = 3;
/// However few files may be open.
const LEAST: usize = 32;

/// There is one of it for each kind of thing.
#[derive(Debug)]
pub struct Seats<K> {
    /// Of one holder.
    each: usize,
    /// Of all together.
    all: usize,
    taken: Mutex<Taken<K>>,
}

#[derive(Debug)]
struct Taken<K> {
    each: HashMap<K, usize>,
    all: usize,
}

/// Whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    Account(UserName),
    /// The fingerprint of a key that opens one box alone: who has it takes nothing from the box's owner.
    Key(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(name) => name.fmt(f),
            Self::Key(fingerprint) => f.write_str(fingerprint),
        }
    }
}

/// There is none left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// They have so many.
    Own(usize),
    /// All together have as many as they may.
    All,
}

/// So many of somebody's.
#[derive(Debug)]
pub struct Seat<K: Eq + Hash> {
    seats: Arc<Seats<K>>,
    whose: K,
    held: usize,
}

impl<K: Eq + Hash + Clone> Seats<K> {
    /// So many for each, and so many for all.
    #[must_use]
    pub fn of(each: usize, all: usize) -> Arc<Self> {
        let taken = Taken {
            each: HashMap::new(),
            all: 0,
        };
        Arc::new(Self {
            each,
            all,
            taken: Mutex::new(taken),
        })
    }

    /// Nothing yet.
    #[must_use]
    pub fn none(self: &Arc<Self>, whose: &K) -> Seat<K> {
        Seat {
            seats: Arc::clone(self),
            whose: whose.clone(),
            held: 0,
        }
    }

    /// One.
    ///
    /// # Errors
    /// When they, or all together, have as many as they may.
    pub fn take(self: &Arc<Self>, whose: &K) -> Result<Seat<K>, Full> {
        let mut seat = self.none(whose);
        seat.grow(1)?;
        Ok(seat)
    }
}

impl<K: Eq + Hash + Clone> Seat<K> {
    /// Now it is so many in all; never fewer than before.
    ///
    /// # Errors
    /// When there are not so many: what was held before still is.
    pub fn grow(&mut self, to: usize) -> Result<(), Full> {
        let more = to.saturating_sub(self.held);
        if more == 0 {
            return Ok(());
        }
        let taken = self.seats.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        let own = taken.each.get(&self.whose).copied().unwrap_or_default();
        if own + more > self.seats.each {
            return Err(Full::Own(own));
        }
        if taken.all + more > self.seats.all {
            return Err(Full::All);
        }
        taken.all += more;
        taken.each.insert(self.whose.clone(), own + more);
        self.held = to;
        Ok(())
    }

    #[must_use]
    pub const fn whose(&self) -> &K {
        &self.whose
    }
}

#[cfg(test)]
impl<K> Seats<K> {
    /// Nobody has anything.
    pub(crate) fn is_free(&self) -> bool {
        let taken = self.taken.lock().unwrap();
        taken.each.is_empty() && taken.all == 0
    }
}

impl Seats<Holder> {
    /// Connections of people: a quarter of those that may be for one, and some left for nodes.
    /// `files`: that this process may have open.
    #[must_use]
    pub fn connections(files: usize) -> Arc<Self> {
        let part = (files / PART).max(LEAST);
        Self::of(part, part * PARTS)
    }
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        if self.held == 0 {
            return;
        }
        let taken = self.seats.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.held;
        if let Some(own) = taken.each.get_mut(&self.whose) {
            *own -= self.held;
            if *own == 0 {
                taken.each.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_part_and_others_have_theirs() {
        let seats = Seats::connections(LEAST * PART);
        let [alice, bob, carol, dora] =
            ["alice", "bob", "carol", "dora"].map(|name| Holder::Account(name.parse().unwrap()));
        let mut held: Vec<_> = (0..LEAST).map(|_| seats.take(&alice).unwrap()).collect();
        assert_eq!(seats.take(&alice).unwrap_err(), Full::Own(LEAST));
        drop(seats.take(&bob).unwrap());
        held.pop();
        held.push(seats.take(&alice).unwrap());
        for other in [&bob, &carol] {
            held.extend((0..LEAST).map(|_| seats.take(other).unwrap()));
        }
        assert_eq!(seats.take(&dora).unwrap_err(), Full::All);
        drop(held);
        assert!(seats.is_free());
    }
}

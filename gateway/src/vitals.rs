//! How this process does: since when it runs, what its store refused, what happens at its door. Written where it
//! happens, read by `doctor`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cluster::Timestamp;

/// One of a gateway's life.
#[derive(Debug)]
pub struct Vitals {
    started: Instant,
    trouble: Mutex<Option<Trouble>>,
    pub door: Arc<DoorCounts>,
}

/// The store took nothing, since then; why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub since: Timestamp,
    pub why: String,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            trouble: Mutex::default(),
            door: Arc::default(),
        }
    }
}

impl Vitals {
    #[must_use]
    pub fn up(&self) -> Duration {
        self.started.elapsed()
    }

    /// A turn was not committed; the first time of several counts.
    pub fn refused(&self, since: Timestamp, why: &str) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.get_or_insert_with(|| Trouble {
            since,
            why: why.to_owned(),
        });
    }

    /// A turn was committed.
    pub fn committed(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone()
    }
}

/// At the door: who is there now, and what became of others since the start.
#[derive(Debug, Default)]
pub struct DoorCounts {
    pub inside: AtomicU64,
    pub waiting: AtomicU64,
    pub failed: AtomicU64,
    pub late: AtomicU64,
    pub yielded: AtomicU64,
    pub refused: AtomicU64,
}

/// [`DoorCounts`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorSeen {
    pub inside: u64,
    pub waiting: u64,
    pub failed: u64,
    pub late: u64,
    pub yielded: u64,
    pub refused: u64,
}

impl DoorCounts {
    #[must_use]
    pub fn seen(&self) -> DoorSeen {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DoorSeen {
            inside: of(&self.inside),
            waiting: of(&self.waiting),
            failed: of(&self.failed),
            late: of(&self.late),
            yielded: of(&self.yielded),
            refused: of(&self.refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_in_trouble_is_so_since_the_first_refusal_until_something_is_committed() {
        let vitals = Vitals::default();
        assert_eq!(vitals.trouble(), None);
        vitals.refused(Timestamp(5), "full");
        vitals.refused(Timestamp(9), "full");
        assert_eq!(vitals.trouble().unwrap().since, Timestamp(5));
        vitals.committed();
        assert_eq!(vitals.trouble(), None);
    }
}

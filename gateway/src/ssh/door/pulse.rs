//! How long a connection that has proved nothing lets this side wait. Pure: times are counted from when the
//! door was opened.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// From then on all that it has been there counts: a byte now and then is no progress.
const LONG: Duration = Duration::from_secs(5);
/// Somebody whose key is known may look for a passphrase or a token.
const SEARCH: Duration = Duration::from_secs(20);
/// Owes nothing.
const NOTHING: u64 = u64::MAX;

/// Between a connection and the door; cheap to share.
#[derive(Clone, Debug)]
pub(in crate::ssh) struct Pulse(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Since when the peer's next bytes are waited for, in milliseconds.
    owed: AtomicU64,
    /// Since when it has failed, in milliseconds: trying again is no progress.
    failed: AtomicU64,
    /// Tries that were refused.
    refused: AtomicU64,
    /// It offered a key that is known, and was asked to sign.
    known: AtomicBool,
    /// It was let in with a token, which is good for one visit.
    joined: AtomicBool,
    /// What was wrong with what it proved.
    why: OnceLock<String>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Shared {
            owed: AtomicU64::new(NOTHING),
            failed: AtomicU64::new(NOTHING),
            refused: AtomicU64::new(0),
            known: AtomicBool::new(false),
            joined: AtomicBool::new(false),
            why: OnceLock::new(),
        }))
    }
}

impl Pulse {
    /// Nothing came: the peer's turn.
    pub(in crate::ssh) fn waits(&self, now: Duration) {
        if self.0.owed.load(Ordering::Relaxed) == NOTHING {
            self.0.owed.store(millis(now), Ordering::Relaxed);
        }
    }

    /// Something came: this side's turn.
    pub(in crate::ssh) fn heard(&self) {
        self.0.owed.store(NOTHING, Ordering::Relaxed);
    }

    /// A try to sign in was refused.
    pub(in crate::ssh) fn fails(&self, now: Duration) {
        self.0.failed.fetch_min(millis(now), Ordering::Relaxed);
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Tries that were refused.
    pub(in crate::ssh) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// What was wrong, for the operator; the first time counts.
    pub(in crate::ssh) fn because(&self, why: String) {
        let _ = self.0.why.set(why);
    }

    pub(super) fn why(&self) -> Option<&str> {
        self.0.why.get().map(String::as_str)
    }

    /// A token was good: this visit has not come to nothing.
    pub(in crate::ssh) fn joins(&self) {
        self.0.joined.store(true, Ordering::Relaxed);
    }

    pub(super) fn joined(&self) -> bool {
        self.0.joined.load(Ordering::Relaxed)
    }

    pub(in crate::ssh) fn is_known(&self) {
        self.0.known.store(true, Ordering::Relaxed);
    }

    /// How long it has kept others waiting for nothing; it came at `since`.
    pub(super) fn overdue(&self, since: Duration, now: Duration) -> Duration {
        let owed = self.0.owed.load(Ordering::Relaxed);
        let from = owed.min(self.0.failed.load(Ordering::Relaxed));
        let stalled = Duration::from_millis(millis(now).saturating_sub(from));
        let late = now.saturating_sub(since).saturating_sub(LONG);
        let overdue = stalled.max(late);
        if self.0.known.load(Ordering::Relaxed) {
            overdue.saturating_sub(SEARCH)
        } else {
            overdue
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(NOTHING - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn only_the_peers_own_time_counts() {
        let pulse = Pulse::default();
        assert_eq!(pulse.overdue(at(0), at(900)), at(0), "this side works");
        pulse.waits(at(1000));
        pulse.waits(at(1200));
        assert_eq!(pulse.overdue(at(0), at(1300)), at(300));
        pulse.heard();
        assert_eq!(pulse.overdue(at(0), at(1400)), at(0));
        assert_eq!(pulse.overdue(at(0), at(9000)), at(4000), "too long in all");
    }

    #[test]
    fn a_failure_is_not_made_good_by_the_next_try() {
        let pulse = Pulse::default();
        pulse.fails(at(1000));
        pulse.heard();
        pulse.fails(at(2000));
        assert_eq!(pulse.overdue(at(0), at(2500)), at(1500));
    }

    #[test]
    fn who_has_a_known_key_may_look_for_the_token() {
        let pulse = Pulse::default();
        pulse.is_known();
        pulse.waits(at(0));
        assert_eq!(pulse.overdue(at(0), at(15_000)), at(0));
        assert_eq!(pulse.overdue(at(0), at(26_000)), at(6000));
    }
}

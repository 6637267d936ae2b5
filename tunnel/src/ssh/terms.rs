//! What a peer may take from this side, and how long it may be silent. That depends on who it is, which
//! shows only after a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A peer that is a person's client is asked for a sign of life when it was silent for so long ...
pub const PERSON_KEEPALIVE: Duration = Duration::from_secs(30);
/// ... and a runner asks its gateway.
pub const RUNNER_KEEPALIVE: Duration = Duration::from_secs(15);
/// So many of them without an answer, and the peer is gone.
pub const KEEPALIVES: u32 = 3;

/// Bytes held for a stranger while a write is blocked: its key exchange and some tries.
const STRANGER_HELD: usize = 256 << 10;
/// For a person's client, which reads while it writes: two windows.
const PERSON_HELD: usize = 4 << 20;
/// On a link: above the credit of all streams of a connection, for either end may be writing.
const LINK_HELD: usize = 256 << 20;
/// A blocked write of a connection that has no other limit.
const STALL: Duration = Duration::from_secs(120);

/// Cheap to share: whoever learns who the peer is says so here.
#[derive(Clone, Debug)]
pub struct Terms(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Most bytes held while a write is blocked; beyond it nothing is read.
    held: AtomicUsize,
    /// Milliseconds; 0: no limit.
    silence: AtomicU64,
    made: Instant,
    /// When something came last, in milliseconds since `made`.
    heard: AtomicU64,
}

impl Terms {
    /// With these limits; a silence without limit is `None`.
    #[must_use]
    pub fn new(held: usize, silence: Option<Duration>) -> Self {
        let terms = Self(Arc::new(Shared {
            held: AtomicUsize::new(held),
            silence: AtomicU64::new(0),
            made: Instant::now(),
            heard: AtomicU64::new(0),
        }));
        terms.set(held, silence);
        terms
    }

    /// Of somebody who has proved nothing yet. Somebody else limits how long that lasts.
    #[must_use]
    pub fn stranger() -> Self {
        Self::new(STRANGER_HELD, None)
    }

    /// Of either end of a runner's link.
    #[must_use]
    pub fn link() -> Self {
        let terms = Self::stranger();
        terms.be_link();
        terms
    }

    /// The peer is a person's client.
    pub fn be_person(&self) {
        self.set(PERSON_HELD, Some(PERSON_KEEPALIVE * KEEPALIVES));
    }

    /// The peer is a runner.
    pub fn be_link(&self) {
        self.set(LINK_HELD, Some(RUNNER_KEEPALIVE * KEEPALIVES));
    }

    pub(super) fn is_link(&self) -> bool {
        self.held() == LINK_HELD
    }

    /// Something came.
    pub(super) fn hear(&self, now: Instant) {
        let since = now.duration_since(self.0.made).as_millis();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.0.heard.store(since, Ordering::Relaxed);
    }

    /// For how long nothing has come.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        let heard = Duration::from_millis(self.0.heard.load(Ordering::Relaxed));
        self.0.made.elapsed().saturating_sub(heard)
    }

    fn set(&self, held: usize, silence: Option<Duration>) {
        self.0.held.store(held, Ordering::Relaxed);
        let silence = silence.map_or(0, |limit| {
            u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
        });
        self.0.silence.store(silence, Ordering::Relaxed);
    }

    pub(super) fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// How long the peer may say nothing.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        match self.0.silence.load(Ordering::Relaxed) {
            0 => None,
            limit => Some(Duration::from_millis(limit)),
        }
    }

    /// How long a write may move nothing, with nothing read either: russh's keepalive does not run while
    /// it writes.
    pub(super) fn stall(&self) -> Duration {
        self.silence().unwrap_or(STALL)
    }
}

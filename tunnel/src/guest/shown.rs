//! What a terminal has shown, how far each of its viewers has come, and for whom its program waits.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Bytes that a newcomer is shown of what was there before.
pub(super) const SCROLLBACK: usize = 256 << 10;
/// Bytes that a viewer who may type may be behind before the program waits; with a read and what a terminal of the
/// kernel holds they are fewer than [`SCROLLBACK`].
const BEHIND: u64 = 128 << 10;
/// How long the program waits for a viewer who takes nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes for a viewer at a time.
const PIECE: usize = 32 << 10;

/// Positions are counts of all bytes since the terminal began.
#[derive(Default)]
pub(super) struct Shown {
    /// The last of them.
    bytes: VecDeque<u8>,
    end: u64,
    viewers: HashMap<u64, Viewer>,
    /// Viewers so far.
    numbers: u64,
}

struct Viewer {
    at: u64,
    types: bool,
    /// When it last took something, or began to be behind.
    moved: Instant,
}

/// What a viewer is to see next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes before it that are gone.
    pub(super) skipped: u64,
    pub(super) bytes: Vec<u8>,
    until: u64,
}

impl Shown {
    pub(super) fn add(&mut self, bytes: &[u8], now: Instant) {
        for viewer in self.viewers.values_mut() {
            if viewer.at == self.end {
                viewer.moved = now;
            }
        }
        self.end += bytes.len() as u64;
        self.bytes.extend(bytes);
        let extra = self.bytes.len().saturating_sub(SCROLLBACK);
        self.bytes.drain(..extra);
    }

    /// A viewer, who begins with what is kept. Their number.
    pub(super) fn join(&mut self, types: bool, now: Instant) -> u64 {
        self.numbers += 1;
        let viewer = Viewer {
            at: self.start(),
            types,
            moved: now,
        };
        self.viewers.insert(self.numbers, viewer);
        self.numbers
    }

    pub(super) fn leave(&mut self, number: u64) {
        self.viewers.remove(&number);
    }

    /// `None`: they have seen all.
    pub(super) fn next(&self, number: u64) -> Option<Piece> {
        let at = self.viewers.get(&number)?.at;
        // Who lost some would lose more at once, were they shown the oldest that is kept.
        let from = if at < self.start() {
            self.end.saturating_sub(BEHIND).max(self.start())
        } else {
            at
        };
        let first = usize::try_from(from - self.start()).ok()?;
        let last = self.bytes.len().min(first + PIECE);
        let bytes: Vec<u8> = self.bytes.range(first..last).copied().collect();
        (!bytes.is_empty()).then(|| Piece {
            skipped: from - at,
            until: from + bytes.len() as u64,
            bytes,
        })
    }

    pub(super) fn took(&mut self, number: u64, piece: &Piece, now: Instant) {
        if let Some(viewer) = self.viewers.get_mut(&number) {
            viewer.at = piece.until;
            viewer.moved = now;
        }
    }

    /// Until when the program waits at most, unless somebody takes something or leaves; `None`: it goes on.
    pub(super) fn held(&self, now: Instant) -> Option<Instant> {
        let behind = self
            .viewers
            .values()
            .filter(|viewer| viewer.types && self.end - viewer.at >= BEHIND);
        let until = behind.map(|viewer| viewer.moved + PATIENCE);
        until.filter(|until| *until > now).max()
    }

    fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The byte at each position.
    #[expect(clippy::cast_possible_truncation, reason = "any byte does")]
    fn byte(at: u64) -> u8 {
        (at ^ (at >> 8)) as u8
    }

    fn add(shown: &mut Shown, count: u64, now: Instant) {
        let bytes: Vec<u8> = (shown.end..shown.end + count).map(byte).collect();
        shown.add(&bytes, now);
    }

    /// Takes one piece; the bytes that were skipped before it.
    fn take(shown: &mut Shown, number: u64, now: Instant) -> Option<u64> {
        let at = shown.viewers[&number].at;
        let piece = shown.next(number)?;
        for (position, seen) in (at + piece.skipped..).zip(&piece.bytes) {
            assert_eq!(*seen, byte(position));
        }
        shown.took(number, &piece, now);
        Some(piece.skipped)
    }

    #[test]
    fn a_viewer_who_takes_nothing_holds_the_program_so_long_and_no_longer() {
        let (mut shown, begun) = (Shown::default(), Instant::now());
        let (stuck, watcher) = (shown.join(true, begun), shown.join(false, begun));
        // They were idle for long before.
        let now = begun + 100 * PATIENCE;
        add(&mut shown, BEHIND - 1, now);
        assert_eq!(shown.held(now), None);
        add(&mut shown, 1, now);
        assert_eq!(shown.held(now), Some(now + PATIENCE));
        let later = now + PATIENCE;
        assert_eq!(shown.held(later), None);
        // Who takes something again is waited for again.
        assert_eq!(take(&mut shown, stuck, later), Some(0));
        add(&mut shown, PIECE as u64, later);
        assert_eq!(shown.held(later), Some(later + PATIENCE));
        shown.leave(stuck);
        assert_eq!(shown.held(later), None, "nobody waits for a watcher");
        add(&mut shown, SCROLLBACK as u64, later);
        assert!(take(&mut shown, watcher, later).unwrap() > 0);
        assert_eq!(take(&mut shown, watcher, later), Some(0));
    }

    proptest! {
        /// Steps: bytes of the program, or who takes a piece.
        #[test]
        fn who_types_and_takes_what_comes_misses_nothing(
            steps in prop::collection::vec((0_u8..4, 0..=PIECE as u64), 1..200)
        ) {
            let (mut shown, now) = (Shown::default(), Instant::now());
            let (typist, watcher) = (shown.join(true, now), shown.join(false, now));
            for (who, count) in steps {
                match who {
                    0 => prop_assert_eq!(take(&mut shown, typist, now).unwrap_or(0), 0),
                    1 => drop(take(&mut shown, watcher, now)),
                    _ if shown.held(now).is_none() => add(&mut shown, count, now),
                    _ => {}
                }
            }
            while let Some(skipped) = take(&mut shown, typist, now) {
                prop_assert_eq!(skipped, 0);
            }
            prop_assert_eq!(shown.viewers[&typist].at, shown.end);
        }
    }
}

//! Bytes that wait, in the pieces they came in. Small ones are put together: a peer that sends byte by byte
//! costs what it sends, not a hundred times as much.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A piece below this size, in bytes, is added to one that waits ...
const SMALL: usize = 4 << 10;
/// ... until that has so many.
const WHOLE: usize = 16 << 10;

#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<BytesMut>);

impl Waiting {
    pub(super) fn push(&mut self, data: &[u8]) {
        match self.0.back_mut() {
            Some(last) if data.len() < SMALL && last.len() + data.len() <= WHOLE => {
                last.extend_from_slice(data);
            }
            Some(_) | None => self.0.push_back(BytesMut::from(data)),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.0.pop_front().map(BytesMut::freeze)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_put_together_and_large_ones_stay_as_they_are() {
        let mut waiting = Waiting::default();
        for n in 0..100_000_u32 {
            waiting.push(&[n as u8]);
        }
        assert!(waiting.0.len() <= 100_000 / WHOLE + 1);
        waiting.push(&[7; SMALL]);
        waiting.push(&[8; SMALL]);
        let mut got = Vec::new();
        while let Some(piece) = waiting.pop() {
            got.push(piece);
        }
        assert!(waiting.is_empty());
        assert_eq!(got.len(), 100_000 / WHOLE + 3);
        let all = got.concat();
        assert!((0..100_000_u32).all(|n| all[n as usize] == n as u8));
        assert!(all[100_000..].starts_with(&[7; SMALL]) && all.ends_with(&[8; SMALL]));
    }
}

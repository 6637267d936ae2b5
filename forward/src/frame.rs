//! What river-forward and a box say to each other: datagrams, each with the number of its peer.
//!
//! The gateway begins with [`HELLO`]. Then both ways: a big-endian `u32` number, a big-endian `u16` length, and so
//! many bytes. A number is a program on the person's machine; whoever answers says it again.

/// What a gateway says before the first frame: a shell, or a host that is no gateway, says something else.
pub const HELLO: &[u8] = b"river-udp 1\n";
/// Bytes before those of a datagram.
pub const HEAD: usize = 6;
/// Longest datagram, in bytes: what a length can say. UDP over IPv4 carries 65,507.
pub const LONGEST: usize = u16::MAX as usize;

/// One frame; `None` for a datagram that is longer than [`LONGEST`].
#[must_use]
pub fn frame(peer: u32, datagram: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(datagram.len()).ok()?;
    let mut frame = Vec::with_capacity(HEAD + datagram.len());
    frame.extend(peer.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend(datagram);
    Some(frame)
}

/// Cuts incoming bytes into datagrams. Any bytes are some; it holds one frame more than was added last.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// So many of them were taken.
    taken: usize,
}

impl Frames {
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next datagram and its peer; `None` when more bytes are needed.
    pub fn take(&mut self) -> Option<(u32, &[u8])> {
        let rest = self.bytes.get(self.taken..)?;
        let [a, b, c, d, high, low] = *rest.first_chunk::<HEAD>()?;
        let end = HEAD + usize::from(u16::from_be_bytes([high, low]));
        let datagram = rest.get(HEAD..end)?;
        self.taken += end;
        Some((u32::from_be_bytes([a, b, c, d]), datagram))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(frames: &mut Frames) -> Vec<(u32, Vec<u8>)> {
        std::iter::from_fn(|| frames.take().map(|(peer, bytes)| (peer, bytes.to_vec()))).collect()
    }

    #[test]
    fn the_longest_datagram_passes_and_a_longer_one_is_none() {
        let longest = vec![7; LONGEST];
        let mut frames = Frames::default();
        frames.add(&frame(u32::MAX, &longest).unwrap());
        assert_eq!(frames.take(), Some((u32::MAX, &longest[..])));
        assert_eq!(frames.take(), None);
        assert_eq!(frame(1, &vec![7; LONGEST + 1]), None);
    }

    proptest! {
        #[test]
        fn datagrams_come_out_in_order_however_they_are_cut(
            sent: Vec<(u32, Vec<u8>)>,
            cuts in proptest::collection::vec(1..40_usize, 1..20),
        ) {
            let whole: Vec<u8> = sent.iter().flat_map(|(peer, bytes)| frame(*peer, bytes).unwrap()).collect();
            let (mut frames, mut got, mut rest) = (Frames::default(), Vec::new(), &whole[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (some, after) = rest.split_at(rest.len().min(*cut));
                frames.add(some);
                got.extend(all(&mut frames));
                rest = after;
            }
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn no_bytes_make_it_panic_or_keep_more_than_a_frame(pieces: Vec<Vec<u8>>) {
            let mut frames = Frames::default();
            for piece in pieces {
                frames.add(&piece);
                prop_assert!(frames.bytes.len() < HEAD + LONGEST + piece.len());
                all(&mut frames);
                prop_assert!(frames.bytes.len() - frames.taken < HEAD + LONGEST);
            }
        }
    }
}

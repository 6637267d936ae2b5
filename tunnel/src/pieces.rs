//! Bytes that came in several pieces, carried on in one step.

use std::io::{self, IoSlice};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// One after the other. A single piece is not copied.
#[must_use]
pub fn join(pieces: &[Bytes]) -> Bytes {
    if let [one] = pieces {
        return one.clone();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
    whole.freeze()
}

/// Of this size, in bytes, a piece goes on as it is: a step of its own costs less than a copy.
pub const ENOUGH: usize = 16 << 10;

/// The same bytes in the same order; only neighbours below [`ENOUGH`] are joined.
#[must_use]
pub fn gather(pieces: Vec<Bytes>) -> Vec<Bytes> {
    if pieces.len() < 2 {
        return pieces;
    }
    let (mut gathered, mut small) = (Vec::with_capacity(pieces.len()), Vec::new());
    for piece in pieces {
        if piece.len() < ENOUGH {
            small.push(piece);
            continue;
        }
        if !small.is_empty() {
            gathered.push(join(&small));
            small.clear();
        }
        gathered.push(piece);
    }
    if !small.is_empty() {
        gathered.push(join(&small));
    }
    gathered
}

/// All of them, with as few system calls as there can be.
///
/// # Errors
/// Of the writer; some may be written.
pub async fn write_all(writer: &mut (impl AsyncWrite + Unpin), pieces: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = &mut slices[..];
    // Empty ones at the front would look like a writer that takes nothing.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match writer.write_vectored(rest).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => IoSlice::advance_slices(&mut rest, count),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_neighbours_are_joined() {
        let piece = |length: usize, byte: u8| Bytes::from(vec![byte; length]);
        let pieces = vec![piece(1, 1), piece(2, 2), piece(ENOUGH, 3), piece(3, 4)];
        let all = join(&pieces);
        let gathered = gather(pieces);
        let lengths: Vec<usize> = gathered.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [3, ENOUGH, 3]);
        assert_eq!(join(&gathered), all);
        assert!(gather(Vec::new()).is_empty());
    }
}

//! Length-delimited frames: a big-endian `u32`, then so many bytes of JSON.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::hear::{self, Heard, Message};

/// Largest control frame between gateway and runner, in bytes.
pub const LARGEST: usize = 64 << 20;
/// Largest frame from a guest or an unproved peer, in bytes.
pub const LARGEST_HOSTILE: usize = 64 << 10;

/// Why a stream of frames ended.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is too large")]
    TooLarge(usize),
    #[error("a frame is not what was expected: {0}")]
    Json(#[from] serde_json::Error),
}

/// # Errors
/// When the value has no JSON form or is larger than [`LARGEST`].
pub fn encode(value: &impl Serialize) -> Result<Bytes, FrameError> {
    let body = serde_json::to_vec(value)?;
    if body.len() > LARGEST {
        return Err(FrameError::TooLarge(body.len()));
    }
    let mut frame = BytesMut::with_capacity(4 + body.len());
    #[expect(clippy::cast_possible_truncation, reason = "LARGEST fits")]
    frame.put_u32(body.len() as u32);
    frame.put_slice(&body);
    Ok(frame.freeze())
}

/// Takes one whole frame off the front of `bytes`; `None` when more bytes are needed.
///
/// # Errors
/// As [`cut`], or when the body is no `T`.
pub fn decode<T: DeserializeOwned>(
    bytes: &mut BytesMut,
    largest: usize,
) -> Result<Option<T>, FrameError> {
    let body = cut(bytes, largest)?;
    Ok(body.map(|body| serde_json::from_slice(&body)).transpose()?)
}

/// As [`decode`], of a peer that may be newer ([`super::hear`]).
///
/// # Errors
/// As there.
pub fn hear<T: Message>(
    bytes: &mut BytesMut,
    largest: usize,
) -> Result<Option<Heard<T>>, FrameError> {
    let body = cut(bytes, largest)?;
    Ok(body.map(|body| hear::hear(&body)).transpose()?)
}

/// The body of the next frame, whatever it is.
///
/// # Errors
/// When the announced length is above `largest`; nothing is allocated for it.
pub fn cut(bytes: &mut BytesMut, largest: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(head) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*head) as usize;
    if length > largest {
        return Err(FrameError::TooLarge(length));
    }
    if bytes.len() < 4 + length {
        return Ok(None);
    }
    bytes.advance(4);
    Ok(Some(bytes.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let sent = encode(&vec![1, 2, 3]).unwrap();
        let mut bytes = BytesMut::new();
        for (n, byte) in sent.iter().enumerate() {
            assert!(
                decode::<Vec<u32>>(&mut bytes, 100).unwrap().is_none(),
                "after {n} bytes"
            );
            bytes.put_u8(*byte);
        }
        assert_eq!(decode(&mut bytes, 100).unwrap(), Some(vec![1, 2, 3]));
        assert!(bytes.is_empty());
    }

    #[test]
    fn a_boast_of_length_allocates_nothing() {
        let mut bytes = BytesMut::from(&[0xff, 0xff, 0xff, 0xff][..]);
        let error = decode::<Vec<u32>>(&mut bytes, LARGEST).unwrap_err();
        assert!(
            matches!(error, FrameError::TooLarge(0xffff_ffff)),
            "{error}"
        );
    }
}

//! An attempt's output on its way to a reader: `kind: u8, length: u32 big-endian, body`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Largest body of one frame, in bytes.
pub const LARGEST: usize = 256 << 10;

/// One piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputFrame {
    Stdout(Bytes),
    Stderr(Bytes),
    /// So many bytes are gone here (a cap, or a power failure): never silently.
    StdoutGap(u64),
    StderrGap(u64),
    /// Nothing more will come; without it the stream was cut.
    End,
}

/// The peer does not speak this protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an output frame of kind {kind} and {length} bytes makes no sense")]
pub struct BadOutputFrame {
    pub kind: u8,
    pub length: usize,
}

impl OutputFrame {
    /// Appends the frame. A body above [`LARGEST`] must be cut by the caller.
    pub fn encode(&self, into: &mut BytesMut) {
        let (kind, body): (u8, &[u8]) = match self {
            Self::Stdout(bytes) => (1, bytes),
            Self::Stderr(bytes) => (2, bytes),
            Self::StdoutGap(gap) => return Self::encode_gap(3, *gap, into),
            Self::StderrGap(gap) => return Self::encode_gap(4, *gap, into),
            Self::End => (5, &[]),
        };
        into.put_slice(&Self::head(kind, body.len()));
        into.put_slice(body);
    }

    /// The five bytes before a body of `length`, for a sender that does not copy the body.
    #[must_use]
    pub fn head(kind: u8, length: usize) -> [u8; 5] {
        let length = u32::try_from(length.min(LARGEST))
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        [kind, length[0], length[1], length[2], length[3]]
    }

    fn encode_gap(kind: u8, gap: u64, into: &mut BytesMut) {
        into.put_slice(&Self::head(kind, 8));
        into.put_u64(gap);
    }

    /// Takes what is there of the next frame off the front of `bytes`: a part of a data frame is
    /// returned as it comes, so that no frame is ever held back. `rest` carries kind and missing
    /// length of a data frame between calls and starts as `None`.
    ///
    /// # Errors
    /// [`BadOutputFrame`] for an unknown kind or a wrong length.
    pub fn decode(
        bytes: &mut BytesMut,
        rest: &mut Option<(u8, usize)>,
    ) -> Result<Option<Self>, BadOutputFrame> {
        if rest.is_none() {
            let Some(head) = bytes.first_chunk::<5>() else {
                return Ok(None);
            };
            let kind = head[0];
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            match (kind, length) {
                (1 | 2, 1..=LARGEST) => *rest = Some((kind, length)),
                (3 | 4, 8) if bytes.len() < 13 => return Ok(None),
                (3 | 4, 8) => {
                    bytes.advance(5);
                    let gap = bytes.get_u64();
                    let frame = if kind == 3 {
                        Self::StdoutGap(gap)
                    } else {
                        Self::StderrGap(gap)
                    };
                    return Ok(Some(frame));
                }
                (5, 0) => {
                    bytes.advance(5);
                    return Ok(Some(Self::End));
                }
                _ => return Err(BadOutputFrame { kind, length }),
            }
            bytes.advance(5);
        }
        let Some((kind, missing)) = *rest else {
            return Ok(None);
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let body = bytes.split_to(missing.min(bytes.len())).freeze();
        *rest = (body.len() < missing).then(|| (kind, missing - body.len()));
        Ok(Some(if kind == 1 {
            Self::Stdout(body)
        } else {
            Self::Stderr(body)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_survives_any_cut() {
        let frames = [
            OutputFrame::Stdout(Bytes::from_static(b"hello")),
            OutputFrame::StderrGap(1 << 40),
            OutputFrame::Stderr(Bytes::from_static(b"!")),
            OutputFrame::End,
        ];
        let mut sent = BytesMut::new();
        for frame in &frames {
            frame.encode(&mut sent);
        }
        for step in 1..sent.len() {
            let (mut bytes, mut rest, mut out) = (BytesMut::new(), None, Vec::new());
            let mut text = Vec::new();
            for piece in sent.chunks(step) {
                bytes.put_slice(piece);
                while let Some(frame) = OutputFrame::decode(&mut bytes, &mut rest).unwrap() {
                    if let OutputFrame::Stdout(part) = &frame {
                        text.extend_from_slice(part);
                    } else {
                        out.push(frame);
                    }
                }
            }
            assert_eq!(text, b"hello");
            assert_eq!(out, frames[1..], "step {step}");
        }
    }

    #[test]
    fn nonsense_is_refused_before_anything_is_stored() {
        for bad in [
            [9, 0, 0, 0, 0],
            [1, 255, 255, 255, 255],
            [1, 0, 0, 0, 0],
            [3, 0, 0, 0, 7],
        ] {
            let mut bytes = BytesMut::from(&bad[..]);
            assert!(
                OutputFrame::decode(&mut bytes, &mut None).is_err(),
                "{bad:?}"
            );
        }
    }
}

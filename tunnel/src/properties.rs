//! What must hold for any bytes that a peer sends: nothing panics, what is read is what was written, and it
//! makes no difference how the bytes were cut on their way.

use std::fmt::Debug;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::guest::sftp_property as sftp;
use crate::wire::frame::{self, LARGEST_HOSTILE};
use crate::wire::guest::{ExitRecord, FromGuest, GuestSpec, StreamHead, ToGuest};
use crate::wire::output::OutputFrame;
use crate::wire::session::{Accepted, Exit, Frames, Kind, Listening, Request, Window};
use crate::wire::{ChannelName, FromRunner, ToRunner, errand, examine, message};

/// All frames of one kind, the bytes coming in pieces of this size; the error ends it.
fn values<T: DeserializeOwned>(bytes: &[u8], piece: usize) -> (Vec<T>, bool) {
    let (mut waiting, mut values) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        waiting.extend_from_slice(piece);
        loop {
            match frame::decode(&mut waiting, LARGEST_HOSTILE) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(_) => return (values, true),
            }
        }
    }
    (values, false)
}

fn each<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let whole = values::<T>(bytes, bytes.len());
    assert_eq!(whole, values(bytes, 3));
    for value in &whole.0 {
        let Ok(frame) = frame::encode(value) else {
            continue;
        };
        let again = frame::decode::<T>(&mut BytesMut::from(&frame[..]), usize::MAX);
        assert_eq!(again.ok().flatten().as_ref(), Some(value));
    }
}

/// Control between runner and gateway, joins, errands, and what `doctor` asks.
pub fn runner_frames(bytes: &[u8]) {
    each::<ToRunner>(bytes);
    each::<FromRunner>(bytes);
    each::<message::Join>(bytes);
    each::<message::Joined>(bytes);
    each::<errand::Errand>(bytes);
    each::<errand::Answer>(bytes);
    each::<examine::Question>(bytes);
    each::<examine::Told>(bytes);
}

/// Control between guest and runner, and the guest's files.
pub fn guest_frames(bytes: &[u8]) {
    each::<ToGuest>(bytes);
    each::<FromGuest>(bytes);
    each::<StreamHead>(bytes);
    each::<GuestSpec>(bytes);
    each::<ExitRecord>(bytes);
    each::<Request>(bytes);
}

/// The frames of a session: parts of one data frame are put together; the error ends it.
fn session(bytes: &[u8], piece: usize) -> (Vec<(Kind, Vec<u8>)>, bool) {
    let mut frames = Frames::default();
    let mut all: Vec<(Kind, Vec<u8>)> = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        frames.add(Bytes::copy_from_slice(piece));
        loop {
            match frames.take() {
                Ok(Some((kind, body))) => match all.last_mut() {
                    Some((last, data)) if *last == kind && is_data(kind) => data.extend(body),
                    _ => all.push((kind, body.to_vec())),
                },
                Ok(None) => break,
                Err(_) => return (all, true),
            }
        }
    }
    (all, false)
}

fn is_data(kind: Kind) -> bool {
    matches!(kind, Kind::Stdin | Kind::Stdout | Kind::Stderr)
}

/// What a session says, and the values in it.
pub fn session_frames(bytes: &[u8]) {
    let whole = session(bytes, bytes.len());
    assert_eq!(whole, session(bytes, 1));
    assert_eq!(whole, session(bytes, 7));
    for (kind, body) in &whole.0 {
        let _ = serde_json::from_slice::<Window>(body);
        let _ = serde_json::from_slice::<Exit>(body);
        let _ = serde_json::from_slice::<Listening>(body);
        let _ = serde_json::from_slice::<Accepted>(body);
        assert!(is_data(*kind) || body.len() <= 4 << 10);
    }
    let held: usize = whole.0.iter().map(|(_, body)| body.len()).sum();
    assert!(held <= bytes.len());
}

/// An attempt's output: bytes of each stream, and what else came, in order.
fn output(bytes: &[u8], piece: usize) -> (Vec<OutputFrame>, bool) {
    let (mut waiting, mut rest) = (BytesMut::new(), None);
    let mut all: Vec<OutputFrame> = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        waiting.extend_from_slice(piece);
        loop {
            let frame = match OutputFrame::decode(&mut waiting, &mut rest) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return (all, true),
            };
            match (all.last_mut(), &frame) {
                (Some(OutputFrame::Stdout(last)), OutputFrame::Stdout(more))
                | (Some(OutputFrame::Stderr(last)), OutputFrame::Stderr(more)) => {
                    *last = [&last[..], more].concat().into();
                }
                _ => all.push(frame),
            }
        }
    }
    (all, false)
}

/// What a node says of a task's output.
pub fn output_frames(bytes: &[u8]) {
    let whole = output(bytes, bytes.len());
    assert_eq!(whole, output(bytes, 1));
    assert_eq!(whole, output(bytes, 5));
    let mut again = BytesMut::new();
    for frame in &whole.0 {
        match frame {
            OutputFrame::Stdout(body) | OutputFrame::Stderr(body) => {
                assert!(!body.is_empty());
                let is_stdout = matches!(frame, OutputFrame::Stdout(_));
                for piece in body.chunks(crate::wire::output::LARGEST) {
                    let piece = Bytes::copy_from_slice(piece);
                    let part = if is_stdout {
                        OutputFrame::Stdout(piece)
                    } else {
                        OutputFrame::Stderr(piece)
                    };
                    part.encode(&mut again);
                }
            }
            OutputFrame::StdoutGap(_) | OutputFrame::StderrGap(_) | OutputFrame::End => {
                frame.encode(&mut again);
            }
        }
    }
    assert_eq!(output(&again, again.len()), (whole.0, false));
}

/// A channel's name is read as it is written, or it is none.
pub fn channel_names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = text.parse::<ChannelName>() {
        assert_eq!(name.to_string().parse(), Ok(name));
    }
}

#[cfg(test)]
mod tests {
    use cluster::{AttemptId, TaskId};
    use proptest::prelude::*;

    use super::*;
    use crate::wire::session;

    /// Something of everything that is said.
    fn said() -> Vec<Bytes> {
        let attempt = AttemptId {
            task: TaskId(17),
            number: 1,
        };
        let window = session::Window::default();
        let frames = [
            frame::encode(&ToRunner::Ping).unwrap(),
            frame::encode(&ToRunner::Signal { attempt, signal: 9 }).unwrap(),
            frame::encode(&FromRunner::Pong).unwrap(),
            frame::encode(&ToGuest::Stop { grace_ms: 7 }).unwrap(),
            frame::encode(&Request::Sftp).unwrap(),
            frame::encode(&Request::Session(session::Session::default())).unwrap(),
            session::frame(Kind::Stdin, b"hello"),
            session::frame(Kind::Eof, b""),
            session::json(Kind::Window, &window),
            session::json(Kind::Exit, &Exit::Code(7)),
        ];
        let mut output = BytesMut::new();
        OutputFrame::Stdout("hello".into()).encode(&mut output);
        OutputFrame::StderrGap(9).encode(&mut output);
        OutputFrame::End.encode(&mut output);
        frames.into_iter().chain([output.freeze()]).collect()
    }

    fn all(bytes: &[u8]) {
        runner_frames(bytes);
        guest_frames(bytes);
        session_frames(bytes);
        output_frames(bytes);
        channel_names(bytes);
    }

    /// Some of what is said, with some bytes changed.
    fn bent() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::collection::vec(prop::sample::select(said()), 1..6);
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
        (pieces, changes).prop_map(|(pieces, changes)| {
            let mut bytes = pieces.concat();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_frames_or_none_however_they_are_cut(bytes: Vec<u8>) {
            all(&bytes);
            sftp(&bytes, false);
        }

        #[test]
        fn so_are_bytes_that_are_almost_frames(bytes in bent()) {
            all(&bytes);
        }

        #[test]
        fn so_is_a_name_that_is_almost_one(
            words in prop::collection::vec(prop::sample::select(vec![
                "output", "stdin", "guest", "errand", "spool", "17.1", "17", "0", "follow", "once",
                "keys", "bulk", "", "18446744073709551616", "-1", "+1", "..", "1.1.1",
            ]), 0..7)
        ) {
            channel_names(words.join("/").as_bytes());
        }

        #[test]
        fn so_are_requests_for_files(
            requests in prop::collection::vec((1_u8..=21, prop::collection::vec(any::<u8>(), 0..40)), 0..8)
        ) {
            let mut bytes = Vec::new();
            for (kind, body) in requests {
                bytes.extend(u32::try_from(1 + body.len()).unwrap().to_be_bytes());
                bytes.push(kind);
                bytes.extend(body);
            }
            sftp(&bytes, false);
        }
    }
}

//! Where an attempt's output is read from: its node, or the store once it was collected.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use cluster::{AttemptId, OutputSize, Task};
use tunnel::ssh::Stream;
use tunnel::wire::ChannelName;
use tunnel::wire::output::OutputFrame;

use crate::head::Head;
use crate::seats::{Holder, Seat};
use crate::store::output::OutputReader;

/// How long a node may take to answer for its output.
const OPEN_LIMIT: Duration = Duration::from_secs(10);

/// An attempt's output.
pub(super) enum Source {
    Node {
        stream: Stream,
        bytes: BytesMut,
        rest: Option<(u8, usize)>,
    },
    Store {
        reader: OutputReader,
        skip: OutputSize,
        _seat: Box<Seat<Holder>>,
    },
}

/// What came of asking for it.
pub(super) enum Opened {
    Source(Source),
    /// Not now: its node is not connected, or has nothing yet.
    Later,
    /// It is nowhere any more.
    Never,
}

/// There may be output.
pub(super) fn ready(task: &Task) -> bool {
    task.current().is_some() && (task.started.is_some() || task.state.is_final())
}

impl Source {
    /// The output of an attempt of `task`, from `seen` on. Of an older attempt only its node may have any.
    pub(super) async fn open(
        head: &Head,
        task: &Task,
        attempt: AttemptId,
        seen: OutputSize,
        follow: bool,
    ) -> Opened {
        match head.outputs.read(attempt).await {
            Ok(Some(reader)) => {
                // An open file, as a connection is.
                let whose = Holder::Account(task.owner.clone());
                let seat = head.seats.take(&whose);
                return seat.map_or(Opened::Later, |seat| {
                    Opened::Source(Self::Store {
                        reader,
                        skip: seen,
                        _seat: Box::new(seat),
                    })
                });
            }
            Ok(None) if task.state.is_final() && task.collected => return Opened::Never,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%attempt, %error, "stored output");
                return Opened::Never;
            }
        }
        let Some(placement) = &task.placement else {
            return Opened::Later;
        };
        if task.state.is_final() && head.state().is_lost(&placement.node) {
            // Whoever waits for its code must not wait for a node that may never come back.
            return Opened::Never;
        }
        let name = ChannelName::Output {
            attempt,
            stdout: seen.stdout,
            stderr: seen.stderr,
            follow,
        };
        let opening = head.links.open_for(&task.owner, &placement.node, name);
        match tokio::time::timeout(OPEN_LIMIT, opening).await {
            Ok(Ok(stream)) => Opened::Source(Self::Node {
                stream,
                bytes: BytesMut::new(),
                rest: None,
            }),
            Ok(Err(_)) | Err(_) => Opened::Later,
        }
    }

    /// What it does not give now, it never gives.
    pub(super) const fn is_last(&self) -> bool {
        match self {
            Self::Node { .. } => false,
            Self::Store { .. } => true,
        }
    }

    /// `None` at a cut; the true end is [`OutputFrame::End`]. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<OutputFrame>> {
        match self {
            Self::Node {
                stream,
                bytes,
                rest,
            } => loop {
                if let Some(frame) = OutputFrame::decode(bytes, rest)? {
                    return Ok(Some(frame));
                }
                match stream.next().await? {
                    Some(piece) if bytes.is_empty() => *bytes = BytesMut::from(piece),
                    Some(piece) => bytes.extend_from_slice(&piece),
                    None => return Ok(None),
                }
            },
            Self::Store { reader, skip, .. } => loop {
                let Some(frame) = reader.next().await? else {
                    return Ok(None);
                };
                if let Some(frame) = skipped(frame, skip) {
                    return Ok(Some(frame));
                }
            },
        }
    }
}

/// How far the output is seen once this frame was.
pub(super) fn count(frame: &OutputFrame, seen: &mut OutputSize) {
    let (count, more) = match frame {
        OutputFrame::Stdout(bytes) => (&mut seen.stdout, bytes.len() as u64),
        OutputFrame::Stderr(bytes) => (&mut seen.stderr, bytes.len() as u64),
        OutputFrame::StdoutGap(gap) => (&mut seen.stdout, *gap),
        OutputFrame::StderrGap(gap) => (&mut seen.stderr, *gap),
        OutputFrame::End => return,
    };
    *count = count.saturating_add(more);
}

/// What is left of a frame after bytes that were seen already.
fn skipped(frame: OutputFrame, skip: &mut OutputSize) -> Option<OutputFrame> {
    let bytes = |mut bytes: Bytes, skip: &mut u64| {
        let seen = usize::try_from(*skip)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        *skip -= seen as u64;
        bytes.advance(seen);
        (!bytes.is_empty()).then_some(bytes)
    };
    let gap = |gap: u64, skip: &mut u64| {
        let seen = (*skip).min(gap);
        *skip -= seen;
        (gap > seen).then_some(gap - seen)
    };
    match frame {
        OutputFrame::Stdout(it) => bytes(it, &mut skip.stdout).map(OutputFrame::Stdout),
        OutputFrame::Stderr(it) => bytes(it, &mut skip.stderr).map(OutputFrame::Stderr),
        OutputFrame::StdoutGap(it) => gap(it, &mut skip.stdout).map(OutputFrame::StdoutGap),
        OutputFrame::StderrGap(it) => gap(it, &mut skip.stderr).map(OutputFrame::StderrGap),
        OutputFrame::End => Some(OutputFrame::End),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_not_shown_again() {
        let seen = |stdout| OutputSize { stdout, stderr: 0 };
        let mut skip = seen(3);
        let frame = |text: &'static str| OutputFrame::Stdout(Bytes::from_static(text.as_bytes()));
        assert_eq!(skipped(frame("ab"), &mut skip), None);
        assert_eq!(skipped(frame("cd"), &mut skip), Some(frame("d")));
        let gap = skipped(OutputFrame::StdoutGap(7), &mut seen(5));
        assert_eq!(gap, Some(OutputFrame::StdoutGap(2)));
    }
}

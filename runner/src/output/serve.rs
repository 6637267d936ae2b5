//! An attempt's output to one reader, as frames.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use cluster::{AttemptId, OutputSize};
use tokio::sync::watch;
use tunnel::fault::{self, Point};
use tunnel::guest::output::Which;
use tunnel::ssh::Stream;
use tunnel::wire::output::OutputFrame;

use super::{Next, Reader, Watches, record};

/// Sends an attempt's output as frames. `ended` holds the full size once the attempt is over; only then,
/// and when all was sent, comes the end.
///
/// # Errors
/// When the stream is cut, or the files cannot be read.
pub async fn serve(
    (out, attempt, watches): (&Path, AttemptId, &Watches),
    from: OutputSize,
    follow: bool,
    mut ended: watch::Receiver<Option<OutputSize>>,
    stream: &mut Stream,
) -> anyhow::Result<()> {
    let dir = File::open(out).context("no output")?;
    let mut written = watches.watch(out);
    let mut stdout = Reader {
        which: Which::Stdout,
        at: from.stdout,
        open: None,
    };
    let mut stderr = Reader {
        which: Which::Stderr,
        at: from.stderr,
        open: None,
    };
    loop {
        // Looked at before the files: what is written later is announced later.
        let total = *ended.borrow_and_update();
        let first = step(&mut stdout, &dir, out, &ended, stream).await?;
        let second = step(&mut stderr, &dir, out, &ended, stream).await?;
        if first || second {
            continue;
        }
        still_there(&ended)?;
        if let Some(total) = total {
            let last = record(out, attempt).ok().flatten();
            let last = last.map(|record| record.unwritten).unwrap_or_default();
            finish(&mut stdout, total.stdout, last.stdout, stream).await?;
            finish(&mut stderr, total.stderr, last.stderr, stream).await?;
        }
        if total.is_some() || !follow {
            send(stream, &OutputFrame::End).await?;
            stream.finish().await?;
            // Until the reader has it all: closing at once could overtake it.
            while matches!(stream.next().await, Ok(Some(_))) {}
            return Ok(());
        }
        tokio::select! {
            () = written.changed() => {}
            changed = ended.changed() => changed?,
            gone = stream.next() => if gone?.is_none() {
                return Ok(());
            },
        }
    }
}

/// Files that go because the gateway has them are no gap: the agent lets go of the attempt before it
/// removes them, and the reader turns to the gateway's store.
fn still_there(ended: &watch::Receiver<Option<OutputSize>>) -> anyhow::Result<()> {
    anyhow::ensure!(
        ended.has_changed().is_ok(),
        "it was dropped while it was read"
    );
    Ok(())
}

/// `true`: something was sent.
async fn step(
    reader: &mut Reader,
    dir: &File,
    out: &Path,
    ended: &watch::Receiver<Option<OutputSize>>,
    stream: &mut Stream,
) -> anyhow::Result<bool> {
    let next = reader.next(dir, out)?;
    if matches!(next, Next::Gap(_)) {
        still_there(ended)?;
    }
    let frame = match (next, reader.which) {
        (Next::Nothing, _) => return Ok(false),
        (Next::Bytes(bytes), Which::Stdout) => OutputFrame::Stdout(bytes),
        (Next::Bytes(bytes), Which::Stderr) => OutputFrame::Stderr(bytes),
        (Next::Gap(gap), Which::Stdout) => OutputFrame::StdoutGap(gap),
        (Next::Gap(gap), Which::Stderr) => OutputFrame::StderrGap(gap),
    };
    send(stream, &frame).await?;
    fault::pass(Point::P11);
    Ok(true)
}

/// What ends the stream and is in no file: a gap, and `last`.
async fn finish(
    reader: &mut Reader,
    total: u64,
    last: String,
    stream: &mut Stream,
) -> anyhow::Result<()> {
    let total = total.max(reader.at);
    if let Next::Gap(gap) = reader.skip(total.saturating_sub(last.len() as u64).max(reader.at)) {
        let frame = match reader.which {
            Which::Stdout => OutputFrame::StdoutGap(gap),
            Which::Stderr => OutputFrame::StderrGap(gap),
        };
        send(stream, &frame).await?;
    }
    if let Some(rest) = unseen(last, total - reader.at) {
        reader.at = total;
        let frame = match reader.which {
            Which::Stdout => OutputFrame::Stdout(rest),
            Which::Stderr => OutputFrame::Stderr(rest),
        };
        send(stream, &frame).await?;
    }
    Ok(())
}

/// So many bytes of the end of it, if it has any.
fn unseen(last: String, left: u64) -> Option<Bytes> {
    let last = Bytes::from(last);
    let seen = (last.len() as u64).checked_sub(left)?;
    let rest = last.slice(usize::try_from(seen).ok()?..);
    (!rest.is_empty()).then_some(rest)
}

async fn send(stream: &mut Stream, frame: &OutputFrame) -> io::Result<()> {
    if let OutputFrame::Stdout(bytes) | OutputFrame::Stderr(bytes) = frame {
        let kind = 1 + u8::from(matches!(frame, OutputFrame::Stderr(_)));
        stream
            .send(Bytes::copy_from_slice(&OutputFrame::head(
                kind,
                bytes.len(),
            )))
            .await?;
        return stream.send(bytes.clone()).await;
    }
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    stream.send(bytes.freeze()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_last_words_only_what_was_not_seen_is_sent() {
        let last = || "[9 bytes dropped]".to_owned();
        assert_eq!(unseen(last(), 17).unwrap(), last());
        assert_eq!(unseen(last(), 8).unwrap(), "dropped]");
        assert_eq!(unseen(last(), 0), None);
        // A record that says more than it has.
        assert_eq!(unseen(last(), 18), None);
        assert_eq!(unseen(String::new(), 0), None);
    }
}

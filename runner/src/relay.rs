//! An incoming stream goes where its name says: to a task's output files, or into its input.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use cluster::{AttemptId, OutputSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::debug;
use tunnel::pieces::write_all;
use tunnel::ssh::Stream;
use tunnel::wire::guest::{GuestStream, LARGEST_CHUNK};

use crate::guest::Guests;
use crate::output::{self, Watches};

/// How long a guest may take to have a line to its runner.
const LINE_LIMIT: Duration = Duration::from_secs(10);
/// How long a box may take for what had come for it before the gateway closed.
const DRAIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// Bytes taken from a guest at a time.
const PIECE: usize = 256 << 10;

/// Serves one reader of an attempt's output.
pub async fn read_output(
    (out, watches): (PathBuf, Watches),
    attempt: AttemptId,
    from: OutputSize,
    follow: bool,
    ended: watch::Receiver<Option<OutputSize>>,
    mut stream: Stream,
) {
    if let Err(error) =
        output::serve((&out, attempt, &watches), from, follow, ended, &mut stream).await
    {
        debug!(%attempt, %error, "output stream ended");
    }
}

/// Carries live input into the box. A cut is passed on as a cut.
pub async fn write_input(guests: Guests, attempt: AttemptId, mut stream: Stream) {
    if let Err(error) = carry(&guests, attempt, &mut stream).await {
        debug!(%attempt, %error, "input stream ended");
    }
}

/// Carries a session, transfer or forward between the gateway and the box, byte for byte.
pub async fn enter(guests: Guests, attempt: AttemptId, stream: Stream) {
    let guest = match open(&guests, attempt, GuestStream::Session).await {
        Ok(guest) => guest,
        Err(error) => return debug!(%attempt, %error, "its guest does not answer"),
    };
    let (mut from_guest, mut to_guest) = guest.into_split();
    let (mut from_gateway, mut to_gateway) = stream.split();
    let inward = async {
        let clean = loop {
            let Ok(pieces) = from_gateway.next_pieces(PIECE).await else {
                break false;
            };
            let slices: Vec<&[u8]> = pieces.iter().map(AsRef::as_ref).collect();
            if pieces.is_empty() || write_all(&mut to_guest, &slices).await.is_err() {
                break true;
            }
        };
        let _ = to_guest.shutdown().await;
        clean
    };
    let outward = async {
        loop {
            // A buffer of its own for each piece: it travels on without a copy.
            let mut bytes = BytesMut::with_capacity(PIECE);
            let read = tokio::select! {
                read = from_guest.read_buf(&mut bytes) => read,
                _ = to_gateway.closed() => return Outward::Closed,
            };
            match read {
                Ok(1..) => {
                    if to_gateway.send(bytes.freeze()).await.is_err() {
                        return Outward::Closed;
                    }
                }
                Ok(0) => {
                    let finished = to_gateway.finish().await;
                    return finished.map_or(Outward::Closed, |()| Outward::Finished);
                }
                // Without an end of file: the gateway is to know that it was cut.
                Err(_) => return Outward::Cut,
            }
        }
    };
    // Each way ends by itself, for a connection may be half closed; a cut ends both, once what had come
    // before it is in the box.
    tokio::pin!(inward);
    tokio::pin!(outward);
    tokio::select! {
        outward = &mut outward => match outward {
            Outward::Finished => drop(inward.await),
            Outward::Closed => drop(tokio::time::timeout(DRAIN, inward).await),
            Outward::Cut => {}
        },
        clean = &mut inward => if clean {
            outward.await;
        },
    }
}

/// How the way from a guest to the gateway ended.
enum Outward {
    Finished,
    /// The gateway takes no more.
    Closed,
    /// The guest is gone.
    Cut,
}

/// Its command may run a moment before the guest has a line to us, or has it again.
async fn open(guests: &Guests, attempt: AttemptId, stream: GuestStream) -> io::Result<UnixStream> {
    let by = Instant::now() + LINE_LIMIT;
    loop {
        match guests.open(attempt, stream).await {
            Err(error) if error.kind() == io::ErrorKind::NotConnected && Instant::now() < by => {
                sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

async fn carry(guests: &Guests, attempt: AttemptId, stream: &mut Stream) -> anyhow::Result<()> {
    let guest = open(guests, attempt, GuestStream::Stdin).await?;
    let (mut reader, mut writer) = guest.into_split();
    let mut nothing = [0; 1];
    loop {
        // The guest closes its end when the command reads no more.
        let next = tokio::select! {
            next = stream.next() => next?,
            _ = reader.read(&mut nothing) => return Ok(()),
        };
        let Some(bytes) = next else { break };
        for piece in bytes.chunks(LARGEST_CHUNK) {
            let mut chunk = BytesMut::with_capacity(4 + piece.len());
            chunk.put_u32(u32::try_from(piece.len())?);
            chunk.put_slice(piece);
            writer.write_all(&chunk).await?;
        }
    }
    writer.write_all(&0_u32.to_be_bytes()).await?;
    // The guest closes once the command has it all.
    let _ = reader.read(&mut nothing).await;
    stream.finish().await?;
    Ok(())
}

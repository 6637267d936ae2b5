//! The command's live input: chunks from streams, one stream after the other.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc};

use crate::wire::guest::LARGEST_CHUNK;

/// Bytes moved at a time.
const PIECE: usize = 64 << 10;

/// How a stream ended.
enum Ended {
    /// With the input's end of file.
    Clean,
    /// Without it.
    Cut,
    /// The command reads no more.
    Deaf,
}

/// Feeds the command until its input ends. `strict`: a cut after the first byte is reported by `cut`;
/// else the input
/// stays open for the next stream.
pub(super) async fn feed(
    mut pipe: pipe::Sender,
    mut streams: mpsc::Receiver<UnixStream>,
    strict: bool,
    cut: Arc<Notify>,
) {
    let mut moved = 0;
    while let Some(mut stream) = streams.recv().await {
        match pump(&mut stream, &mut pipe, &mut moved).await {
            Ended::Clean => {
                drop(pipe);
                return acknowledge(stream).await;
            }
            Ended::Deaf => {
                // The rest is for nobody; the sender must not wait for ever.
                let mut sink = vec![0; PIECE];
                while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
                return;
            }
            Ended::Cut if strict && moved > 0 => {
                cut.notify_one();
                // Until the command has been ended, an end of file would be a lie.
                std::future::pending::<()>().await;
            }
            Ended::Cut => {}
        }
    }
    std::future::pending::<()>().await;
}

/// Closing tells the runner that everything arrived.
async fn acknowledge(mut stream: UnixStream) {
    let _ = stream.shutdown().await;
}

async fn pump(stream: &mut UnixStream, pipe: &mut pipe::Sender, moved: &mut u64) -> Ended {
    let mut buffer = vec![0; PIECE];
    loop {
        let mut length = match stream.read_u32().await {
            Ok(0) => return Ended::Clean,
            Ok(length) if length as usize <= LARGEST_CHUNK => length as usize,
            Ok(_) | Err(_) => return Ended::Cut,
        };
        while length > 0 {
            let want = length.min(PIECE);
            let count = match stream.read(&mut buffer[..want]).await {
                Ok(0) | Err(_) => return Ended::Cut,
                Ok(count) => count,
            };
            if pipe.write_all(&buffer[..count]).await.is_err() {
                return Ended::Deaf;
            }
            *moved += count as u64;
            length -= count;
        }
    }
}

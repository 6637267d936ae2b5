//! The guest's line to its runner: dialled, kept, dialled again. Nothing waits for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::BytesMut;
use cluster::AttemptId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use crate::wire::frame::{self, LARGEST_HOSTILE};
use crate::wire::guest::{ExitRecord, FromGuest, SOCKET, StreamHead, ToGuest};
use crate::wire::{Heard, PROTOCOL};

/// Between two tries: from the first to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What the runner is told, as far as it goes now.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) started: Option<u64>,
    pub(super) exited: Option<ExitRecord>,
}

/// For ever. `told` becomes true once a runner has the end.
pub(super) async fn control(
    run: PathBuf,
    attempt: AttemptId,
    mut story: watch::Receiver<Story>,
    orders: mpsc::Sender<ToGuest>,
    told: watch::Sender<bool>,
) {
    let mut pause = PAUSE.0;
    loop {
        if let Ok(socket) = UnixStream::connect(run.join(SOCKET)).await {
            pause = PAUSE.0;
            // Its end, whatever the reason, means: dial again.
            let _ = talk(socket, attempt, &mut story, &orders, &told).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn talk(
    socket: UnixStream,
    attempt: AttemptId,
    story: &mut watch::Receiver<Story>,
    orders: &mpsc::Sender<ToGuest>,
    told: &watch::Sender<bool>,
) -> anyhow::Result<()> {
    let (mut reader, mut writer) = socket.into_split();
    let hello = FromGuest::Hello {
        protocol: PROTOCOL,
        attempt,
    };
    writer.write_all(&frame::encode(&hello)?).await?;
    let (mut said_start, mut said_end) = (false, false);
    let mut bytes = BytesMut::new();
    loop {
        let now = story.borrow_and_update().clone();
        if let (Some(at), false) = (now.started, said_start) {
            writer
                .write_all(&frame::encode(&FromGuest::Started { at })?)
                .await?;
            said_start = true;
        }
        if let (Some(record), false) = (now.exited, said_end) {
            writer
                .write_all(&frame::encode(&FromGuest::Exited(record))?)
                .await?;
            said_end = true;
            told.send_replace(true);
        }
        tokio::select! {
            read = reader.read_buf(&mut bytes) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some(order) = frame::hear::<ToGuest>(&mut bytes, LARGEST_HOSTILE)? {
                    // What only a newer runner knows is skipped.
                    if let Heard::Known(order) = order {
                        orders.send(order).await?;
                    }
                }
            }
            changed = story.changed() => changed?,
        }
    }
}

/// One more connection, for a stream the runner asked for.
pub(super) async fn dial(run: &Path, id: u64) -> anyhow::Result<UnixStream> {
    let mut socket = UnixStream::connect(run.join(SOCKET)).await?;
    socket
        .write_all(&frame::encode(&StreamHead { id })?)
        .await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn an_order_that_only_a_newer_runner_knows_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let (_story, heard) = watch::channel(Story::default());
        let (orders, mut received) = mpsc::channel(1);
        let (told, _) = watch::channel(false);
        let attempt = "17.1".parse().unwrap();
        tokio::spawn(control(dir.path().to_owned(), attempt, heard, orders, told));
        let (mut runner, _) = listener.accept().await.unwrap();
        for order in [
            json!({"hum": {"tune": 3}}),
            json!({"open": {"id": 1, "stream": "hologram"}}),
            json!({"stop": {"grace_ms": 5, "gently": true}}),
        ] {
            let frame = frame::encode(&order).unwrap();
            runner.write_all(&frame).await.unwrap();
        }
        assert_eq!(received.recv().await, Some(ToGuest::Stop { grace_ms: 5 }));
    }
}

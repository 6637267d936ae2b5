//! A runner fetches the spooled input of a task it was given.

use std::sync::Arc;

use bytes::BytesMut;
use cluster::TaskId;
use keys::NodeName;
use tokio::io::AsyncReadExt;
use tracing::warn;
use tunnel::ssh::Stream;

use crate::head::Head;
use crate::state::Input;

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// Sends the whole input; the stream is cut when it cannot be had.
pub async fn serve(head: Arc<Head>, node: NodeName, task: TaskId, stream: Stream) {
    if let Err(error) = send(&head, &node, task, stream).await {
        warn!(%node, %task, %error, "spooled input not sent");
    }
}

async fn send(
    head: &Head,
    node: &NodeName,
    task: TaskId,
    mut stream: Stream,
) -> anyhow::Result<()> {
    let state = head.state();
    let task = state
        .task(task)
        .ok_or_else(|| anyhow::anyhow!("no such task"))?;
    let here = task.placement.as_ref().is_some_and(|p| p.node == *node) && !task.state.is_final();
    anyhow::ensure!(here, "not a task of this node");
    let spool = task
        .spool
        .as_ref()
        .ok_or_else(|| anyhow::anyhow!("it has no spooled input"))?;
    let opened = head.spools.read(&spool.file).await;
    if let Err(error) = &opened
        && error.kind() == std::io::ErrorKind::NotFound
        && let Some(attempt) = task.current()
    {
        head.tell(Input::InputGone { attempt }).await;
    }
    let mut file = opened?;
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        if file.read_buf(&mut piece).await? == 0 {
            break;
        }
        stream.send(piece.freeze()).await?;
    }
    stream.finish().await?;
    // The runner ends it when it has all.
    while stream.next().await?.is_some() {}
    Ok(())
}

//! Output of ended attempts moves from nodes into the gateway's store.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use cluster::{AttemptId, OutputSize};
use keys::NodeName;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tracing::debug;
use tunnel::wire::ChannelName;
use tunnel::wire::output::OutputFrame;

use crate::head::Head;
use crate::state::Input;

/// How long a node may take for the next piece of output.
const PIECE_LIMIT: Duration = Duration::from_secs(60);
/// Before an attempt that could not be fetched is asked for again.
const PAUSE: Duration = Duration::from_secs(2);
/// … because the gateway's disk is full: the node keeps it.
const FULL: Duration = Duration::from_secs(10);
/// Attempts collected at the same time.
const PARALLEL: usize = 4;

/// What is still to be fetched; each attempt once.
#[derive(Default)]
pub struct Collector {
    waiting: Mutex<BTreeSet<(NodeName, AttemptId)>>,
    busy: Mutex<BTreeSet<AttemptId>>,
    wake: Notify,
}

impl Collector {
    pub(crate) fn add(&self, node: NodeName, attempt: AttemptId) {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.contains(&attempt) {
            self.waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert((node, attempt));
            self.wake.notify_one();
        }
    }

    async fn next(&self) -> (NodeName, AttemptId) {
        loop {
            let first = {
                let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
                let first = self
                    .waiting
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_first();
                if let Some((_, attempt)) = &first {
                    busy.insert(*attempt);
                }
                first
            };
            match first {
                Some(first) => return first,
                None => self.wake.notified().await,
            }
        }
    }

    fn done(&self, attempt: AttemptId) {
        self.busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&attempt);
    }
}

/// Runs for ever. An attempt that cannot be fetched now is asked for again when its node reports it.
pub async fn collect(head: Arc<Head>) {
    let limit = Arc::new(Semaphore::new(PARALLEL));
    loop {
        let (node, attempt) = head.collector.next().await;
        let Ok(place) = Arc::clone(&limit).acquire_owned().await else {
            return;
        };
        let head = Arc::clone(&head);
        tokio::spawn(async move {
            let fetched = fetch(&head, &node, attempt).await;
            drop(place);
            match fetched {
                Ok(output) => {
                    head.tell(Input::Collected { attempt, output }).await;
                    head.collector.done(attempt);
                }
                Err(error) => {
                    debug!(%node, %attempt, %error, "output not collected yet");
                    head.collector.done(attempt);
                    let pause = if is_full(&error) { FULL } else { PAUSE };
                    again_later(&head, node, attempt, pause).await;
                }
            }
        });
    }
}

/// While its node is connected, the stream may have failed by chance.
async fn again_later(head: &Head, node: NodeName, attempt: AttemptId, pause: Duration) {
    tokio::time::sleep(pause).await;
    if head.state().link(&node).is_some() {
        head.collector.add(node, attempt);
    }
}

fn is_full(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
}

async fn fetch(head: &Head, node: &NodeName, attempt: AttemptId) -> anyhow::Result<OutputSize> {
    let state = head.state();
    let task = state
        .task(attempt.task)
        .filter(|task| task.current() == Some(attempt) && !task.collected);
    let Some(task) = task else {
        return Ok(OutputSize::default());
    };
    if task.output == OutputSize::default() {
        // Nothing was written: nothing to fetch.
        return Ok(OutputSize::default());
    }
    let name = ChannelName::Output {
        attempt,
        stdout: 0,
        stderr: 0,
        follow: true,
    };
    let mut stream = head.links.open(node, name).await?;
    let mut writer = head.outputs.create(attempt).await?;
    let (mut bytes, mut rest) = (BytesMut::new(), None);
    loop {
        while let Some(frame) = OutputFrame::decode(&mut bytes, &mut rest)? {
            writer.write(&frame).await?;
            if frame == OutputFrame::End {
                return writer.finish().await;
            }
        }
        match timeout(PIECE_LIMIT, stream.next()).await?? {
            Some(piece) if bytes.is_empty() => bytes = BytesMut::from(piece),
            Some(piece) => bytes.extend_from_slice(&piece),
            None => anyhow::bail!("the output ended without its end"),
        }
    }
}

//! Output of ended attempts moves from nodes into the gateway's store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
const PARALLEL: usize = 8;
/// … from one node: a slow one must not hold up the others.
const FROM_ONE: usize = 2;

/// What is still to be fetched; each attempt once.
#[derive(Default)]
pub struct Collector {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<NodeName, BTreeSet<AttemptId>>,
    busy: BTreeMap<AttemptId, NodeName>,
    /// Whose turn was last.
    last: Option<NodeName>,
}

impl Queue {
    /// Of the nodes in turn, but for those that are busy enough.
    fn next(&mut self) -> Option<(NodeName, AttemptId)> {
        let busy = |node: &NodeName| self.busy.values().filter(|at| *at == node).count();
        let free = |node: &&NodeName| busy(node) < FROM_ONE;
        let later = |node: &&NodeName| self.last.as_ref().is_none_or(|last| **node > *last);
        let mut nodes = self.waiting.keys().filter(free);
        let node = self.waiting.keys().filter(free).find(later);
        let node = node.or_else(|| nodes.next())?.clone();
        let waiting = self.waiting.get_mut(&node)?;
        let attempt = waiting.pop_first()?;
        if waiting.is_empty() {
            self.waiting.remove(&node);
        }
        self.busy.insert(attempt, node.clone());
        self.last = Some(node.clone());
        Some((node, attempt))
    }
}

impl Collector {
    pub(crate) fn add(&self, node: NodeName, attempt: AttemptId) {
        let mut queue = self.queue();
        if !queue.busy.contains_key(&attempt) {
            queue.waiting.entry(node).or_default().insert(attempt);
            self.wake.notify_one();
        }
    }

    async fn next(&self) -> (NodeName, AttemptId) {
        loop {
            let next = self.queue().next();
            match next {
                Some(next) => return next,
                None => self.wake.notified().await,
            }
        }
    }

    fn done(&self, attempt: AttemptId) {
        self.queue().busy.remove(&attempt);
        self.wake.notify_one();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs for ever. An attempt that cannot be fetched now is asked for again when its node reports it.
pub async fn collect(head: Arc<Head>) {
    let limit = Arc::new(Semaphore::new(PARALLEL));
    loop {
        let Ok(place) = Arc::clone(&limit).acquire_owned().await else {
            return;
        };
        let (node, attempt) = head.collector.next().await;
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

#[cfg(test)]
mod tests {
    use cluster::TaskId;

    use super::*;

    #[test]
    fn a_node_that_gives_its_output_slowly_holds_up_no_other() {
        let mut queue = Queue::default();
        let attempt = |task| AttemptId {
            task: TaskId(task),
            number: 1,
        };
        let node = |name: &str| -> NodeName { name.parse().unwrap() };
        for task in 1..=5 {
            let waiting = queue.waiting.entry(node("a")).or_default();
            waiting.insert(attempt(task));
        }
        queue
            .waiting
            .entry(node("b"))
            .or_default()
            .insert(attempt(9));
        let order: Vec<u64> = std::iter::from_fn(|| queue.next())
            .map(|(_, attempt)| attempt.task.0)
            .collect();
        assert_eq!(order, [1, 9, 2]);
        queue.busy.remove(&attempt(1));
        assert_eq!(queue.next(), Some((node("a"), attempt(3))));
    }
}

//! A channel that this side is opening, before its opener hears of it.

use std::sync::Arc;

use russh::ChannelId;

use super::{CHANNELS, Entry, Inbox, Inboxes, lock};

/// See [`Inboxes::expect`].
#[derive(Debug)]
pub struct Expected(pub(super) Inboxes);

impl Inboxes {
    /// Before this side opens a channel towards the client. [`Expected::adopt`] gives its inbox. `None`: the connection
    /// has [`CHANNELS`].
    #[must_use]
    pub fn expect(&self) -> Option<Expected> {
        let mut queues = lock(&self.0.queues);
        if queues.count() >= CHANNELS {
            return None;
        }
        queues.expected += 1;
        Some(Expected(self.clone()))
    }
}

impl Expected {
    /// The inbox of the channel that was opened, with what has come already.
    #[must_use]
    pub fn adopt(self, channel: ChannelId) -> Inbox {
        let queue = {
            let mut queues = lock(&self.0.0.queues);
            let queue = queues.early.remove(&channel).unwrap_or_default();
            if queues.ended {
                lock(&queue.state).closed = true;
            }
            if !lock(&queue.state).closed {
                queues.open.insert(channel, Arc::clone(&queue));
            }
            queue
        };
        let entry = Arc::new(Entry {
            channel,
            queue,
            shared: self.0.0.clone(),
        });
        Inbox { entry }
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let nobodys = {
            let mut queues = lock(&self.0.0.queues);
            queues.expected -= 1;
            if queues.expected > 0 {
                return;
            }
            std::mem::take(&mut queues.early)
        };
        for queue in nobodys.into_values() {
            self.0.0.kill(&queue);
        }
    }
}

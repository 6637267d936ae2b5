//! What all sessions of one SSH connection share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::ChannelId;
use tokio::sync::watch;
use tunnel::ssh::{End, Ending};

/// How long the reason of a lost connection may take to be known.
const REASON_LIMIT: Duration = Duration::from_secs(5);

/// How a caller left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Closed the channel, or ended the connection in order: means it.
    Left,
    /// Reset, timed out, cut: may want to come back.
    Lost,
}

/// Cheap to share.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    ending: Ending,
    /// Channels that the client closed by itself.
    closed: Mutex<HashSet<ChannelId>>,
    /// Set once the connection is over.
    over: watch::Sender<Option<Departure>>,
}

impl Connection {
    pub(super) fn new(ending: Ending) -> Self {
        let (over, _) = watch::channel(None);
        Self(Arc::new(Shared {
            ending,
            closed: Mutex::default(),
            over,
        }))
    }

    pub(super) fn channel_closed(&self, channel: ChannelId) {
        self.0
            .closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(channel);
    }

    /// `clean`: the protocol ended it in order, by a DISCONNECT message.
    pub(super) fn ended(&self, clean: bool) {
        let left = clean || self.0.ending.get() == End::EndOfFile;
        self.0.over.send_replace(Some(if left {
            Departure::Left
        } else {
            Departure::Lost
        }));
    }

    /// Why this channel is closed. Call it once it is.
    pub async fn departure(&self, channel: ChannelId) -> Departure {
        if self
            .0
            .closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&channel)
        {
            return Departure::Left;
        }
        let mut over = self.0.over.subscribe();
        let known = tokio::time::timeout(REASON_LIMIT, over.wait_for(Option::is_some)).await;
        match known {
            Ok(Ok(departure)) => (*departure).unwrap_or(Departure::Lost),
            Ok(Err(_)) | Err(_) => Departure::Lost,
        }
    }
}

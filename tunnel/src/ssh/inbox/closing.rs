//! The end of a channel, for whoever must not speak after it.

use std::sync::Arc;

use super::{Entry, State, lock};

/// Knows when its channel is closed, also after the [`Inbox`] was dropped. Holds no data.
#[derive(Clone, Debug)]
pub struct Closing(pub(super) Arc<Entry>);

impl Closing {
    /// The client closed the channel, or is gone: nothing more may be said on it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        lock(&self.0.queue.state).closed
    }

    /// Resolves when the client closed the channel, was cut, or the connection ended.
    pub async fn closed(&self) {
        let closed = |state: &mut State| state.closed.then_some(());
        self.0.queue.wait(closed).await;
    }
}

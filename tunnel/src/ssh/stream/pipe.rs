//! What one stream has received and may send: written by the handler's callbacks, read by its halves.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use russh::{ChannelWriteHalf, client, server};
use tokio::time::timeout;

use super::super::waiting::Waiting;
use super::{CLOSE_CODE, CREDIT_CODE};

/// What each side may send before it was granted anything, in bytes.
pub(super) const FIRST_CREDIT: u32 = 256 << 10;

/// How long asking for a close may wait for the channel's SSH window.
const ASK_LIMIT: Duration = Duration::from_secs(30);

/// A send on its way into russh's queue.
pub(super) type Sending = Pin<Box<dyn Future<Output = Result<(), russh::Error>> + Send>>;

/// Our end of a channel, whichever side of russh it is on.
#[derive(Debug)]
pub(super) enum Half {
    Server(ChannelWriteHalf<server::Msg>),
    Client(ChannelWriteHalf<client::Msg>),
}

impl Half {
    pub(super) fn data(self: Arc<Self>, bytes: Bytes) -> Sending {
        Box::pin(async move {
            match &*self {
                Self::Server(half) => half.data_bytes(bytes).await,
                Self::Client(half) => half.data_bytes(bytes).await,
            }
        })
    }

    pub(super) fn credit(self: Arc<Self>, amount: u32) -> Sending {
        let bytes = Bytes::copy_from_slice(&amount.to_be_bytes());
        Box::pin(async move {
            match &*self {
                Self::Server(half) => half.extended_data_bytes(CREDIT_CODE, bytes).await,
                Self::Client(half) => half.extended_data_bytes(CREDIT_CODE, bytes).await,
            }
        })
    }

    pub(super) fn eof(self: Arc<Self>) -> Sending {
        Box::pin(async move {
            match &*self {
                Self::Server(half) => half.eof().await,
                Self::Client(half) => half.eof().await,
            }
        })
    }

    /// Ends the channel in order, from a task of its own: the runner closes, the gateway asks it to.
    pub(super) fn close_soon(self: Arc<Self>) {
        spawn(async move {
            match &*self {
                Self::Server(half) => {
                    let ask = half.extended_data_bytes(CLOSE_CODE, Bytes::from_static(&[0]));
                    if !matches!(timeout(ASK_LIMIT, ask).await, Ok(Ok(()))) {
                        self.close().await;
                    }
                }
                Self::Client(_) => self.close().await,
            }
        });
    }

    /// Closes the channel without asking, from a task of its own.
    pub(super) fn close_now(self: Arc<Self>) {
        spawn(async move { self.close().await });
    }

    async fn close(&self) {
        // Failing means that the connection is gone, and the channel with it.
        let _ = match self {
            Self::Server(half) => half.close().await,
            Self::Client(half) => half.close().await,
        };
    }
}

/// Without a runtime there is no connection either.
fn spawn(closing: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(closing);
    }
}

/// Why nothing more goes through a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Closed,
    Lost,
    Breach,
}

impl From<Cut> for io::Error {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Closed => Self::new(
                io::ErrorKind::UnexpectedEof,
                "the stream was closed before its end",
            ),
            Cut::Lost => Self::new(io::ErrorKind::ConnectionReset, "the connection was lost"),
            Cut::Breach => Self::new(
                io::ErrorKind::InvalidData,
                "the peer sent more than it was granted",
            ),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<State>);

#[derive(Debug)]
struct State {
    half: Option<Arc<Half>>,
    received: Waiting,
    eof: bool,
    cut: Option<Cut>,
    /// The reader is gone: what still comes is dropped and earns no credit.
    unread: bool,
    /// What the peer may still send.
    granted: u32,
    /// What we may still send.
    credit: u32,
    /// The beginning of a grant cut by the peer's window.
    partial: Vec<u8>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            half: None,
            received: Waiting::default(),
            eof: false,
            cut: None,
            unread: false,
            granted: FIRST_CREDIT,
            credit: FIRST_CREDIT,
            partial: Vec::new(),
            reader: None,
            writer: None,
        }
    }
}

impl Pipe {
    pub(super) fn adopt(&self, half: Arc<Half>) {
        let mut state = self.state();
        if matches!(state.cut, Some(Cut::Breach | Cut::Closed)) {
            // It could not be closed before; closing what the peer has closed does nothing.
            half.clone().close_now();
        }
        state.half = Some(half);
    }

    pub(super) fn on_data(&self, data: &[u8]) {
        let mut state = self.state();
        if state.cut.is_some() || state.eof {
            return;
        }
        let granted = u32::try_from(data.len())
            .ok()
            .and_then(|length| state.granted.checked_sub(length));
        let Some(granted) = granted else {
            return state.breach();
        };
        state.granted = granted;
        if !state.unread {
            state.received.push(data);
            State::wake(&mut state.reader);
        }
    }

    pub(super) fn on_credit(&self, data: &[u8]) {
        let mut state = self.state();
        if state.cut.is_some() {
            return;
        }
        for byte in data {
            state.partial.push(*byte);
            if let Ok(amount) = <[u8; 4]>::try_from(state.partial.as_slice()) {
                state.partial.clear();
                state.credit = state.credit.saturating_add(u32::from_be_bytes(amount));
            }
        }
        State::wake(&mut state.writer);
    }

    pub(super) fn on_eof(&self) {
        let mut state = self.state();
        state.eof = true;
        State::wake(&mut state.reader);
    }

    /// The gateway asks for the end of the channel; before it was adopted it has nobody to ask.
    pub(super) fn on_close_request(&self) {
        let mut state = self.state();
        if let (None, Some(half)) = (state.cut, &state.half) {
            half.clone().close_now();
        }
        state.cut(Cut::Closed);
    }

    /// Whether it was adopted.
    pub(super) fn on_close(&self) -> bool {
        let mut state = self.state();
        state.cut(Cut::Closed);
        state.half.is_some()
    }

    /// Neither the peer nor a breach has closed the channel.
    pub(super) fn is_open(&self) -> bool {
        self.state().cut.is_none()
    }

    pub(super) fn on_lost(&self) {
        self.state().cut(Cut::Lost);
    }

    /// The reader is gone.
    pub(super) fn discard(&self) {
        let mut state = self.state();
        state.unread = true;
        state.received = Waiting::default();
    }

    /// The next bytes and whether they were the last in the queue; `None` at the end of file.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<(Bytes, bool)>>> {
        let mut state = self.state();
        if let Some(bytes) = state.received.pop() {
            let drained = state.received.is_empty();
            return Poll::Ready(Ok(Some((bytes, drained))));
        }
        if state.eof {
            return Poll::Ready(Ok(None));
        }
        if let Some(cut) = state.cut {
            return Poll::Ready(Err(cut.into()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The peer will be told that it may send so many bytes more.
    pub(super) fn grant(&self, amount: u32) {
        let mut state = self.state();
        state.granted = state.granted.saturating_add(amount);
    }

    /// Takes up to `wanted` bytes of credit; waits while there is none.
    pub(super) fn poll_credit(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if let Some(cut) = state.cut {
            return Poll::Ready(Err(cut.into()));
        }
        let taken = state.credit.min(u32::try_from(wanted).unwrap_or(u32::MAX));
        if taken == 0 && wanted > 0 {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.credit -= taken;
        Poll::Ready(Ok(taken as usize))
    }

    /// `Ready` with the reason once nothing can be sent any more.
    pub(super) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut state = self.state();
        if let Some(cut) = state.cut {
            return Poll::Ready(cut.into());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn cut(&mut self, cut: Cut) {
        if self.cut.is_none() {
            self.cut = Some(cut);
        }
        Self::wake(&mut self.reader);
        Self::wake(&mut self.writer);
    }

    fn breach(&mut self) {
        self.received = Waiting::default();
        self.cut(Cut::Breach);
        if let Some(half) = &self.half {
            half.clone().close_now();
        }
    }

    fn wake(waker: &mut Option<Waker>) {
        if let Some(waker) = waker.take() {
            waker.wake();
        }
    }
}

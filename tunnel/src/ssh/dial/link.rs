//! A runner's link to its gateway: one control connection and the bulk connections.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::select_all;
use russh::client;
use serde::Serialize;
use tokio::sync::{Mutex, mpsc};

use super::handler::LinkHandler;
use crate::ssh::accept::within;
use crate::ssh::control::{FrameReader, FrameWriter, Frames};
use crate::ssh::stream::{MOST, Stream, Streams};
use crate::wire::{ChannelName, ToRunner};

/// How long the gateway may take to accept or refuse a stream.
const OPEN_LIMIT: std::time::Duration = std::time::Duration::from_secs(15);

/// A stream that the gateway opened.
pub(super) type Incoming = (ChannelName, Stream);

/// One authenticated SSH connection to the gateway. Dropping it ends it and all its streams.
pub(super) struct Connection {
    pub(super) handle: Arc<client::Handle<LinkHandler>>,
    pub(super) streams: Streams,
}

impl Connection {
    pub(super) fn new(handle: client::Handle<LinkHandler>, streams: Streams) -> Self {
        Self {
            handle: Arc::new(handle),
            streams,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.streams.on_end();
        let handle = self.handle.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Failing means that it is gone already.
                let _ = handle
                    .disconnect(russh::Disconnect::ByApplication, "", "")
                    .await;
            });
        }
    }
}

/// See the module. All methods take `&self`, so tasks may share it.
pub struct RunnerLink {
    reader: Mutex<FrameReader>,
    writer: Mutex<FrameWriter>,
    incoming: Mutex<mpsc::Receiver<Incoming>>,
    control: Connection,
    /// Each with the stream that made it a bulk connection; locked only so that a link can be shared.
    bulk: Vec<(Connection, Mutex<Stream>)>,
    next: AtomicUsize,
}

impl RunnerLink {
    pub(super) fn new(
        control: Connection,
        frames: Frames,
        bulk: Vec<(Connection, Stream)>,
        incoming: mpsc::Receiver<Incoming>,
    ) -> Self {
        let (reader, writer) = frames.split();
        Self {
            reader: Mutex::new(reader),
            writer: Mutex::new(writer),
            incoming: Mutex::new(incoming),
            control,
            bulk: bulk
                .into_iter()
                .map(|(connection, stream)| (connection, Mutex::new(stream)))
                .collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Sends one control message: a [`FromRunner`](crate::wire::FromRunner), or what only another version knows.
    /// A dropped future's message is completed before the next.
    ///
    /// # Errors
    /// When the control stream was closed or its connection lost.
    pub async fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.writer.lock().await.send(message).await
    }

    /// The next control message; `None` when the gateway ended control. Dropping the future loses nothing. What only
    /// a newer gateway knows is skipped.
    ///
    /// # Errors
    /// When the control stream was closed, its connection lost, or the message makes no sense.
    pub async fn recv(&self) -> io::Result<Option<ToRunner>> {
        self.reader.lock().await.hear().await
    }

    /// The next stream that the gateway opened, on any connection; `None` when all have ended.
    pub async fn incoming(&self) -> Option<(ChannelName, Stream)> {
        self.incoming.lock().await.recv().await
    }

    /// Opens a stream to the gateway, on the bulk connections in turn.
    ///
    /// # Errors
    /// `ConnectionRefused` when the gateway refuses it, `TimedOut` when it does not answer,
    /// `ConnectionReset` when the connection is lost, `QuotaExceeded` when it has too many streams.
    pub async fn open(&self, name: ChannelName) -> io::Result<Stream> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let Some((connection, _)) = self.bulk.get(turn % self.bulk.len().max(1)) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let (handle, streams) = (connection.handle.clone(), connection.streams.clone());
        if streams.len() >= MOST {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        within(OPEN_LIMIT, async move {
            let opened = handle.channel_open_direct_streamlocal(name.to_string());
            let (_, half) = opened.await?.split();
            Ok(streams.adopt_client(half))
        })
        .await
    }

    /// Resolves when any of its connections has ended: then drop the link and dial again.
    pub async fn closed(&self) {
        let all = self.bulk.iter().map(|(connection, _)| connection);
        let ends = std::iter::once(&self.control)
            .chain(all)
            .map(|connection| Box::pin(connection.streams.ended()));
        select_all(ends).await;
    }
}

impl std::fmt::Debug for RunnerLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunnerLink")
            .field("bulk", &self.bulk.len())
            .finish_non_exhaustive()
    }
}

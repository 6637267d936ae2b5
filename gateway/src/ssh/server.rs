//! The listener: sockets become connections, within limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use cluster::TaskId;
use russh::{ChannelWriteHalf, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info};
use tunnel::ssh::{Crawl, Ending, Inbox, Inboxes, LinkConnection, Received, Streams, Tune};

use super::connection::Connection;
use super::door::{Door, Place};
use super::leash::Leash;
use super::visit::Handler;
use crate::ending;
use crate::head::Head;

/// How long a connection may take to prove who it is; also a newcomer's or a joining runner's whole visit.
const LOGIN_GRACE: Duration = Duration::from_secs(30);
/// Bytes between a channel and the SSH server that is nested in it.
const NESTED: usize = 256 << 10;

/// Accepts until the process ends.
///
/// # Errors
/// When the listening socket fails for good.
pub async fn serve(head: Arc<Head>, listener: TcpListener) -> anyhow::Result<()> {
    let config = Arc::clone(&head.server);
    let door = Door::new();
    loop {
        let Some(place) = door.wait().await else {
            return Ok(());
        };
        let (socket, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, or a connection that was reset before it was taken.
                info!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = door.enter(source.ip(), place) else {
            debug!(%source, "too many unproved connections of this address");
            continue;
        };
        let (head, config) = (Arc::clone(&head), Arc::clone(&config));
        let work = connection(Arc::clone(&head), config, socket, source, place);
        head.ending.connection(async move {
            if let Err(error) = work.await {
                debug!(%source, %error, "connection ended");
            }
        });
    }
}

/// SSH on a channel of another connection, which was proved and whose box is known.
pub(super) async fn nested(
    head: Arc<Head>,
    source: SocketAddr,
    vps: TaskId,
    inbox: Inbox,
    half: ChannelWriteHalf<server::Msg>,
) {
    let (near, far) = tokio::io::duplex(NESTED);
    let config = Arc::clone(&head.server);
    let shared = Connection::new(Ending::default());
    let proved = Arc::new(Notify::new());
    let inboxes = Inboxes::new(Crawl::default());
    let handler = Handler::new(
        head,
        shared.clone(),
        inboxes,
        Streams::new(),
        Arc::clone(&proved),
        source,
    )
    .force(vps);
    let serving = async {
        let started = server::run_stream(config, far, handler);
        let session = tokio::time::timeout(LOGIN_GRACE, started)
            .await
            .ok()?
            .ok()?;
        let mut session = std::pin::pin!(session);
        tokio::select! {
            ended = &mut session => return ended.ok(),
            () = proved.notified() => {}
            () = tokio::time::sleep(LOGIN_GRACE) => return None,
        }
        session.await.ok()
    };
    tokio::select! {
        ended = serving => shared.ended(ended.is_some()),
        () = carry(near, inbox, &half) => shared.ended(false),
    }
    let _ = half.close().await;
}

/// Both ways, until one is over.
async fn carry(near: DuplexStream, mut inbox: Inbox, half: &ChannelWriteHalf<server::Msg>) {
    let (mut reader, mut writer) = tokio::io::split(near);
    let inward = async {
        while let Received::Data(bytes) = inbox.next().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let outward = async {
        loop {
            let mut bytes = BytesMut::with_capacity(NESTED);
            match reader.read_buf(&mut bytes).await {
                Ok(1..) if half.data_bytes(bytes.freeze()).await.is_ok() => {}
                Ok(_) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}

async fn connection(
    head: Arc<Head>,
    config: Arc<server::Config>,
    socket: TcpStream,
    source: SocketAddr,
    place: Place,
) -> anyhow::Result<()> {
    let crawl = Crawl::default();
    let socket = Tune::new(socket, crawl.clone())?;
    let shared = Connection::new(socket.ending());
    let (leash, socket) = Leash::new(socket);
    let streams = Streams::new();
    let proved = Arc::new(Notify::new());
    let handler = Handler::new(
        Arc::clone(&head),
        shared.clone(),
        Inboxes::new(crawl),
        streams.clone(),
        Arc::clone(&proved),
        source,
    );
    let links = handler.link_slot();
    let grace = Instant::now() + LOGIN_GRACE;
    let starting = tokio::time::timeout_at(grace, server::run_stream(config, socket, handler));
    let session = tokio::select! {
        session = starting => session??,
        () = head.ending.goodbye() => return Ok(()),
    };
    let itself = LinkConnection::new(session.handle(), streams);
    links.set(itself.clone());
    let mut session = std::pin::pin!(session);
    let first = tokio::select! {
        ended = &mut session => Some(ended),
        () = proved.notified() => None,
        () = head.ending.goodbye() => None,
        () = tokio::time::sleep_until(grace) => {
            debug!(%source, "not signed in within {} s", LOGIN_GRACE.as_secs());
            leash.cut();
            None
        }
    };
    drop(place);
    let ended = match first {
        Some(ended) => ended,
        None => tokio::select! {
            ended = &mut session => ended,
            () = head.ending.goodbye() => {
                itself.disconnect(ending::WHY).await;
                session.await
            }
        },
    };
    let clean = matches!(&ended, Ok(()) | Err(russh::Error::Disconnect));
    shared.ended(clean);
    links.ended(&head);
    Ok(())
}

//! The listener: sockets become connections, within limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info};
use tunnel::ssh::{Crawl, Inboxes, LinkConnection, Streams, Tune};

use super::connection::Connection;
use super::door::{Door, Place};
use super::leash::Leash;
use super::visit::Handler;
use crate::head::Head;

/// How long a connection may take to prove who it is; also a newcomer's or a joining runner's whole visit.
const LOGIN_GRACE: Duration = Duration::from_secs(30);

/// Accepts until the process ends.
///
/// # Errors
/// When the listening socket fails for good.
pub async fn serve(
    head: Arc<Head>,
    listener: TcpListener,
    config: server::Config,
) -> anyhow::Result<()> {
    let config = Arc::new(config);
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
        tokio::spawn(async move {
            if let Err(error) = connection(head, config, socket, source, place).await {
                debug!(%source, %error, "connection ended");
            }
        });
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
    let session =
        tokio::time::timeout_at(grace, server::run_stream(config, socket, handler)).await??;
    links.set(LinkConnection::new(session.handle(), streams));
    let mut session = std::pin::pin!(session);
    let first = tokio::select! {
        ended = &mut session => Some(ended),
        () = proved.notified() => None,
        () = tokio::time::sleep_until(grace) => {
            debug!(%source, "not signed in within {} s", LOGIN_GRACE.as_secs());
            leash.cut();
            None
        }
    };
    drop(place);
    let ended = match first {
        Some(ended) => ended,
        None => session.await,
    };
    let clean = matches!(&ended, Ok(()) | Err(russh::Error::Disconnect));
    shared.ended(clean);
    links.ended(&head);
    Ok(())
}

//! The listener: sockets become connections, within limits.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use russh::{ChannelWriteHalf, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::{debug, error, info};
use tunnel::ssh::{Crawl, Ending, Inbox, Inboxes, LinkConnection, Received, Streams, Terms, Tune};

use super::connection::Connection;
use super::door::{Door, Place};
use super::knock::Standing;
use super::leash::{Leash, Leashed};
use super::places::Nest;
use super::visit::Handler;
use crate::ending;
use crate::head::Head;

/// Between two lines about sockets that could not be accepted.
const TELL: Duration = Duration::from_secs(10);
/// How long somebody may take to leave who was told to: longer than a socket lingers after its goodbye.
const GOODBYE: Duration = Duration::from_secs(15);
/// Bytes between a channel and the SSH server that is nested in it.
const NESTED: usize = 256 << 10;

/// Accepts until the process ends.
///
/// # Errors
/// When the listening socket fails for good.
pub async fn serve(head: Arc<Head>, listener: TcpListener) -> anyhow::Result<()> {
    let door = Door::new(head.files, Arc::clone(&head.vitals.door));
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.attend() => continue,
        };
        let (socket, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, or a connection that was reset before it was taken.
                if told.is_none_or(|told| told.elapsed() > TELL) {
                    info!(%error, "accept");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let arrival = door.arrive(source.ip());
        let grace = Instant::now() + head.login_grace;
        let work = {
            let head = Arc::clone(&head);
            async move {
                match arrival.place(grace).await {
                    Some(place) => {
                        // Waiting takes little, and what is awaited has room but once.
                        Box::pin(connection(head, socket, source, place, grace)).await
                    }
                    None => Ok(()),
                }
            }
        };
        head.ending.connection(async move {
            match work.await {
                Ok(()) => {}
                // Its task panicked; all other connections go on.
                Err(russh::Error::Join(_)) => {
                    error!(%source, "a connection was ended by a mistake in this program");
                }
                Err(error) => debug!(%source, %error, "connection ended"),
            }
        });
    }
}

/// SSH on a channel of another connection, which was proved.
pub(super) async fn nested(
    head: Arc<Head>,
    source: SocketAddr,
    nest: Nest,
    inbox: Inbox,
    half: ChannelWriteHalf<server::Msg>,
) {
    let (near, far) = tokio::io::duplex(NESTED);
    let (config, grace) = (Arc::clone(&head.server), head.login_grace);
    let shared = Connection::new(Ending::default());
    let standing = Standing::inside();
    let (proved, recall) = (Arc::clone(&standing.proved), standing.recall.clone());
    let accounts = Arc::clone(&head);
    let inboxes = Inboxes::new(Crawl::default());
    let handler = Handler::new(
        head,
        shared.clone(),
        inboxes,
        Streams::new(),
        standing,
        source,
    )
    .inside(nest);
    let serving = async {
        let started = server::run_stream(config, far, handler);
        let session = tokio::time::timeout(grace, started).await.ok()?.ok()?;
        let itself = LinkConnection::new(session.handle(), Streams::new());
        let mut session = std::pin::pin!(session);
        tokio::select! {
            ended = &mut session => return ended.ok(),
            () = proved.notified() => {}
            () = tokio::time::sleep(grace) => return None,
        }
        tokio::select! {
            ended = &mut session => ended.ok(),
            why = recall.recalled(&accounts) => {
                itself.disconnect(why).await;
                tokio::time::timeout(GOODBYE, session).await.ok()?.ok()
            }
        }
    };
    tokio::select! {
        ended = serving => shared.ended(ended.is_some()),
        () = carry(near, inbox, &half) => shared.ended(false),
    }
    let _ = half.close().await;
}

/// To its end. russh tells a client nothing while keys are exchanged, and that may last as long as the client likes.
async fn dismissed<F: Future<Output = Result<(), russh::Error>>>(
    itself: &LinkConnection,
    why: &str,
    mut session: Pin<&mut F>,
    leash: &Leash,
) -> Result<(), russh::Error> {
    let told = async {
        itself.disconnect(why).await;
        session.as_mut().await
    };
    if let Ok(ended) = tokio::time::timeout(GOODBYE, told).await {
        return ended;
    }
    leash.cut();
    session.await
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
    socket: TcpStream,
    source: SocketAddr,
    place: Place,
    grace: Instant,
) -> Result<(), russh::Error> {
    let (crawl, terms) = (Crawl::default(), Terms::stranger());
    let socket = Tune::new(socket, crawl.clone(), terms.clone())?;
    let shared = Connection::new(socket.ending());
    let pulse = place.pulse.clone();
    let (leash, cut) = Leash::new();
    let socket = Leashed::new(socket, place.cut.clone(), pulse, place.opened()).also(cut);
    let streams = Streams::new();
    let standing = Standing::at_the_door(&place, terms.clone());
    let (proved, recall) = (Arc::clone(&standing.proved), standing.recall.clone());
    let handler = Handler::new(
        Arc::clone(&head),
        shared.clone(),
        Inboxes::new(crawl),
        streams.clone(),
        standing,
        source,
    );
    let links = handler.link_slot();
    // On the heap, and gone once it has started: this future lives as long as the connection.
    let started = Box::pin(server::run_stream(
        Arc::clone(&head.server),
        socket,
        handler,
    ));
    let starting = tokio::time::timeout_at(grace, started);
    let session = tokio::select! {
        session = starting => session,
        () = head.ending.goodbye() => return Ok(()),
    };
    let Ok(session) = session else {
        place.late();
        return Ok(());
    };
    let session = session?;
    let itself = LinkConnection::new(session.handle(), streams).over(terms);
    links.set(itself.clone());
    let mut session = std::pin::pin!(session);
    let first = tokio::select! {
        ended = &mut session => Some(ended),
        () = proved.notified() => {
            place.proved();
            None
        }
        () = head.ending.goodbye() => None,
        () = tokio::time::sleep_until(grace) => {
            place.late();
            None
        }
    };
    let ended = match first {
        Some(ended) => ended,
        None => tokio::select! {
            ended = &mut session => ended,
            () = head.ending.goodbye() => dismissed(&itself, ending::WHY, session, &leash).await,
            why = recall.recalled(&head) => {
                info!(%source, why, "a connection of a person ends");
                dismissed(&itself, why, session, &leash).await
            }
        },
    };
    let clean = matches!(&ended, Ok(()) | Err(russh::Error::Disconnect));
    shared.ended(clean);
    links.ended(&head);
    if clean { Ok(()) } else { ended }
}

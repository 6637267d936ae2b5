//! Connections that were accepted in the box become channels towards the client.

use std::net::IpAddr;
use std::sync::Arc;

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelWriteHalf};
use tokio::sync::Semaphore;
use tunnel::ssh::{Inbox, Inboxes};
use tunnel::wire::session::{Accepted, Kind, Request};

use super::{Opened, Place, splice};

/// Connections of one listener at once; a box that claims more waits.
const AT_ONCE: usize = 256;

/// Which channel a connection comes back on.
#[derive(Clone)]
pub(super) enum Back {
    Tcp(String),
    Unix(String),
    Agent,
    X11 {
        /// For one connection alone; the box is not trusted with that.
        single: bool,
    },
}

/// Between whom.
#[derive(Clone)]
pub(super) struct Ends {
    pub(super) place: Place,
    pub(super) back: Back,
    pub(super) handle: Handle,
    pub(super) inboxes: Inboxes,
}

pub(super) async fn next(opened: &mut Opened) -> Option<(Kind, bytes::Bytes)> {
    loop {
        if let Some(frame) = opened.frames.take().ok()? {
            return Some(frame);
        }
        opened.frames.add(opened.reader.next().await.ok()??);
    }
}

/// Each connection becomes a channel towards the client, until the box's end is lost (`true`), or the client's.
pub(super) async fn serve(ends: &Ends, key: u64, mut opened: Opened) -> bool {
    let over = ends.inboxes.ended();
    tokio::pin!(over);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(turn) = Arc::clone(&room).acquire_owned().await else {
            return true;
        };
        let frame = tokio::select! {
            frame = next(&mut opened) => frame,
            () = &mut over => return false,
        };
        let Some((Kind::Accepted, body)) = frame else {
            return true;
        };
        let Ok(accepted) = serde_json::from_slice::<Accepted>(&body) else {
            return true;
        };
        let own = ends.clone();
        let brought = tokio::spawn(async move {
            bring(own, key, accepted).await;
            drop(turn);
        });
        if matches!(ends.back, Back::X11 { single: true }) {
            // Until then the box keeps it.
            let _ = brought.await;
            return true;
        }
    }
}

async fn bring(ends: Ends, key: u64, accepted: Accepted) -> Option<()> {
    let number = accepted.number;
    let back = open_back(&ends, &accepted).await;
    // Taken also where the client wants it not, or has too many channels: dropping the stream is how whoever connected in the box sees its end.
    let request = Request::Take { key, number };
    let opened = ends.place.open(&request, false).await.ok();
    let (inbox, half) = back?;
    let closing = inbox.closing();
    if let Some(opened) = opened {
        splice(inbox, &half, opened).await;
    }
    if !closing.is_closed() {
        let _ = half.close().await;
    }
    Some(())
}

async fn open_back(ends: &Ends, accepted: &Accepted) -> Option<(Inbox, ChannelWriteHalf<Msg>)> {
    let handle = &ends.handle;
    let expected = ends.inboxes.expect()?;
    let channel: Channel<Msg> = match &ends.back {
        Back::Tcp(host) => {
            let port = u32::from(accepted.listener);
            let from = u32::from(accepted.port);
            handle
                .channel_open_forwarded_tcpip(host.clone(), port, peer(accepted), from)
                .await
        }
        Back::Unix(path) => {
            handle
                .channel_open_forwarded_streamlocal(path.clone())
                .await
        }
        Back::Agent => handle.channel_open_agent().await,
        Back::X11 { .. } => {
            let from = u32::from(accepted.port);
            handle.channel_open_x11(peer(accepted), from).await
        }
    }
    .ok()?;
    let (_, half) = channel.split();
    Some((expected.adopt(half.id()), half))
}

/// Of a tenant: an address, or none.
fn peer(accepted: &Accepted) -> String {
    let peer = accepted.host.parse();
    peer.unwrap_or(IpAddr::from([0, 0, 0, 0])).to_string()
}

//! Listening inside the box for the client: `-R`, and its SSH agent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelWriteHalf};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tracing::debug;
use tunnel::ssh::{Inbox, Inboxes};
use tunnel::wire::session::{self, Accepted, Kind, Listening, Request};

use super::{Opened, Place, splice};

/// Listeners of one connection.
const MOST: usize = 128;
/// Connections of one listener at once; a box that claims more waits.
const AT_ONCE: usize = 256;

/// What one connection listens for in its box; it ends with the connection.
#[derive(Default)]
pub(in crate::ssh) struct Listeners(HashMap<(String, u32), JoinHandle<()>>);

/// Which channel a connection comes back on.
#[derive(Clone)]
enum Back {
    Tcp(String),
    Unix(String),
    Agent,
}

impl Listeners {
    /// `Some(port)`: it listens there.
    pub(in crate::ssh) async fn tcp(
        &mut self,
        place: &Place,
        (host, port): (&str, u32),
        (handle, inboxes): (Handle, Inboxes),
    ) -> Option<u32> {
        let wanted = session::Place::Tcp {
            host: host.to_owned(),
            port: u16::try_from(port).ok()?,
        };
        let (listening, task) = self
            .listen(place, wanted, Back::Tcp(host.to_owned()), (handle, inboxes))
            .await?;
        let port = u32::from(listening.port);
        self.0.insert((host.to_owned(), port), task);
        Some(port)
    }

    pub(in crate::ssh) async fn unix(
        &mut self,
        place: &Place,
        path: &str,
        ends: (Handle, Inboxes),
    ) -> bool {
        let wanted = session::Place::Unix {
            path: path.to_owned(),
        };
        let back = Back::Unix(path.to_owned());
        match self.listen(place, wanted, back, ends).await {
            Some((_, task)) => {
                self.0.insert((path.to_owned(), 0), task);
                true
            }
            None => false,
        }
    }

    pub(in crate::ssh) fn cancel(&mut self, name: &str, port: u32) -> bool {
        let found = self.0.remove(&(name.to_owned(), port));
        found.map(|task| task.abort()).is_some()
    }

    async fn listen(
        &mut self,
        place: &Place,
        wanted: session::Place,
        back: Back,
        (handle, inboxes): (Handle, Inboxes),
    ) -> Option<(Listening, JoinHandle<()>)> {
        if self.0.len() >= MOST {
            return None;
        }
        listen(place, wanted, back, handle, inboxes).await
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for task in self.0.values() {
            task.abort();
        }
    }
}

/// The path of the agent's socket in the box; made once for a connection.
pub(in crate::ssh) async fn agent(place: &Place, handle: &Handle) -> Option<String> {
    let made = place.agent.get_or_init(|| async {
        let inboxes = place.inboxes.clone()?;
        let (listening, task) = listen(
            place,
            session::Place::Agent,
            Back::Agent,
            handle.clone(),
            inboxes,
        )
        .await?;
        // It ends with the connection: the stream's other end is then closed.
        drop(task);
        listening.path
    });
    made.await.clone()
}

async fn listen(
    place: &Place,
    wanted: session::Place,
    back: Back,
    handle: Handle,
    inboxes: Inboxes,
) -> Option<(Listening, JoinHandle<()>)> {
    let key = rand::random();
    let request = Request::Listen { key, place: wanted };
    let mut opened = match place.open(&request, false).await {
        Ok(opened) => opened,
        Err(failure) => {
            debug!(%failure.sentence, "a listener");
            return None;
        }
    };
    let Some((Kind::Listening, body)) = next(&mut opened).await else {
        return None;
    };
    let listening = serde_json::from_slice(&body).ok()?;
    let task = tokio::spawn(serve(place.clone(), key, opened, back, handle, inboxes));
    Some((listening, task))
}

async fn next(opened: &mut Opened) -> Option<(Kind, bytes::Bytes)> {
    loop {
        if let Some(frame) = opened.frames.take().ok()? {
            return Some(frame);
        }
        opened.frames.add(opened.reader.next().await.ok()??);
    }
}

/// Each connection becomes a channel towards the client, as long as the client is there.
async fn serve(
    place: Place,
    key: u64,
    mut opened: Opened,
    back: Back,
    handle: Handle,
    inboxes: Inboxes,
) {
    let over = inboxes.ended();
    tokio::pin!(over);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(turn) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let frame = tokio::select! {
            frame = next(&mut opened) => frame,
            () = &mut over => return,
        };
        let Some((Kind::Accepted, body)) = frame else {
            return;
        };
        let Ok(accepted) = serde_json::from_slice::<Accepted>(&body) else {
            return;
        };
        let (place, back, handle, inboxes) =
            (place.clone(), back.clone(), handle.clone(), inboxes.clone());
        tokio::spawn(async move {
            bring(place, key, accepted, back, handle, inboxes).await;
            drop(turn);
        });
    }
}

async fn bring(
    place: Place,
    key: u64,
    accepted: Accepted,
    back: Back,
    handle: Handle,
    inboxes: Inboxes,
) -> Option<()> {
    let number = accepted.number;
    let (inbox, half) = open_back(&back, &accepted, &handle, &inboxes).await?;
    let opened = place.open(&Request::Take { key, number }, false).await.ok();
    let closing = inbox.closing();
    if let Some(opened) = opened {
        splice(inbox, &half, opened).await;
    }
    if !closing.is_closed() {
        let _ = half.close().await;
    }
    Some(())
}

async fn open_back(
    back: &Back,
    accepted: &Accepted,
    handle: &Handle,
    inboxes: &Inboxes,
) -> Option<(Inbox, ChannelWriteHalf<Msg>)> {
    let expected = inboxes.expect();
    let channel: Channel<Msg> = match back {
        Back::Tcp(host) => {
            let port = u32::from(accepted.listener);
            let from = u32::from(accepted.port);
            // Of a tenant: an address, or none.
            let peer: IpAddr = accepted.host.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
            handle
                .channel_open_forwarded_tcpip(host.clone(), port, peer.to_string(), from)
                .await
        }
        Back::Unix(path) => {
            handle
                .channel_open_forwarded_streamlocal(path.clone())
                .await
        }
        Back::Agent => handle.channel_open_agent().await,
    }
    .ok()?;
    let (_, half) = channel.split();
    Some((expected.adopt(half.id()), half))
}

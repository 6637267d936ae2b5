//! Listening inside the box for the client: `-R`, its SSH agent, its X11 display.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use russh::server::{Handle, Msg};
use russh::{Channel, ChannelWriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tracing::debug;
use tunnel::ssh::{Inbox, Inboxes};
use tunnel::wire::session::{
    self, Accepted, DISPLAY_FIRST, DISPLAY_PORT, DISPLAYS, Kind, Listening, Request,
};

use super::{Opened, Place, splice};
use crate::ssh::x11::X11;

/// Listeners of one connection.
const MOST: usize = 128;
/// Connections of one listener at once; a box that claims more waits.
const AT_ONCE: usize = 256;

/// What one connection listens for in its box; it ends with the connection.
#[derive(Default)]
pub(in crate::ssh) struct Listeners(HashMap<(String, u32), JoinHandle<()>>);

/// A display of the client's in the box, as long as this lives.
pub struct Display {
    /// For whoever is to find it.
    pub(in crate::ssh) env: [(String, String); 2],
    task: JoinHandle<()>,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Display {
    fn drop(&mut self) {
        // What is connected goes on, as with sshd.
        self.task.abort();
    }
}

/// Which channel a connection comes back on.
#[derive(Clone)]
enum Back {
    Tcp(String),
    Unix(String),
    Agent,
    X11 {
        /// For one connection alone; the box is not trusted with that.
        single: bool,
    },
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

/// `None`: the box has none for it. `turn` is given back with the display.
pub(in crate::ssh) async fn display(
    place: &Place,
    wanted: X11,
    turn: OwnedSemaphorePermit,
    (handle, inboxes): (Handle, Inboxes),
) -> Option<Display> {
    let X11 {
        protocol,
        cookie,
        single,
        screen,
    } = wanted;
    let place_of = session::Place::X11 {
        protocol,
        cookie,
        single,
    };
    let back = Back::X11 { single };
    let (listening, task) = listen(place, place_of, back, handle, inboxes).await?;
    let env = display_env(&listening, screen);
    if env.is_none() {
        task.abort();
    }
    Some(Display {
        env: env?,
        task,
        _turn: turn,
    })
}

/// `None`: the guest talks nonsense.
fn display_env(listening: &Listening, screen: u32) -> Option<[(String, String); 2]> {
    let number = listening.port.checked_sub(DISPLAY_PORT)?;
    let known = (DISPLAY_FIRST..DISPLAY_FIRST + DISPLAYS).contains(&number);
    let path = listening.path.clone().filter(|_| known)?;
    Some([
        ("DISPLAY".to_owned(), format!("localhost:{number}.{screen}")),
        ("XAUTHORITY".to_owned(), path),
    ])
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
        let (place, own, handle, inboxes) =
            (place.clone(), back.clone(), handle.clone(), inboxes.clone());
        let brought = tokio::spawn(async move {
            bring(place, key, accepted, own, handle, inboxes).await;
            drop(turn);
        });
        if matches!(back, Back::X11 { single: true }) {
            // Until then the box keeps it.
            let _ = brought.await;
            return;
        }
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
    let back = open_back(&back, &accepted, &handle, &inboxes).await;
    // Taken also where the client wants it not: dropping the stream is how whoever connected in the box sees its end.
    let opened = place.open(&Request::Take { key, number }, false).await.ok();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_names_a_display_as_there_are_and_nothing_else() {
        let told = |port, path: Option<&str>| {
            let path = path.map(ToOwned::to_owned);
            display_env(&Listening { port, path }, 2)
        };
        let env = told(6012, Some("/tmp/x")).unwrap();
        assert_eq!(env[0], ("DISPLAY".to_owned(), "localhost:12.2".to_owned()));
        assert_eq!(env[1], ("XAUTHORITY".to_owned(), "/tmp/x".to_owned()));
        assert!(told(7009, Some("/tmp/x")).is_some());
        for (port, path) in [
            (22, Some("/")),
            (6009, Some("/")),
            (7010, Some("/")),
            (6012, None),
        ] {
            assert_eq!(told(port, path), None, "{port}");
        }
    }
}

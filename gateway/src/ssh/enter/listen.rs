//! Listening inside the box for the client: `-R`, its SSH agent, its X11 display.

use std::collections::HashMap;
use std::time::Duration;

use russh::Disconnect;
use russh::server::Handle;
use shell::{Failure, Kind as Failed};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::JoinHandle;
use tracing::debug;
use tunnel::ssh::Inboxes;
use tunnel::wire::session::{
    self, DISPLAY_FIRST, DISPLAY_PORT, DISPLAYS, Kind, Listening, Request,
};

use super::back::{self, Back, Ends};
use super::{Opened, Place};
use crate::ssh::x11::X11;

/// Listeners of one connection.
const MOST: usize = 128;
/// Refusals of a box that runs again before a client that has nothing else is told. The pauses between them are
/// longer than a runner takes to see that its link is dead (45 s), which is when its box hears of it.
const REFUSALS: u32 = 12;

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

impl Listeners {
    /// `Some(port)`: it listens there.
    pub(in crate::ssh) async fn tcp(
        &mut self,
        place: &Place,
        (host, port): (&str, u32),
        ends: (Handle, Inboxes),
    ) -> Option<u32> {
        let wanted = session::Place::Tcp {
            host: host.to_owned(),
            port: u16::try_from(port).ok()?,
        };
        let back = Back::Tcp(host.to_owned());
        let made = self.listen(place, (host, wanted), back, ends).await?;
        Some(u32::from(made.port))
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
        let made = self.listen(place, (path, wanted), back, ends).await;
        made.is_some()
    }

    pub(in crate::ssh) fn cancel(&mut self, name: &str, port: u32) -> bool {
        let found = self.0.remove(&(name.to_owned(), port));
        found.map(|task| task.abort()).is_some()
    }

    /// `name` is the client's for it, with the port that the box listens at.
    async fn listen(
        &mut self,
        place: &Place,
        (name, mut wanted): (&str, session::Place),
        back: Back,
        (handle, inboxes): (Handle, Inboxes),
    ) -> Option<Listening> {
        if self.0.len() >= MOST {
            return None;
        }
        let (key, listening, opened) = begun(place, &wanted).await?;
        if let session::Place::Tcp { port, .. } = &mut wanted {
            // Any was asked for; from now on it is this one.
            *port = listening.port;
        }
        let ends = Ends {
            place: place.clone(),
            back,
            handle,
            inboxes,
        };
        let task = tokio::spawn(keep(ends, wanted, key, opened));
        let name = (name.to_owned(), u32::from(listening.port));
        if let Some(older) = self.0.insert(name, task) {
            older.abort();
        }
        Some(listening)
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        for task in self.0.values() {
            task.abort();
        }
    }
}

/// Where the box has the client's agent, and what listens there.
pub(super) type Agent = Mutex<Option<(String, JoinHandle<()>)>>;

/// The path of the agent's socket in the box. One for a connection, as long as the box listens there.
pub(in crate::ssh) async fn agent(place: &Place, handle: &Handle) -> Option<String> {
    let mut known = place.agent.lock().await;
    if let Some((path, task)) = &*known
        && !task.is_finished()
    {
        return Some(path.clone());
    }
    *known = None;
    let ends = Ends {
        place: place.clone(),
        back: Back::Agent,
        handle: handle.clone(),
        inboxes: place.inboxes.clone()?,
    };
    let (key, listening, opened) = begun(place, &session::Place::Agent).await?;
    let path = listening.path?;
    // It ends with the connection: the stream's other end is then closed.
    let task = tokio::spawn(async move {
        back::serve(&ends, key, opened).await;
    });
    *known = Some((path.clone(), task));
    Some(path)
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
    let (key, listening, opened) = begun(place, &place_of).await?;
    let env = display_env(&listening, screen)?;
    let ends = Ends {
        place: place.clone(),
        back: Back::X11 { single },
        handle,
        inboxes,
    };
    Some(Display {
        env,
        // It is for one program, which a lost box takes along.
        task: tokio::spawn(async move {
            back::serve(&ends, key, opened).await;
        }),
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

/// The box listens.
async fn begin(
    place: &Place,
    wanted: &session::Place,
) -> Result<(u64, Listening, Opened), Failure> {
    let key = rand::random();
    let request = Request::Listen {
        key,
        place: wanted.clone(),
    };
    let mut opened = place.open(&request, false).await?;
    let listening = match back::next(&mut opened).await {
        Some((Kind::Listening, body)) => serde_json::from_slice(&body).ok(),
        Some(_) | None => None,
    };
    let listening = listening.ok_or_else(|| place.lost())?;
    Ok((key, listening, opened))
}

async fn begun(place: &Place, wanted: &session::Place) -> Option<(u64, Listening, Opened)> {
    let begun = begin(place, wanted).await;
    begun
        .inspect_err(|failure| debug!(%failure.sentence, "a listener"))
        .ok()
}

/// As long as the client is there: a box that was started again, or whose runner was, listens again.
async fn keep(ends: Ends, wanted: session::Place, mut key: u64, mut opened: Opened) {
    let over = ends.inboxes.ended();
    tokio::pin!(over);
    while back::serve(&ends, key, opened).await {
        let anew = tokio::select! {
            anew = again(&ends, &wanted) => anew,
            () = &mut over => return,
        };
        match anew {
            Ok((next, _, stream)) => (key, opened) = (next, stream),
            Err(failure) => {
                let told = ends.handle.disconnect(
                    Disconnect::ByApplication,
                    failure.sentence,
                    String::new(),
                );
                // It may be gone meanwhile.
                let _ = told.await;
                return;
            }
        }
    }
}

/// However long the box is down, or its node away. An error: it is gone, or refuses and the client has nothing else.
async fn again(ends: &Ends, wanted: &session::Place) -> Result<(u64, Listening, Opened), Failure> {
    let (mut round, mut refusals) = (0, 0);
    loop {
        ends.place.runs().await?;
        match begin(&ends.place, wanted).await {
            Ok(begun) => return Ok(begun),
            Err(failure) => {
                debug!(%failure.sentence, "a listener, again");
                refusals += u32::from(failure.kind != Failed::Busy);
                if is_hopeless(failure.kind, refusals, ends.inboxes.count()) {
                    return Err(failure);
                }
            }
        }
        tokio::time::sleep(pause(round)).await;
        round += 1;
    }
}

/// Sessions and forwards of the client are not ended for a listener.
const fn is_hopeless(kind: Failed, refusals: u32, channels: usize) -> bool {
    matches!(kind, Failed::Denied | Failed::NotFound) || (refusals >= REFUSALS && channels == 0)
}

fn pause(round: u32) -> Duration {
    Duration::from_secs(1 << round.min(3))
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

    #[test]
    fn a_listener_is_given_up_when_its_box_is_gone_or_refuses_a_client_that_has_nothing_else() {
        for (kind, refusals, channels, given_up) in [
            (Failed::NotFound, 1, 3, true),
            (Failed::Denied, 1, 3, true),
            (Failed::Failed, REFUSALS - 1, 0, false),
            (Failed::Failed, REFUSALS, 0, true),
            (Failed::Failed, REFUSALS, 1, false),
            (Failed::Busy, 0, 0, false),
        ] {
            let hopeless = is_hopeless(kind, refusals, channels);
            assert_eq!(hopeless, given_up, "{kind:?} {refusals} {channels}");
        }
        let waited: Duration = (0..REFUSALS - 1).map(pause).sum();
        assert!(waited > Duration::from_secs(45), "{waited:?}");
    }
}

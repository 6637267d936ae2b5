//! Which box a connection is for, and what is dialled inside boxes.

use std::sync::Arc;

use cluster::TaskId;
use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tunnel::ssh::CHANNELS;
use tunnel::wire::session;

use super::auth::Caller;
use super::destination::Destination;
use super::enter::{self, Place};
use super::requests::{PROHIBITED, because, full};
use super::visit::Handler;

/// Where a nested SSH server answers.
const SSH_PORT: u16 = 22;

/// What a connection is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nest {
    No,
    /// Another connection, which dialled this box: it leads there whatever the login name says.
    Box(TaskId),
    /// Another connection, which dialled the gateway: the login name says where it leads.
    Gateway,
}

/// Where a forward leads.
enum Way {
    Inside(Place, session::Place),
    Nested(Nest),
}

fn nowhere() -> ChannelOpenFailure {
    let words = "no box that you may enter is called so; `vps list` shows yours";
    because(&PROHIBITED, words)
}

impl Handler {
    /// The connection is inside another one (`-J`).
    pub(super) fn inside(mut self, nest: Nest) -> Self {
        self.nest = nest;
        self
    }

    /// The login name, or the box that was dialled. Nobody joins or enrols inside somebody's connection.
    pub(super) fn destination(&self, login: &str) -> Destination {
        match (self.nest, Destination::of(login)) {
            (Nest::Box(vps), _) => Destination::Vps(vps),
            (Nest::No, login)
            | (Nest::Gateway, login @ (Destination::Vps(_) | Destination::Task(_))) => login,
            (
                Nest::Gateway,
                Destination::Shell | Destination::Invite(_) | Destination::Join | Destination::Node,
            ) => Destination::Shell,
        }
    }

    /// Does this name the gateway itself? `ssh config` gives every box the gateway's own address, so that is what
    /// `ssh -J river lab` dials.
    fn is_own(&self, host: &str, port: u16) -> bool {
        let state = self.head.state();
        let (own, own_port) = &state.settings().address;
        let near = ["localhost", "127.0.0.1", "::1"].contains(&host);
        let shell = matches!(
            &self.caller,
            Some(Caller::Person {
                destination: Destination::Shell,
                ..
            })
        );
        shell && self.nest == Nest::No && port == *own_port && (near || host == own)
    }

    /// The box that this connection is for, if it is for one.
    pub(super) fn place(&mut self) -> Option<Place> {
        let Some(Caller::Person { actor, destination }) = &self.caller else {
            return None;
        };
        let (Destination::Task(id) | Destination::Vps(id)) = destination else {
            return None;
        };
        let (head, proof, id) = (&self.head, &actor.proof, *id);
        let made = || {
            Place::new(
                Arc::clone(head),
                proof.clone(),
                id,
                Some(self.inboxes.clone()),
            )
        };
        Some(self.place.get_or_insert_with(made).clone())
    }

    /// The box that a host name means, for somebody in the shell: `ssh -L 8888:vps-42:8888 river`.
    pub(super) fn place_of(&self, host: &str) -> Option<Place> {
        let Some(Caller::Person {
            actor,
            destination: Destination::Shell,
        }) = &self.caller
        else {
            return None;
        };
        let id = match Destination::of(host) {
            Destination::Vps(id) | Destination::Task(id) => id,
            Destination::Shell | Destination::Invite(_) | Destination::Join | Destination::Node => {
                enter::by_name(&self.head, &actor.proof, host)?
            }
        };
        Some(Place::new(
            Arc::clone(&self.head),
            actor.proof.clone(),
            id,
            None,
        ))
    }

    /// A connection that the client asks for, inside a box. Refused: with the reason.
    pub(super) async fn forward(
        &mut self,
        channel: Channel<Msg>,
        to: session::Place,
        open: ChannelOpenHandle,
    ) {
        let (_, half) = channel.split();
        let way = self
            .refused()
            .and_then(|()| self.way(to).ok_or_else(nowhere));
        let taken = way.and_then(|way| {
            let inbox = self.inboxes.open(half.id());
            Ok((way, inbox.ok_or_else(|| full("channels", CHANNELS))?))
        });
        match taken {
            Ok((Way::Inside(place, to), inbox)) => {
                tokio::spawn(enter::connect(place, to, (inbox, half), open));
            }
            // SSH again, on a channel: `ssh -J river vps-42`. The same host key.
            Ok((Way::Nested(nest), inbox)) => {
                let (head, source) = (Arc::clone(&self.head), self.source);
                tokio::spawn(async move {
                    open.accept().await;
                    super::server::nested(head, source, nest, inbox, half).await;
                });
            }
            Err(why) => open.reject(why).await,
        }
    }

    /// Where a connection of this client to there leads, if it may have it.
    fn way(&mut self, to: session::Place) -> Option<Way> {
        match (self.place(), to) {
            (Some(place), to) => Some(Way::Inside(place, to)),
            (None, session::Place::Tcp { host, port }) if self.is_own(&host, port) => {
                Some(Way::Nested(Nest::Gateway))
            }
            (None, session::Place::Tcp { host, port }) => {
                let place = self.place_of(&host)?;
                if port == SSH_PORT {
                    return Some(Way::Nested(Nest::Box(place.id())));
                }
                let host = "localhost".to_owned();
                Some(Way::Inside(place, session::Place::Tcp { host, port }))
            }
            (None, _) => None,
        }
    }
}

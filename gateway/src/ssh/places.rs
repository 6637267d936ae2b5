//! Which box a connection is for, and what is dialled inside boxes.

use std::sync::Arc;

use cluster::TaskId;
use russh::Channel;
use russh::server::{ChannelOpenHandle, Msg};
use tunnel::wire::session;

use super::auth::Caller;
use super::destination::Destination;
use super::enter::{self, Place};
use super::visit::Handler;

/// Channels of one connection, sessions and forwards together: a browser behind `-D` has hundreds.
const CHANNELS: usize = 1024;
/// Where a nested SSH server answers.
const SSH_PORT: u16 = 22;

impl Handler {
    /// Whatever the login name says, it leads to this box (`-J`).
    pub(super) fn force(mut self, vps: TaskId) -> Self {
        self.forced = Some(vps);
        self
    }

    /// The login name, or the box that was dialled.
    pub(super) fn destination(&self, login: &str) -> Destination {
        self.forced
            .map_or_else(|| Destination::of(login), Destination::Vps)
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

    /// A connection that the client asks for, inside a box.
    pub(super) fn forward(
        &mut self,
        channel: Channel<Msg>,
        to: session::Place,
        open: ChannelOpenHandle,
    ) -> Result<(), ChannelOpenHandle> {
        if self.inboxes.count() >= CHANNELS {
            return Err(open);
        }
        let (place, to) = match (self.place(), to) {
            (Some(place), to) => (place, to),
            (None, session::Place::Tcp { host, port }) => {
                let Some(place) = self.place_of(&host) else {
                    return Err(open);
                };
                if port == SSH_PORT {
                    self.nest(place, channel, open);
                    return Ok(());
                }
                let host = "localhost".to_owned();
                (place, session::Place::Tcp { host, port })
            }
            (None, _) => return Err(open),
        };
        let (_, half) = channel.split();
        let inbox = self.inboxes.open(half.id());
        tokio::spawn(enter::connect(place, to, (inbox, half), open));
        Ok(())
    }

    /// SSH again, on a channel: `ssh -J river vps-42`. The same host key, and the box whatever the login.
    fn nest(&self, place: Place, channel: Channel<Msg>, open: ChannelOpenHandle) {
        let (_, half) = channel.split();
        let inbox = self.inboxes.open(half.id());
        let (head, source) = (Arc::clone(&self.head), self.source);
        tokio::spawn(async move {
            open.accept().await;
            super::server::nested(head, source, place.id(), inbox, half).await;
        });
    }
}

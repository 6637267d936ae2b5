//! russh's callbacks become values. No decisions here, and nothing is awaited that a peer can delay.

use std::sync::Arc;

use russh::keys::{Certificate, PublicKey};
use russh::server::{
    self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet, Pty, Sig};
use tunnel::wire::ChannelName;

use super::auth::{self, Caller};
use super::destination::Destination;
use super::visit::{Handler, Open, refused};
use crate::console::{self, SessionEvent, Terminal};
use crate::runners;

/// Sessions of one connection.
const SESSIONS: usize = 256;
/// Keys one connection may offer.
const OFFERS: usize = 32;
/// Longest name of a terminal, in bytes; a longer one is none.
const LONGEST_TERM: usize = 64;

/// RFC 4254, 6.2: 0 is to be ignored.
fn columns(width: u32) -> u16 {
    match width {
        0 => 80,
        width => u16::try_from(width).unwrap_or(u16::MAX),
    }
}

fn reply(session: &mut Session, channel: ChannelId, well: bool) -> Result<(), russh::Error> {
    if well {
        session.channel_success(channel)
    } else {
        session.channel_failure(channel)
    }
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(refused())
    }

    /// Pure: an offered key is not proved to be theirs.
    async fn auth_publickey_offered(
        &mut self,
        login: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        let print = keys::public_key::fingerprint(offer.public_key);
        if self.offered.len() >= OFFERS {
            return Err(russh::Error::Disconnect);
        }
        if !self.offered.contains(&print) {
            self.offered.push(print);
        }
        // "Worth signing", no more: nobody should touch a token for a key that is unknown here.
        // A node's certificate is judged when it is proved; it is offered as its plain key.
        let node = Destination::of(login) == Destination::Node;
        let worth = node || auth::by_key(&self.head, login, offer.public_key).is_some();
        Ok(if worth { Auth::Accept } else { refused() })
    }

    async fn auth_publickey(
        &mut self,
        login: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let key: &PublicKey = key.public_key;
        let print = keys::public_key::fingerprint(key);
        if !self.offered.contains(&print) {
            self.offered.push(print);
        }
        let caller = auth::by_key(&self.head, login, key);
        Ok(self.accept(caller, login))
    }

    async fn auth_openssh_certificate(
        &mut self,
        login: &str,
        certificate: &Certificate,
    ) -> Result<Auth, russh::Error> {
        let caller = auth::by_certificate(&self.head, login, certificate);
        Ok(self.accept(caller, login))
    }

    /// No question: only a place where every client shows text before it gives up.
    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        login: &str,
        _: &str,
        _: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        if self.told {
            // Told once: a client would ask three times, a second each.
            return Ok(Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::PublicKey][..])),
                partial_success: false,
            });
        }
        self.told = true;
        let text = auth::refusal(login, &self.offered);
        Ok(Auth::Partial {
            name: "".into(),
            instructions: text.into(),
            prompts: (&[][..]).into(),
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        open: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        // russh tells nothing of channels that we closed: forget them here.
        self.channels.retain(|_, open| {
            open.fresh.is_some()
                || open
                    .events
                    .as_ref()
                    .is_some_and(|events| !events.is_closed())
        });
        if self.channels.len() >= SESSIONS || self.caller.is_none() {
            open.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let (_, half) = channel.split();
        let inbox = (!self.is_link()).then(|| self.inboxes.open(half.id()));
        let channel = half.id();
        let fresh = Open {
            terminal: None,
            events: None,
            fresh: Some((inbox, half)),
        };
        self.channels.insert(channel, fresh);
        open.accept().await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        open: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let (Some(Caller::Node { node }), Ok(ChannelName::Spool { task })) =
            (&self.caller, path.parse())
        else {
            open.reject(ChannelOpenFailure::AdministrativelyProhibited)
                .await;
            return Ok(());
        };
        let (_, half) = channel.split();
        let stream = self.streams.adopt_server(half);
        open.accept().await;
        tokio::spawn(runners::serve_spool(
            Arc::clone(&self.head),
            node.clone(),
            task,
            stream,
        ));
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        width: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let width = columns(width);
        let dumb = term == "dumb" || term.is_empty() || term.len() > LONGEST_TERM;
        let open = self
            .channels
            .get_mut(&channel)
            .filter(|open| open.fresh.is_some());
        let well = open
            .map(|open| open.terminal = Some(Terminal { width, dumb }))
            .is_some();
        reply(session, channel, well)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        // A task's environment is said by --env; a client's own is its own.
        reply(session, channel, false)
    }

    /// A client that wants an answer waits for it with all that follows.
    async fn x11_request(
        &mut self,
        channel: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        reply(session, channel, false)
    }

    async fn agent_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<bool, russh::Error> {
        reply(session, channel, false)?;
        Ok(false)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let well = self.begin(channel, None);
        reply(session, channel, well)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let well = self.begin(channel, Some(line.to_vec()));
        reply(session, channel, well)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let well = self.is_link() && self.begin_link(channel, name);
        reply(session, channel, well)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        width: u32,
        _: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.event(channel, SessionEvent::Width(columns(width)));
        reply(session, channel, true)
    }

    async fn signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if let Some(number) = console::signal_number(&signal) {
            self.event(channel, SessionEvent::Signal(number));
        }
        Ok(())
    }

    fn adjust_window(&mut self, _: ChannelId, current: u32) -> u32 {
        if self.is_link() {
            current
        } else {
            self.inboxes.window()
        }
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.is_link() {
            self.streams.on_data(channel, data);
        } else {
            self.inboxes.on_data(channel, data);
        }
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        code: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.is_link() {
            self.streams.on_extended(channel, code, data);
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.is_link() {
            self.streams.on_eof(channel);
        } else {
            self.inboxes.on_eof(channel);
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.is_link() {
            self.streams.on_close(channel);
        } else {
            self.connection.channel_closed(channel);
            self.inboxes.on_close(channel);
        }
        self.channels.remove(&channel);
        Ok(())
    }
}

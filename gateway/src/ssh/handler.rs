//! russh's callbacks become values. No decisions here, and nothing is awaited that a peer can delay.

use std::sync::Arc;

use russh::keys::Certificate;
use russh::server::{
    self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, Pty, Sig};
use tunnel::wire::ChannelName;
use tunnel::wire::session::Place;

use super::mistake;
use super::requests::{pty, reply, window, within};
use super::visit::{Asked, Handler};
use super::x11::X11;
use crate::console::{self, SessionEvent};
use crate::runners;

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        self.tries_nothing(true).await
    }

    async fn auth_password(&mut self, _: &str, _: &str) -> Result<Auth, russh::Error> {
        self.tries_nothing(false).await
    }

    async fn auth_publickey_offered(
        &mut self,
        login: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        self.offers(login, offer.public_key).await
    }

    async fn auth_publickey(
        &mut self,
        login: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        self.proves_key(login, key.public_key).await
    }

    async fn auth_openssh_certificate(
        &mut self,
        login: &str,
        certificate: &Certificate,
    ) -> Result<Auth, russh::Error> {
        self.proves_certificate(login, certificate).await
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        login: &str,
        _: &str,
        _: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        self.asks_why(login)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        open: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.open_session(channel) {
            Ok(()) => open.accept().await,
            Err(why) => open.reject(why).await,
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        open: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let (Some(node), Ok(ChannelName::Spool { task })) = (self.carries(), path.parse()) else {
            let path = path.to_owned();
            self.forward(channel, Place::Unix { path }, open).await;
            return Ok(());
        };
        let (_, half) = channel.split();
        let stream = self.streams.adopt_server(half);
        open.accept().await;
        tokio::spawn(runners::serve_spool(
            Arc::clone(&self.head),
            node,
            task,
            stream,
        ));
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _: &str,
        _: u32,
        open: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let host = host.to_owned();
        let port = u16::try_from(port).unwrap_or_default();
        self.forward(channel, Place::Tcp { host, port }, open).await;
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        host: &str,
        port: &mut u32,
        session: &mut Session,
    ) -> Result<bool, russh::Error> {
        let Some(place) = self.place() else {
            return Ok(false);
        };
        let ends = (session.handle(), self.inboxes.clone());
        let made = within(self.listeners.tcp(&place, (host, *port), ends))
            .await
            .flatten();
        *port = made.unwrap_or(*port);
        Ok(made.is_some())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        host: &str,
        port: u32,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        Ok(self.listeners.cancel(host, port))
    }

    async fn streamlocal_forward(
        &mut self,
        path: &str,
        session: &mut Session,
    ) -> Result<bool, russh::Error> {
        let Some(place) = self.place() else {
            return Ok(false);
        };
        let ends = (session.handle(), self.inboxes.clone());
        Ok(within(self.listeners.unix(&place, path, ends))
            .await
            .unwrap_or(false))
    }

    async fn cancel_streamlocal_forward(
        &mut self,
        path: &str,
        _: &mut Session,
    ) -> Result<bool, russh::Error> {
        Ok(self.listeners.cancel(path, 0))
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let wanted = pty(term, window(columns, rows, width, height), modes);
        let open = self
            .channels
            .get_mut(&channel)
            .filter(|open| open.fresh.is_some());
        let well = open.map(|open| open.terminal = Some(wanted)).is_some();
        reply(session, channel, well)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let well = self.take_variable(channel, name, value);
        reply(session, channel, well)
    }

    async fn x11_request(
        &mut self,
        channel: ChannelId,
        single: bool,
        protocol: &str,
        cookie: &str,
        screen: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let well = match X11::of(protocol, cookie, single, screen) {
            Some(wanted) => self.show(channel, wanted, session.handle()).await,
            None => false,
        };
        reply(session, channel, well)
    }

    async fn agent_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<bool, russh::Error> {
        let inside = self.place().is_some();
        let open = self.channels.get_mut(&channel).filter(|_| inside);
        let well = open.map(|open| open.agent = true).is_some();
        reply(session, channel, well)?;
        Ok(well)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let well = self.begin(channel, Asked::Shell, session.handle());
        reply(session, channel, well)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        line: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        mistake::here(line);
        let well = self.begin(channel, Asked::Exec(line.to_vec()), session.handle());
        reply(session, channel, well)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let well = match (self.is_link(), name) {
            (true, _) => self.begin_link(channel, name),
            (false, "sftp") => self.begin(channel, Asked::Sftp, session.handle()),
            (false, _) => false,
        };
        reply(session, channel, well)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        self.event(
            channel,
            SessionEvent::Window(window(columns, rows, width, height)),
        );
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

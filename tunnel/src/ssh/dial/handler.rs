//! russh's callbacks on the runner's side of a link: bytes to their streams, openings to the runner.

use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{self, ChannelOpenHandle, Msg, Session};
use russh::keys::ssh_key::HashAlg;
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, ChannelOpenFailure};
use tokio::sync::mpsc;

use super::HostPin;
use super::link::Incoming;
use crate::ssh::stream::{MOST, Streams, StreamsGuard};
use crate::wire::ChannelName;

/// The host key that the gateway showed, kept to be named or stored.
#[derive(Clone, Debug, Default)]
pub(super) struct SeenKey(Arc<Mutex<Option<PublicKey>>>);

impl SeenKey {
    pub(super) fn get(&self) -> Option<PublicKey> {
        self.lock().clone()
    }

    pub(super) fn describe(&self) -> String {
        self.lock().as_ref().map_or_else(
            || "of another kind".to_owned(),
            |key| key.fingerprint(HashAlg::Sha256).to_string(),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<PublicKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of one connection; everything but streams to this node is refused.
pub(crate) struct LinkHandler {
    streams: Streams,
    /// Tells the streams when russh drops this handler, however the connection ended.
    _guard: StreamsGuard,
    incoming: mpsc::Sender<Incoming>,
    host_pins: Vec<HostPin>,
    seen: SeenKey,
}

impl LinkHandler {
    pub(super) fn new(
        streams: Streams,
        incoming: mpsc::Sender<Incoming>,
        host_pins: Vec<HostPin>,
        seen: SeenKey,
    ) -> Self {
        Self {
            _guard: streams.guard(),
            streams,
            incoming,
            host_pins,
            seen,
        }
    }
}

impl client::Handler for LinkHandler {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        *self.seen.lock() = Some(key.clone());
        Ok(self.host_pins.iter().any(|pin| pin.accepts(key)))
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let Ok(name) = path.parse::<ChannelName>() else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        let place = self.incoming.try_reserve();
        let (Ok(place), true) = (place, self.streams.len() < MOST) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let (_, half) = channel.split();
        let stream = self.streams.adopt_client(half);
        reply.accept().await;
        place.send((name, stream));
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.streams.on_data(channel, data);
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        code: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.streams.on_extended(channel, code, data);
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.streams.on_eof(channel);
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.streams.on_close(channel);
        Ok(())
    }

    // russh accepts what is not refused here; a dropped reply refuses.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    fn should_accept_unknown_server_channel(
        &mut self,
        _: ChannelId,
        _: &str,
    ) -> impl Future<Output = bool> + Send {
        std::future::ready(false)
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        Ok(())
    }
}

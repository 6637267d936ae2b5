//! A small SSH server on the data path's pieces: node logins get streams, all others a few commands.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use russh::keys::{Certificate, PrivateKey, ssh_key};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Notify, mpsc};
use tunnel::ssh::inbox::{InboxesGuard, Received};
use tunnel::ssh::stream::StreamsGuard;
use tunnel::ssh::{
    Crawl, HostPin, Inbox, Inboxes, LinkConnection, Stream, Streams, Terms, Tune, server_config,
};
use tunnel::wire::ChannelName;

/// A socket buffer small enough that a few packets fill it.
pub(crate) const SMALL: u32 = 64 << 10;

/// What happened inside, for the tests.
pub(crate) enum Event {
    /// A node's connection logged in.
    Link(LinkConnection),
    /// It asked for a subsystem.
    Subsystem(String, Stream),
    /// It opened a stream.
    Opened(ChannelName, Stream),
    /// A user's command that waits holds this inbox.
    Held(Inbox, ChannelWriteHalf<Msg>),
}

pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) pin: HostPin,
    pub(crate) crawl: Crawl,
    pub(crate) events: mpsc::Receiver<Event>,
}

pub(crate) fn new_key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), ssh_key::Algorithm::Ed25519).unwrap()
}

impl Door {
    pub(crate) fn open() -> Self {
        Self::open_with(SMALL)
    }

    /// Listens on loopback; accepted sockets have buffers of this size.
    pub(crate) fn open_with(buffers: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(buffers).unwrap();
        socket.set_recv_buffer_size(buffers).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(64).unwrap();
        let host_key = new_key();
        let (sender, events) = mpsc::channel(1024);
        let crawl = Crawl::default();
        let door = Self {
            address: listener.local_addr().unwrap(),
            pin: HostPin::Fingerprint(host_key.fingerprint(ssh_key::HashAlg::Sha256)),
            crawl: crawl.clone(),
            events,
        };
        let config = Arc::new(server_config(vec![host_key]));
        tokio::spawn(serve(listener, config, crawl, sender));
        door
    }

    pub(crate) async fn link(&mut self) -> LinkConnection {
        loop {
            if let Event::Link(link) = self.events.recv().await.unwrap() {
                return link;
            }
        }
    }

    pub(crate) async fn opened(&mut self) -> (ChannelName, Stream) {
        loop {
            if let Event::Opened(name, stream) = self.events.recv().await.unwrap() {
                return (name, stream);
            }
        }
    }

    pub(crate) async fn subsystem(&mut self) -> (String, Stream) {
        loop {
            if let Event::Subsystem(name, stream) = self.events.recv().await.unwrap() {
                return (name, stream);
            }
        }
    }

    pub(crate) async fn held(&mut self) -> (Inbox, ChannelWriteHalf<Msg>) {
        loop {
            if let Event::Held(inbox, half) = self.events.recv().await.unwrap() {
                return (inbox, half);
            }
        }
    }
}

async fn serve(
    listener: TcpListener,
    config: Arc<server::Config>,
    crawl: Crawl,
    events: mpsc::Sender<Event>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let socket = Tune::new(socket, crawl.clone(), Terms::link()).unwrap();
        let (config, events, crawl) = (config.clone(), events.clone(), crawl.clone());
        tokio::spawn(async move {
            let inboxes = Inboxes::new(crawl);
            let streams = Streams::new();
            let logged_in = Arc::new(Notify::new());
            let callbacks = Callbacks {
                _guards: (inboxes.guard(), streams.guard()),
                inboxes,
                streams: streams.clone(),
                is_link: false,
                logged_in: logged_in.clone(),
                halves: HashMap::new(),
                events: events.clone(),
            };
            let Ok(session) = server::run_stream(config, socket, callbacks).await else {
                return;
            };
            let link = LinkConnection::new(session.handle(), streams);
            tokio::spawn(async move {
                logged_in.notified().await;
                let _ = events.send(Event::Link(link)).await;
            });
            let _ = session.await;
        });
    }
}

struct Callbacks {
    inboxes: Inboxes,
    streams: Streams,
    _guards: (InboxesGuard, StreamsGuard),
    is_link: bool,
    logged_in: Arc<Notify>,
    halves: HashMap<ChannelId, (Option<Inbox>, ChannelWriteHalf<Msg>)>,
    events: mpsc::Sender<Event>,
}

impl server::Handler for Callbacks {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        user: &str,
        _: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        self.is_link = user == "node" || user == "join";
        if self.is_link {
            self.logged_in.notify_one();
        }
        Ok(Auth::Accept)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, russh::Error> {
        if certificate.valid_principals() != [user] {
            return Ok(Auth::reject());
        }
        self.is_link = true;
        self.logged_in.notify_one();
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let (_, half) = channel.split();
        let inbox = (!self.is_link).then(|| self.inboxes.open(half.id()).unwrap());
        self.halves.insert(half.id(), (inbox, half));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let Ok(name) = path.parse() else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        let (_, half) = channel.split();
        let stream = self.streams.adopt_server(half);
        reply.accept().await;
        let _ = self.events.try_send(Event::Opened(name, stream));
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some((None, half)) = self.halves.remove(&channel) else {
            return session.channel_failure(channel);
        };
        let stream = self.streams.adopt_server(half);
        let _ = self
            .events
            .try_send(Event::Subsystem(name.to_owned(), stream));
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some((Some(inbox), half)) = self.halves.remove(&channel) else {
            return session.channel_failure(channel);
        };
        session.channel_success(channel)?;
        match command {
            b"cat" => drop(tokio::spawn(cat(inbox, half))),
            b"true" => drop(tokio::spawn(async move { exit(half).await })),
            _ => drop(self.events.try_send(Event::Held(inbox, half))),
        }
        Ok(())
    }

    fn adjust_window(&mut self, _: ChannelId, current: u32) -> u32 {
        if self.is_link {
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
        if self.is_link {
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
        // A user's means nothing.
        if self.is_link {
            self.streams.on_extended(channel, code, data);
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.is_link {
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
        if self.is_link {
            self.streams.on_close(channel);
        } else {
            self.inboxes.on_close(channel);
        }
        Ok(())
    }
}

async fn cat(mut inbox: Inbox, half: ChannelWriteHalf<Msg>) {
    loop {
        match inbox.next().await {
            Received::Data(bytes) => {
                if half.data_bytes(bytes).await.is_err() {
                    return;
                }
            }
            Received::Eof => return exit(half).await,
            Received::Closed => return,
        }
    }
}

pub(crate) async fn exit(half: ChannelWriteHalf<Msg>) {
    let _ = half.eof().await;
    let _ = half.exit_status(0).await;
    let _ = half.close().await;
}

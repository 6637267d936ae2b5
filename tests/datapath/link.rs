//! The runner's end for tests: russh's client over a socket with small buffers; and [`dial`] itself.

use std::sync::Arc;

use russh::client::{self, ChannelOpenHandle, Msg, Session};
use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Certificate, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, Limits};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tunnel::ssh::dial::client_config;
use tunnel::ssh::stream::{MOST, StreamsGuard};
use tunnel::ssh::{
    Crawl, DialConfig, Frames, HostPin, LinkConnection, Stream, Streams, Terms, Tune, dial, join,
    server_config,
};
use tunnel::wire::{
    ChannelName, FromRunner, SUBSYSTEM_CONTROL, SUBSYSTEM_JOIN, ToRunner, bulk_instance, message,
};

use crate::door::{Door, Event, SMALL, new_key};
use crate::in_time;

/// A logged-in client and the streams that the door opens to it.
pub(crate) struct Node {
    pub(crate) handle: client::Handle<Callbacks>,
    pub(crate) streams: Streams,
    pub(crate) incoming: mpsc::Receiver<Stream>,
}

pub(crate) struct Callbacks {
    streams: Streams,
    _guard: StreamsGuard,
    incoming: mpsc::Sender<Stream>,
}

impl Node {
    pub(crate) async fn log_in(door: &mut Door) -> (Self, LinkConnection) {
        Self::log_in_with(door, SMALL, Limits::default()).await
    }

    pub(crate) async fn log_in_with(
        door: &mut Door,
        buffers: u32,
        limits: Limits,
    ) -> (Self, LinkConnection) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(buffers).unwrap();
        socket.set_recv_buffer_size(buffers).unwrap();
        let socket = socket.connect(door.address).await.unwrap();
        let socket = Tune::new(socket, Crawl::default(), Terms::link()).unwrap();
        let streams = Streams::new();
        let (sender, incoming) = mpsc::channel(1024);
        let callbacks = Callbacks {
            _guard: streams.guard(),
            streams: streams.clone(),
            incoming: sender,
        };
        let config = Arc::new(client::Config {
            limits,
            ..client_config(&[])
        });
        let mut handle = client::connect_stream(config, socket, callbacks)
            .await
            .unwrap();
        let key = PrivateKeyWithHashAlg::new(Arc::new(new_key()), None);
        assert!(
            handle
                .authenticate_publickey("node", key)
                .await
                .unwrap()
                .success()
        );
        let link = door.link().await;
        let node = Self {
            handle,
            streams,
            incoming,
        };
        (node, link)
    }

    pub(crate) async fn open(&self, name: &ChannelName) -> Stream {
        let opened = self
            .handle
            .channel_open_direct_streamlocal(name.to_string());
        self.streams.adopt_client(opened.await.unwrap().split().1)
    }
}

impl client::Handler for Callbacks {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        _: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let stream = self.streams.adopt_client(channel.split().1);
        reply.accept().await;
        let _ = self.incoming.try_send(stream);
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
}

pub(crate) fn config(door: &Door) -> DialConfig {
    DialConfig {
        gateway: door.address.to_string(),
        host_pins: vec![door.pin.clone()],
        key: new_key(),
        certificate: None,
        bulk: 2,
        instance: 7,
    }
}

#[tokio::test]
async fn a_link_carries_control_and_streams_both_ways() {
    let mut door = Door::open();
    in_time(async {
        let link = dial(&config(&door)).await.unwrap();
        let mut connections = Vec::new();
        let mut subsystems = Vec::new();
        while connections.len() < 3 || subsystems.len() < 3 {
            match door.events.recv().await.unwrap() {
                Event::Link(connection) => connections.push(connection),
                Event::Subsystem(name, stream) => subsystems.push((name, stream)),
                Event::Opened(..) | Event::Held(..) => panic!("nobody opened anything"),
            }
        }
        let names: Vec<&str> = subsystems.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, [SUBSYSTEM_CONTROL, "river-bulk/7", "river-bulk/7"]);
        assert_eq!(bulk_instance(names[1]), Some(7));
        let mut control = Frames::new(subsystems.remove(0).1);
        link.send(&FromRunner::Pong).await.unwrap();
        assert_eq!(control.recv().await.unwrap(), Some(FromRunner::Pong));
        control.send(&ToRunner::Ping).await.unwrap();
        assert_eq!(link.recv().await.unwrap(), Some(ToRunner::Ping));

        for connection in &connections {
            let name: ChannelName = "stdin/17.1".parse().unwrap();
            let mut there = connection.open(name.clone()).await.unwrap();
            let (heard, mut here) = link.incoming().await.unwrap();
            assert_eq!(heard, name);
            there.send("to the node".into()).await.unwrap();
            assert_eq!(here.next().await.unwrap().unwrap(), "to the node");
        }
        let name: ChannelName = "spool/17".parse().unwrap();
        let mut here = link.open(name.clone()).await.unwrap();
        let (heard, mut there) = door.opened().await;
        assert_eq!(heard, name);
        here.send("to the gateway".into()).await.unwrap();
        assert_eq!(there.next().await.unwrap().unwrap(), "to the gateway");

        drop(link);
        for connection in &connections {
            connection.closed().await;
        }
        assert!(there.next().await.is_err());
    })
    .await;
}

pub(crate) fn certificate(key: &PrivateKey, principal: &str) -> Certificate {
    let (public, forever) = (key.public_key().key_data().clone(), u64::MAX);
    let mut builder = Builder::new_with_random_nonce(&mut rand::rng(), public, 0, forever).unwrap();
    builder.cert_type(CertType::User).unwrap();
    builder.key_id("river1").unwrap();
    builder.valid_principal(principal).unwrap();
    builder.sign(&new_key()).unwrap()
}

#[tokio::test]
async fn a_node_logs_in_by_its_certificate() {
    let mut door = Door::open();
    let config = config(&door);
    let with = |principal| DialConfig {
        certificate: Some(certificate(&config.key, principal)),
        ..config.clone()
    };
    let _link = in_time(dial(&with("node"))).await.unwrap();
    in_time(door.link()).await;
    let error = in_time(dial(&with("somebody"))).await.unwrap_err();
    assert!(
        error.to_string().contains("refuses the login as node"),
        "{error:#}"
    );
}

/// russh ends a connection on which the side that asked for new keys then receives two windows.
#[test]
fn the_runner_asks_for_new_keys_first_and_can_afford_to() {
    let (runner, gateway) = (client_config(&[]), server_config(vec![new_key()]));
    assert!(4 * runner.limits.rekey_write_limit < gateway.limits.rekey_read_limit);
    assert!(4 * runner.limits.rekey_read_limit < gateway.limits.rekey_write_limit);
    assert!(4 * runner.limits.rekey_time_limit < gateway.limits.rekey_time_limit);
    assert!(runner.window_size as usize >= MOST * (256 << 10));
}

#[tokio::test]
async fn a_lost_connection_ends_the_link() {
    let mut door = Door::open();
    in_time(async {
        let link = dial(&config(&door)).await.unwrap();
        let connection = door.link().await;
        connection.disconnect("a test").await;
        link.closed().await;
    })
    .await;
}

#[tokio::test]
async fn another_host_key_is_refused_and_named() {
    let door = Door::open();
    let key = new_key().public_key().to_openssh().unwrap();
    for pin in ["SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", &key] {
        let pin: HostPin = pin.parse().unwrap();
        let config = DialConfig {
            host_pins: vec![pin],
            ..config(&door)
        };
        let error = format!("{:#}", in_time(dial(&config)).await.unwrap_err());
        assert!(error.contains("not the one expected"), "{error}");
        let HostPin::Fingerprint(shown) = &door.pin else {
            panic!("the door pins by fingerprint")
        };
        assert!(error.contains(&shown.to_string()), "{error}");
    }
    let config = DialConfig {
        host_pins: Vec::new(),
        ..config(&door)
    };
    assert!(in_time(dial(&config)).await.is_err());
}

#[tokio::test]
async fn joining_brings_the_answer_and_the_host_key() {
    let mut door = Door::open();
    let config = config(&door);
    let welcome = message::Joined::Welcome {
        node: "river1".parse().unwrap(),
        certificate: "a certificate".into(),
        authority: "an authority".into(),
    };
    let (joined, ()) =
        in_time(async { tokio::join!(join(&config, "secret", "m1"), answer(&mut door, &welcome)) })
            .await;
    let joined = joined.unwrap();
    assert_eq!(joined.certificate, "a certificate");
    let pin: HostPin = joined.host_key.parse().unwrap();
    let again = DialConfig {
        host_pins: vec![pin],
        ..config
    };

    let refusal = message::Joined::Refused("the token is \u{1b}[31mold".into());
    let (refused, ()) =
        in_time(async { tokio::join!(join(&again, "secret", "m1"), answer(&mut door, &refusal)) })
            .await;
    let error = refused.unwrap_err().to_string();
    assert_eq!(error, "the gateway refuses: the token is \\u{1b}[31mold");
}

/// Plays the gateway for one join.
async fn answer(door: &mut Door, reply: &message::Joined) {
    let (name, stream) = door.subsystem().await;
    assert_eq!(name, SUBSYSTEM_JOIN);
    let mut frames = Frames::hostile(stream);
    let asked: message::Join = frames.recv().await.unwrap().unwrap();
    assert_eq!((&*asked.token, &*asked.machine_id), ("secret", "m1"));
    frames.send(reply).await.unwrap();
    // Until the runner has read it.
    assert!(frames.recv::<message::Join>().await.is_err());
}

//! A runner connects to the gateway and proves itself.

mod handler;
mod link;

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use keys::NodeName;
use russh::ChannelMsg;
use russh::client::{self, AuthResult};
use russh::keys::ssh_key::{Fingerprint, HashAlg};
use russh::keys::{Algorithm, Certificate, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::handler::{LinkHandler, SeenKey};
use self::link::Connection;
pub use self::link::RunnerLink;
use super::control::Frames;
use super::preferred;
use super::socket::{Crawl, Tune};
use super::stream::{Stream, Streams};
use super::terms::{KEEPALIVES, RUNNER_KEEPALIVE, Terms};
use crate::wire::{OLDEST, PROTOCOL, SUBSYSTEM_CONTROL, SUBSYSTEM_JOIN, bulk_subsystem, message};

/// Login name of a runner that has a certificate.
pub const LOGIN_NODE: &str = "node";
/// Login name of a runner that has a join token.
pub const LOGIN_JOIN: &str = "join";

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// For key exchange, login, and each answer on the way.
const STEP_LIMIT: Duration = Duration::from_secs(20);
/// SSH window of each channel of a runner, in bytes: above all that can be on its way on a connection.
const WINDOW: u32 = 256 << 20;
/// Streams that were accepted and not yet taken by [`RunnerLink::incoming`]; more are refused.
const MOST_INCOMING: usize = 64;

/// Which host key a runner accepts; there is no trust on first use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPin {
    /// As in a join token.
    Fingerprint(Fingerprint),
    /// As stored after joining.
    Key(Box<PublicKey>),
}

/// The text is neither `SHA256:…` nor an OpenSSH public key line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a SHA256 fingerprint nor an OpenSSH public key")]
pub struct BadHostPin;

impl FromStr for HostPin {
    type Err = BadHostPin;

    fn from_str(text: &str) -> Result<Self, BadHostPin> {
        let text = text.trim();
        if text.starts_with("SHA256:") {
            text.parse().map(Self::Fingerprint).map_err(|_| BadHostPin)
        } else {
            PublicKey::from_openssh(text)
                .map(|key| Self::Key(Box::new(key)))
                .map_err(|_| BadHostPin)
        }
    }
}

impl HostPin {
    pub(super) fn accepts(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(pin) => key.fingerprint(HashAlg::Sha256) == *pin,
            Self::Key(pin) => pin.key_data() == key.key_data(),
        }
    }
}

/// How to reach the gateway, and as whom.
#[derive(Clone)]
pub struct DialConfig {
    /// `host:port`.
    pub gateway: String,
    /// Any of these host keys is accepted, no other.
    pub host_pins: Vec<HostPin>,
    pub key: PrivateKey,
    /// For [`dial`]; without it the plain key is offered.
    pub certificate: Option<Certificate>,
    /// How many bulk connections; at least one is made.
    pub bulk: usize,
    /// For [`dial`]: of this start of the runner, as in its hello.
    pub instance: u64,
}

/// What a gateway gave to a new node.
#[derive(Clone, Debug)]
pub struct Joined {
    pub node: NodeName,
    /// OpenSSH certificate line for [`DialConfig::key`].
    pub certificate: String,
    /// OpenSSH public key line of the authority that signed it.
    pub authority: String,
    /// OpenSSH public key line of the gateway, to be stored and pinned from now on.
    pub host_key: String,
}

/// Trades a join token for a certificate.
///
/// # Errors
/// When the gateway cannot be reached, shows another host key, or refuses; says which.
pub async fn join(config: &DialConfig, token: &str, machine_id: &str) -> anyhow::Result<Joined> {
    let (incoming, _none) = mpsc::channel(1);
    let (connection, seen) = connect(config, LOGIN_JOIN, incoming).await?;
    let mut frames = Frames::hostile(subsystem(&connection, SUBSYSTEM_JOIN).await?);
    let hello = message::Join {
        protocol: OLDEST,
        newest: PROTOCOL,
        token: token.to_owned(),
        machine_id: machine_id.to_owned(),
    };
    let exchange = async {
        frames.send(&hello).await?;
        frames.recv().await
    };
    let answer = timeout(STEP_LIMIT, exchange)
        .await
        .context("the gateway did not answer the join token")?
        .context("the gateway ended the join")?;
    match answer {
        Some(message::Joined::Welcome {
            node,
            certificate,
            authority,
        }) => Ok(Joined {
            node,
            certificate,
            authority,
            host_key: seen
                .get()
                .context("no host key was seen")?
                .to_openssh()
                .context("the host key has no text")?,
        }),
        Some(message::Joined::Refused(reason)) => {
            bail!("the gateway refuses: {}", reason.escape_debug())
        }
        None => bail!("the gateway ended the join without an answer"),
    }
}

/// Makes a link: one control connection, and [`DialConfig::bulk`] others. The caller greets on control.
///
/// # Errors
/// When the gateway cannot be reached, shows another host key, or refuses the login; says which.
pub async fn dial(config: &DialConfig) -> anyhow::Result<RunnerLink> {
    let (sender, incoming) = mpsc::channel(MOST_INCOMING);
    let (control, _) = connect(config, LOGIN_NODE, sender.clone()).await?;
    let frames = Frames::new(subsystem(&control, SUBSYSTEM_CONTROL).await?);
    let mut bulk = Vec::new();
    for _ in 0..config.bulk.max(1) {
        let (connection, _) = connect(config, LOGIN_NODE, sender.clone()).await?;
        let marker = subsystem(&connection, &bulk_subsystem(config.instance)).await?;
        bulk.push((connection, marker));
    }
    Ok(RunnerLink::new(control, frames, bulk, incoming))
}

async fn connect(
    config: &DialConfig,
    login: &str,
    incoming: mpsc::Sender<link::Incoming>,
) -> anyhow::Result<(Connection, SeenKey)> {
    let gateway = &config.gateway;
    let socket = timeout(CONNECT_LIMIT, TcpStream::connect(gateway))
        .await
        .with_context(|| format!("{gateway} does not answer"))?
        .with_context(|| format!("cannot connect to {gateway}"))?;
    let socket =
        Tune::new(socket, Crawl::default(), Terms::link()).context("cannot set up the socket")?;
    let streams = Streams::new();
    let seen = SeenKey::default();
    let handler = LinkHandler::new(
        streams.clone(),
        incoming,
        config.host_pins.clone(),
        seen.clone(),
    );
    let session =
        client::connect_stream(Arc::new(client_config(&config.host_pins)), socket, handler);
    let mut handle = match timeout(STEP_LIMIT, session).await {
        Ok(Ok(handle)) => handle,
        Ok(Err(russh::Error::UnknownKey)) => bail!(
            "{gateway} shows the host key {}, which is not the one expected: a wrong address, or \
             somebody in between",
            seen.describe()
        ),
        Ok(Err(error)) => {
            return Err(error).with_context(|| format!("no SSH connection with {gateway}"));
        }
        Err(_) => bail!("{gateway} did not finish the key exchange"),
    };
    let login_result = timeout(STEP_LIMIT, authenticate(&mut handle, config, login))
        .await
        .with_context(|| format!("{gateway} did not answer the login"))?
        .with_context(|| format!("the login at {gateway} failed"))?;
    if !login_result.success() {
        bail!("{gateway} refuses the login as {login}");
    }
    Ok((Connection::new(handle, streams), seen))
}

async fn authenticate(
    handle: &mut client::Handle<LinkHandler>,
    config: &DialConfig,
    login: &str,
) -> Result<AuthResult, russh::Error> {
    let key = Arc::new(config.key.clone());
    match &config.certificate {
        Some(certificate) if login == LOGIN_NODE => {
            let certificate = certificate.clone();
            handle
                .authenticate_openssh_cert(login, key, certificate)
                .await
        }
        Some(_) | None => {
            let key = PrivateKeyWithHashAlg::new(key, Some(HashAlg::Sha256));
            handle.authenticate_publickey(login, key).await
        }
    }
}

/// Opens a session channel, asks for a subsystem, and makes a stream of it.
async fn subsystem(connection: &Connection, name: &str) -> anyhow::Result<Stream> {
    let asked = async {
        let channel = connection.handle.channel_open_session().await?;
        let (mut read_half, half) = channel.split();
        half.request_subsystem(true, name).await?;
        let stream = connection.streams.adopt_client(half);
        while let Some(message) = read_half.wait().await {
            if matches!(message, ChannelMsg::Success) {
                return Ok(Some(stream));
            }
            if matches!(message, ChannelMsg::Failure | ChannelMsg::Close) {
                break;
            }
        }
        Ok::<_, russh::Error>(None)
    };
    timeout(STEP_LIMIT, asked)
        .await
        .with_context(|| format!("the gateway did not answer the request for {name}"))?
        .with_context(|| format!("the connection ended at the request for {name}"))?
        .with_context(|| format!("the gateway refuses the subsystem {name}"))
}

/// Settings of a runner's SSH client that accepts these host keys.
///
/// russh ends a connection on which it asked for new keys and then receives more than two windows before
/// the peer's answer (measured: several fast streams do that). The window holds nobody back here, credits
/// do, so it is large; and the runner asks for new keys long before the gateway would
/// ([`super::server_config`]).
#[must_use]
pub fn client_config(pins: &[HostPin]) -> client::Config {
    let mut preferred = preferred::runner();
    let pinned: Vec<Algorithm> = preferred
        .key
        .iter()
        .filter(|algorithm| pins.iter().any(|pin| pin.may_be(algorithm)))
        .cloned()
        .collect();
    if !pinned.is_empty() {
        preferred.key = Cow::Owned(pinned);
    }
    client::Config {
        client_id: russh::SshId::Standard(
            concat!("SSH-2.0-river_", env!("CARGO_PKG_VERSION")).into(),
        ),
        window_size: WINDOW,
        maximum_packet_size: 65535,
        preferred,
        inactivity_timeout: None,
        keepalive_interval: Some(RUNNER_KEEPALIVE),
        // russh gives up one later than it says; the socket's terms end it at the same moment, also
        // while russh is writing.
        keepalive_max: KEEPALIVES as usize - 1,
        nodelay: true,
        ..client::Config::default()
    }
}

impl HostPin {
    /// Whether a key of this algorithm can match: a gateway with several host keys must show that one.
    fn may_be(&self, algorithm: &Algorithm) -> bool {
        match self {
            Self::Fingerprint(_) => true,
            Self::Key(key) if matches!(key.algorithm(), Algorithm::Rsa { .. }) => {
                matches!(algorithm, Algorithm::Rsa { .. })
            }
            Self::Key(key) => key.algorithm() == *algorithm,
        }
    }
}

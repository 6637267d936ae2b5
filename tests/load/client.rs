//! People without programs: SSH in this process, thousands of them, each from an address of loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use russh::client::{self, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use russh::{Channel, ChannelMsg};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};

/// How long anything may take: what takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// Whoever answers is the server: these tests started it.
pub(crate) struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// Who they are, and where the server is.
#[derive(Clone)]
pub(crate) struct Login {
    server: SocketAddr,
    name: String,
    key: Arc<PrivateKey>,
    config: Arc<client::Config>,
}

/// One connection.
pub(crate) struct Client {
    pub(crate) handle: Handle<Trusting>,
    ears: Arc<AtomicBool>,
}

/// `127.FIRST.x.y`, another for each number below 64,516.
pub(crate) fn address(first: u8, number: usize) -> IpAddr {
    let part = |number: usize| u8::try_from(1 + number % 254).unwrap();
    Ipv4Addr::new(127, first, part(number / 254), part(number)).into()
}

impl Login {
    /// `key`: of somebody whom the server at this port knows.
    pub(crate) fn new(port: u16, name: &str, key: &Path) -> Self {
        let config = client::Config {
            nodelay: true,
            ..client::Config::default()
        };
        Self {
            server: SocketAddr::from(([127, 0, 0, 1], port)),
            name: name.to_owned(),
            key: Arc::new(load_secret_key(key, None).unwrap()),
            config: Arc::new(config),
        }
    }

    /// With a key that nobody knows.
    pub(crate) fn stranger(&self) -> Self {
        let key = PrivateKey::random(&mut rand::rng(), russh::keys::Algorithm::Ed25519);
        Self {
            key: Arc::new(key.unwrap()),
            ..self.clone()
        }
    }

    pub(crate) async fn socket(&self, from: IpAddr) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // Without it so many addresses use up the ports.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(from, 0))?;
        Ok(socket.connect(self.server).await?)
    }

    /// Signed in. `Ok(None)`: the key was refused.
    pub(crate) async fn try_enter(&self, from: IpAddr) -> anyhow::Result<Option<Client>> {
        let entering = async {
            let ears = Arc::new(AtomicBool::new(true));
            let socket = Ears {
                socket: self.socket(from).await.context("connect")?,
                open: Arc::clone(&ears),
            };
            let config = Arc::clone(&self.config);
            let mut handle = client::connect_stream(config, socket, Trusting).await?;
            let key = PrivateKeyWithHashAlg::new(Arc::clone(&self.key), None);
            let entered = handle.authenticate_publickey(&self.name, key).await?;
            let client = Client { handle, ears };
            Ok::<_, anyhow::Error>(entered.success().then_some(client))
        };
        tokio::time::timeout(LIMIT, entering).await?
    }

    pub(crate) async fn enter(&self, from: IpAddr) -> anyhow::Result<Client> {
        self.try_enter(from).await?.context("the key was refused")
    }
}

impl Client {
    /// A line to its end, which must be good: what it printed.
    pub(crate) async fn run(&self, line: &str) -> anyhow::Result<Vec<u8>> {
        let running = async {
            let mut channel = self.handle.channel_open_session().await?;
            channel.exec(true, line).await?;
            channel.eof().await?;
            heard(&mut channel).await
        };
        tokio::time::timeout(LIMIT, running).await?
    }

    /// With this on standard input, however long that takes.
    pub(crate) async fn feed(&self, line: &str, input: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let channel = self.handle.channel_open_session().await?;
        channel.exec(true, line).await?;
        let (mut reader, writer) = channel.split();
        let feeding = tokio::spawn(async move {
            writer.data(&input[..]).await?;
            writer.eof().await
        });
        let (mut printed, mut code) = (Vec::new(), None);
        while let Some(message) = reader.wait().await {
            note(message, &mut printed, &mut code);
        }
        feeding.await??;
        ensure!(code == Some(0), "{line}: {code:?}");
        Ok(printed)
    }

    pub(crate) async fn leave(&self) {
        let _ = self
            .handle
            .disconnect(russh::Disconnect::ByApplication, "", "")
            .await;
    }

    /// From now on nothing is read, and the connection stays.
    pub(crate) fn be_deaf(&self) {
        self.ears.store(false, Ordering::Relaxed);
    }
}

async fn heard(channel: &mut Channel<client::Msg>) -> anyhow::Result<Vec<u8>> {
    let (mut printed, mut code) = (Vec::new(), None);
    while let Some(message) = channel.wait().await {
        note(message, &mut printed, &mut code);
    }
    let said = String::from_utf8_lossy(&printed);
    ensure!(code == Some(0), "code {code:?}: {said}");
    Ok(printed)
}

fn note(message: ChannelMsg, printed: &mut Vec<u8>, code: &mut Option<u32>) {
    if let ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } = &message {
        printed.extend_from_slice(data);
    } else if let ChannelMsg::ExitStatus { exit_status } = message {
        *code = Some(exit_status);
    }
}

/// A socket whose reader may fall asleep.
struct Ears {
    socket: TcpStream,
    open: Arc<AtomicBool>,
}

impl AsyncRead for Ears {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.open.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(context, into)
    }
}

impl AsyncWrite for Ears {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

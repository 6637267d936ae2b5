//! The gateway's end: the settings of its SSH server, and one connection of a runner's link.

use std::io;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::{Limits, MethodKind, MethodSet, SshId, server};

use super::preferred;
use super::stream::{MOST, Stream, Streams};
use super::terms::{KEEPALIVES, PERSON_KEEPALIVE, Terms};
use crate::wire::ChannelName;

/// After so many bytes one way, or [`REKEY_TIME`], the gateway asks for new keys itself. russh would end
/// a connection that has more than two windows on their way to it at that moment; clients ask earlier
/// (a runner after 1 GiB or an hour, OpenSSH by RFC 4344). With the smallest packets of some 36 bytes this
/// is below the 2^31 packets of RFC 4344, 3.1.
pub const REKEY_BYTES: usize = 32 << 30;
/// See [`REKEY_BYTES`].
pub const REKEY_TIME: Duration = Duration::from_secs(24 * 3600);
/// Rejections that a connection has, of whatever kind.
const REJECTIONS: usize = 20;
/// How long a runner may take to accept or refuse a stream.
const OPEN_LIMIT: Duration = Duration::from_secs(15);

/// Settings of the gateway's SSH server, for users and runners alike; only public keys may log in.
///
/// What differs from russh's defaults, and why: no idle limit (it kills quiet shells), a keepalive
/// instead; rejections are not delayed here, where nothing can end the wait, but by who answers; a larger
/// queue and packets (measured); no compression before authentication; no SHA-1 signatures; new keys are
/// left to the client to ask for ([`REKEY_BYTES`]).
///
/// The banner is honest. Only to servers named `OpenSSH*` would an OpenSSH client send
/// `eow@openssh.com`, which tells that nobody reads its output any more, and russh answers that request
/// itself without telling us; so the name would gain nothing here.
#[must_use]
pub fn server_config(keys: Vec<PrivateKey>) -> server::Config {
    server::Config {
        server_id: SshId::Standard(concat!("SSH-2.0-river_", env!("CARGO_PKG_VERSION")).into()),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: None,
        max_auth_attempts: REJECTIONS,
        keys,
        limits: Limits {
            rekey_write_limit: REKEY_BYTES,
            rekey_read_limit: REKEY_BYTES,
            rekey_time_limit: REKEY_TIME,
        },
        window_size: super::inbox::WINDOW,
        maximum_packet_size: 65535,
        event_buffer_size: 16,
        preferred: preferred::server(),
        inactivity_timeout: None,
        keepalive_interval: Some(PERSON_KEEPALIVE),
        // russh gives up one later than it says.
        keepalive_max: KEEPALIVES as usize - 1,
        nodelay: true,
        ..server::Config::default()
    }
}

/// One connection of a runner, as the gateway sees it.
#[derive(Clone)]
pub struct LinkConnection {
    handle: server::Handle,
    streams: Streams,
    terms: Option<Terms>,
}

impl LinkConnection {
    /// `streams` must be what the connection's handler delegates to.
    #[must_use]
    pub fn new(handle: server::Handle, streams: Streams) -> Self {
        Self {
            handle,
            streams,
            terms: None,
        }
    }

    /// … over a socket of these terms.
    #[must_use]
    pub fn over(self, terms: Terms) -> Self {
        Self {
            terms: Some(terms),
            ..self
        }
    }

    /// For how long nothing has come from the runner; nothing is known of a connection that is no socket.
    #[must_use]
    pub fn quiet(&self) -> Option<Duration> {
        self.terms.as_ref().map(Terms::quiet)
    }

    /// Opens a stream towards the runner.
    ///
    /// # Errors
    /// `ConnectionRefused` when the runner refuses it, `TimedOut` when it does not answer,
    /// `ConnectionReset` when the connection is lost, `QuotaExceeded` when it has too many streams.
    pub async fn open(&self, name: ChannelName) -> io::Result<Stream> {
        if self.streams.len() >= MOST {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let Self {
            handle, streams, ..
        } = self.clone();
        within(OPEN_LIMIT, async move {
            let opened = handle.channel_open_forwarded_streamlocal(name.to_string());
            let (_, half) = opened.await?.split();
            Ok(streams.adopt_server(half))
        })
        .await
    }

    /// Is this the same connection?
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.streams.same(&other.streams)
    }

    /// Does the runner still answer? Asks for a stream that no runner has: its refusal is the answer.
    pub async fn alive(&self, limit: Duration) -> bool {
        let probe = self.handle.channel_open_forwarded_streamlocal("probe");
        let answer = tokio::time::timeout(limit, probe).await;
        matches!(answer, Ok(Ok(_) | Err(russh::Error::ChannelOpenFailure(_))))
    }

    /// How many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Resolves when the connection has ended.
    pub async fn closed(&self) {
        self.streams.ended().await;
    }

    /// Ends the connection, telling the runner why.
    pub async fn disconnect(&self, reason: &str) {
        let goodbye = self.handle.disconnect(
            russh::Disconnect::ByApplication,
            reason.to_owned(),
            String::new(),
        );
        // Failing means that it is gone already, or that nobody reads and it will time out.
        let _ = tokio::time::timeout(OPEN_LIMIT, goodbye).await;
    }
}

impl std::fmt::Debug for LinkConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkConnection")
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// Runs an opening in a task of its own, which is never given up: a channel that opens after the caller
/// left is closed there, and russh ends the connection when a refusal finds nobody waiting.
pub(super) async fn within(
    limit: Duration,
    opening: impl Future<Output = Result<Stream, russh::Error>> + Send + 'static,
) -> io::Result<Stream> {
    match tokio::time::timeout(limit, tokio::spawn(opening)).await {
        Ok(Ok(Ok(stream))) => Ok(stream),
        Ok(Ok(Err(russh::Error::ChannelOpenFailure(reason)))) => Err(io::Error::new(
            io::ErrorKind::ConnectionRefused,
            format!("the stream was refused: {reason:?}"),
        )),
        Ok(Ok(Err(error))) => Err(io::Error::new(io::ErrorKind::ConnectionReset, error)),
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

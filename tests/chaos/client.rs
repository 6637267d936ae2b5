//! A light client: SSH in this process, for loads that `ssh` itself would be too heavy for.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::ChannelMsg;
use russh::client::{self, Handle};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};

use crate::cluster::PORT;

/// Whoever answers is the gateway: these tests made it.
struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// One connection of one person.
pub(crate) struct Client(Handle<Trusting>);

/// What a command came to, as far as it was heard.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// `None`: the connection was cut before it.
    pub(crate) code: Option<u32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// The gateway had given it a channel.
    pub(crate) asked: bool,
}

/// How long a gateway that lives may take to answer.
const LIMIT: Duration = Duration::from_secs(60);

impl Client {
    pub(crate) async fn connect(key: &Path, login: &str) -> anyhow::Result<Self> {
        let key = load_secret_key(key, None)?;
        let config = Arc::new(client::Config {
            nodelay: true,
            ..client::Config::default()
        });
        let connecting = async {
            let mut handle = client::connect(config, ("127.0.0.1", PORT), Trusting).await?;
            let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
            let entered = handle.authenticate_publickey(login, key).await?;
            anyhow::ensure!(entered.success(), "the key was refused");
            Ok(Self(handle))
        };
        tokio::time::timeout(LIMIT, connecting).await?
    }

    /// To its end, or to the end of the connection.
    pub(crate) async fn run(&self, line: &str) -> Heard {
        let mut heard = Heard::default();
        let running = async {
            let mut channel = self.0.channel_open_session().await?;
            heard.asked = true;
            channel.exec(true, line).await?;
            channel.eof().await?;
            while let Some(message) = channel.wait().await {
                if let ChannelMsg::Data { data } = &message {
                    heard.stdout.extend_from_slice(data);
                } else if let ChannelMsg::ExtendedData { data, .. } = &message {
                    heard.stderr.extend_from_slice(data);
                } else if let ChannelMsg::ExitStatus { exit_status } = message {
                    heard.code = Some(exit_status);
                }
            }
            Ok::<_, russh::Error>(())
        };
        let _ = tokio::time::timeout(LIMIT, running).await;
        heard
    }
}

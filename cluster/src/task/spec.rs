//! What the user asked for, checked.

use std::collections::BTreeMap;

use keys::NodeName;
use serde::{Deserialize, Serialize};

use super::TaskName;
use crate::{EngineKind, Resources};

/// Limits of a spec; each is checked by the parser and again by the gateway.
pub mod limits {
    /// Words of a command.
    pub const WORDS: usize = 4096;
    /// Bytes of a command's words together: a line of the shell is no longer.
    pub const COMMAND_BYTES: usize = 200 * 1024;
    pub const ENV: usize = 512;
    pub const MOUNTS: usize = 32;
    pub const CORES: u32 = 4096;
    /// Bytes: 64 TiB.
    pub const MEMORY: u64 = 64 << 40;
    /// Bytes: below this no container starts.
    pub const LEAST_MEMORY: u64 = 8 << 20;
    pub const RETRIES: u32 = 100;
    /// Either way from 0; above 0 needs the right to it.
    pub const PRIORITY: i32 = 100;
    /// Milliseconds: one year.
    pub const TIME_LIMIT_MS: u64 = 366 * 24 * 3600 * 1000;
    /// Bytes of an idempotency key.
    pub const KEY: usize = 128;
    /// Targets of one submit, and lines of a batch.
    pub const BATCH: usize = 10_000;
    /// Keys of one box.
    pub const KEYS: usize = 64;
    /// Bytes of spooled input.
    pub const SPOOL: u64 = 1 << 30;
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub name: Option<TaskName>,
    /// At least one word, none for a VPS; reaches the process byte for byte.
    pub command: Vec<String>,
    /// `None`: any node.
    pub target: Option<NodeName>,
    /// 0: no limit.
    pub cores: u32,
    /// Bytes; 0: no limit.
    pub memory: u64,
    pub image: Image,
    pub env: BTreeMap<String, String>,
    pub workdir: Option<String>,
    pub mounts: Vec<Mount>,
    pub privileged: bool,
    /// Its root file system cannot be written; `/tmp` is in memory.
    #[serde(default)]
    pub read_only: bool,
    pub stdin: Stdin,
    /// Milliseconds.
    pub time_limit_ms: Option<u64>,
    /// Further attempts after a failure.
    pub retries: u32,
    /// Another attempt when its node is lost.
    pub retry_on_lost: bool,
    /// -100 to 100; higher is sooner.
    pub priority: i32,
    /// The same owner's same key gives the same task.
    pub key: Option<String>,
    pub backend: Option<EngineKind>,
    /// A box that stays; it has no command.
    #[serde(default)]
    pub vps: Option<Vps>,
}

/// What only a box has that stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vps {
    /// Lines as in authorized_keys; they open this box, beside the keys of its owner's account.
    pub keys: Vec<String>,
}

impl TaskSpec {
    /// A spec with everything but the command left at its default.
    #[must_use]
    pub const fn of(command: Vec<String>) -> Self {
        Self {
            name: None,
            command,
            target: None,
            cores: 1,
            memory: 0,
            image: Image::Default,
            env: BTreeMap::new(),
            workdir: None,
            mounts: Vec::new(),
            privileged: false,
            read_only: false,
            stdin: Stdin::Empty,
            time_limit_ms: None,
            retries: 0,
            retry_on_lost: false,
            priority: 0,
            key: None,
            backend: None,
            vps: None,
        }
    }

    /// Only a container has what it asks for.
    #[must_use]
    pub fn needs_container(&self) -> bool {
        self.image != Image::Default || self.privileged || self.read_only || !self.mounts.is_empty()
    }

    /// The oldest version (`tunnel::wire::PROTOCOL`) whose runners do all of this: one before it would leave out
    /// what it does not know. A new field that must not be left out belongs here.
    #[must_use]
    pub const fn protocol(&self) -> u32 {
        if self.read_only { 2 } else { 1 }
    }

    /// About how many bytes its node must be told, so that what is placed on one node can be kept within a message.
    #[must_use]
    pub fn weight(&self) -> usize {
        /// Numbers, paths and names.
        const REST: usize = 2 << 10;
        let words = self.command.iter().map(String::len);
        let env = self
            .env
            .iter()
            .map(|(name, value)| name.len() + value.len());
        let keys = self
            .vps
            .iter()
            .flat_map(|vps| vps.keys.iter().map(String::len));
        REST + words.chain(env).chain(keys).sum::<usize>()
    }

    /// What it takes of a node.
    #[must_use]
    pub const fn request(&self) -> Resources {
        Resources {
            cores: self.cores,
            memory: self.memory,
        }
    }
}

/// What the task sees as its file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// The cluster's default environment; the machine itself under the `process` engine.
    #[default]
    Default,
    /// `--image`: a reference, pulled if the node has it not.
    Reference(String),
    /// `--container`: a local image or environment, never pulled.
    Environment(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, on the node.
    pub source: String,
    /// Absolute, in the container.
    pub target: String,
    pub read_only: bool,
}

/// Where the standard input comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// End of file at once.
    #[default]
    Empty,
    /// Durable at the gateway before the acknowledgement.
    Spooled,
    /// Streams from the caller of `task run`; cannot be retried. Cut after its first byte, the task fails.
    Live,
    /// As live, typed at a terminal: a cut only detaches it, and `task attach` brings it back.
    Typed,
}

impl Stdin {
    /// Somebody sends it while the task runs.
    #[must_use]
    pub const fn streams(self) -> bool {
        matches!(self, Self::Live | Self::Typed)
    }
}

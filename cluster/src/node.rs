//! A machine that runs tasks.

use std::fmt;

use keys::{NodeName, Role};
use serde::{Deserialize, Serialize};

use crate::{Resources, Timestamp};

/// What starts the tasks of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Docker,
    /// Plain processes: no isolation.
    Process,
    /// Plain memory, for tests.
    Fake,
}

impl EngineKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Process => "process",
            Self::Fake => "fake",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a node says it has. Believed for room and engine only; never for authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Numbers of the cores offered, ascending, no repeats.
    pub cores: Vec<u32>,
    /// Bytes offered.
    pub memory: u64,
    pub engine: EngineKind,
    /// As the engine calls itself, e.g. `20.10.24`.
    pub engine_version: String,
    /// Lowest role whose tasks the node takes; `Operator` for an unopened `process` node.
    pub open_to: Role,
    /// `uname -sr` and architecture.
    pub kernel: String,
    pub arch: String,
    pub runner_version: String,
    /// `/etc/machine-id`, or as configured; a certificate is bound to it.
    pub machine_id: String,
    /// `/proc/sys/kernel/random/boot_id`, or as configured; a change means a reboot.
    pub boot_id: String,
}

impl NodeFacts {
    #[must_use]
    pub fn resources(&self) -> Resources {
        let cores = u32::try_from(self.cores.len()).unwrap_or(u32::MAX);
        Resources {
            cores,
            memory: self.memory,
        }
    }
}

/// What a reader of `node list` sees; computed from a [`Node`], never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Enrolled, never connected.
    Joining,
    Ready,
    /// Takes nothing new; what runs goes on.
    Draining,
    /// No link; its tasks are believed to run on.
    Unreachable,
    /// Without a link longer than `lost_after`; its tasks were given up.
    Lost,
}

impl NodeState {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The gateway's durable record of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: NodeName,
    pub joined: Timestamp,
    /// Serial of the one valid certificate of this node.
    pub certificate: u64,
    /// What the certificate is bound to; set by the join.
    pub machine_id: String,
    pub draining: bool,
    /// Of its latest connection; `None` until the first.
    pub facts: Option<NodeFacts>,
    /// Last moment it was known to be connected.
    pub seen: Option<Timestamp>,
    /// The version that its runner and the gateway spoke last; 0: the first.
    #[serde(default)]
    pub protocol: u32,
    /// Its tasks were given up after `lost_after`; cleared when it connects again.
    pub lost: bool,
}

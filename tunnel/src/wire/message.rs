//! Every control message. Whole truths with a version, not deltas.

use cluster::{Assignments, AttemptId, NodeFacts, Observation, TaskId};
use keys::NodeName;
use serde::{Deserialize, Serialize};

/// First frame of a runner on its control channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest version that the runner speaks.
    pub protocol: u32,
    /// … and the newest; 0 of a runner of the first version.
    #[serde(default)]
    pub newest: u32,
    pub facts: NodeFacts,
    /// Highest epoch and task number this node ever saw: counters jump past them, and a gateway
    /// restored from an old backup cannot hand them out again.
    pub highest_epoch: u64,
    pub highest_task: TaskId,
    /// Of this start of the runner: two live connections with different ones are a clone.
    pub instance: u64,
}

/// The gateway's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// As in [`Hello`].
    pub protocol: u32,
    #[serde(default)]
    pub newest: u32,
    pub node: NodeName,
    pub epoch: u64,
    pub gateway_version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToRunner {
    Welcome(Welcome),
    /// The connection is refused for ever or until an operator acts; why.
    Refused(String),
    Assignments(Assignments),
    /// To the task's process group, at most once; a signal to what has ended is nothing.
    Signal {
        attempt: AttemptId,
        signal: u8,
    },
    Ping,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromRunner {
    Hello(Box<Hello>),
    Observed(Observation),
    Pong,
}

/// What `join@` sends: a token from `node invite`, and the machine it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// As in [`Hello`].
    pub protocol: u32,
    #[serde(default)]
    pub newest: u32,
    pub token: String,
    pub machine_id: String,
}

/// What `join@` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joined {
    Welcome {
        node: NodeName,
        /// OpenSSH certificate line for the key that proved itself.
        certificate: String,
        /// OpenSSH public key line of the authority that signed it.
        authority: String,
    },
    Refused(String),
}

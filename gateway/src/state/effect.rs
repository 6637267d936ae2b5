//! What the gateway must do next. Records are committed first; only then is anything said or sent.

use std::sync::Arc;

use cluster::{AttemptId, Node, Task, TaskId, Timestamp};
use keys::{Account, AccountKey, Invitation, JoinToken, NodeName};
use serde::{Deserialize, Serialize};
use shell::{Failure, Reply};

use super::{LinkId, Ticket};

#[derive(Clone, Debug)]
pub enum Effect {
    /// Into the store, in the same transaction as everything else of this turn.
    Save(Record),
    Audit(AuditEntry),
    /// After the commit, to whoever holds the ticket.
    Answer(Ticket, Result<Answer, Failure>),
    /// After the commit: send `State::assignments(node)` over its link. Several in a turn are one.
    Publish(NodeName),
    /// After the commit: fetch the output of this ended attempt from its node into the store, then
    /// say `Input::Collected`. Repeated after a reconnect until that is heard.
    Collect {
        node: NodeName,
        attempt: AttemptId,
    },
    /// After the commit: this spool file has no task that needs it any more.
    DropSpool(String),
    /// After the commit: a node reports an attempt of a task that is not in memory. If the store has it, say
    /// `Input::Recalled`.
    Recall {
        node: NodeName,
        attempt: AttemptId,
    },
    /// Close this control connection, with the reason for its log.
    CloseLink(LinkId, String),
    /// Close every connection of this node: its certificate is worth nothing any more.
    CloseNode(NodeName, String),
    /// The task changed: wake who watches it.
    Changed(TaskId),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Reply(Reply),
    /// To be signed by the edge: a certificate of this serial for this name.
    Joined {
        node: NodeName,
        serial: u64,
    },
    Enrolled(Account),
    /// It is in the audit log.
    Noted,
}

/// One row to write or remove.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Task(Arc<Task>),
    Node(Arc<Node>),
    NodeRemoved(NodeName),
    Account(Account),
    Key(AccountKey),
    KeyRemoved { fingerprint: String },
    Invitation(Invitation),
    InvitationRemoved { hash: String },
    JoinToken(JoinToken),
    JoinTokenRemoved { hash: String },
    Counters(Counters),
}

/// Numbers that only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Highest id ever given to a task.
    pub task: u64,
    /// Life of the gateway; raised and committed at each start.
    pub epoch: u64,
    /// Highest serial ever given to a certificate.
    pub serial: u64,
    /// What was placed in epochs below was placed before a copy was put back: only its node knows what became of it
    /// since. 0: none ever was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restored: u64,
    /// Highest task of that copy: what waited in it may have begun since, on a node that has not been heard.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restored_task: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's way")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub account: String,
    /// `task submit`, `node drain`, `task attach`, …
    pub action: String,
    pub object: String,
    /// `done`, or why not.
    pub verdict: String,
}

//! Everything that can happen to the gateway.

use std::sync::Arc;

use cluster::{AttemptId, Observation, OutputSize, Task, TaskId};
use keys::{Actor, NodeName, UserName};
use shell::Change;
use tunnel::wire::Hello;

/// Whom to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// One control connection; never reused while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Randomness from the edge, so that deciding stays a function of its arguments.
pub type Dice = [u8; 32];

#[derive(Clone, Debug)]
pub enum Input {
    /// A judged change.
    Change {
        ticket: Ticket,
        actor: Actor,
        change: Change,
        dice: Dice,
    },
    /// Somebody was refused or entered something: one line for the audit log, no other effect.
    /// Answered, so that nothing is shown before it is committed.
    Audit {
        ticket: Ticket,
        account: String,
        action: String,
        object: String,
        verdict: String,
    },
    /// `invite-CODE@`: this key proved itself. `name` is the newcomer's wish.
    Enrol {
        ticket: Ticket,
        hash: String,
        key: keys::AccountKeyLine,
        name: Option<UserName>,
        dice: Dice,
    },
    /// `join@`: a token, and the machine it is for.
    Join {
        ticket: Ticket,
        hash: String,
        machine_id: String,
    },
    /// The caller of `task run` went away for good: stop its task.
    CallerGone {
        task: TaskId,
        actor: Actor,
    },
    LinkUp {
        node: NodeName,
        link: LinkId,
        hello: Box<Hello>,
    },
    LinkDown {
        node: NodeName,
        link: LinkId,
    },
    Observed {
        node: NodeName,
        link: LinkId,
        observation: Observation,
    },
    /// The output of an ended attempt is durable in the gateway's store.
    Collected {
        attempt: AttemptId,
        output: OutputSize,
    },
    /// The spooled input of an attempt that waits for it is not there: the store was put back from a copy.
    InputGone {
        attempt: AttemptId,
    },
    /// The store knows the task of this attempt, which a node reports and the state had forgotten.
    Recalled {
        node: NodeName,
        attempt: AttemptId,
        task: Arc<Task>,
    },
    /// Time passed; at least once a second while a deadline is near.
    Tick,
}

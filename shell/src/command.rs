//! What people ask for, as plain values. `Query` reads, `Change` writes, `Attach` streams.

use std::sync::Arc;

use cluster::{AttemptId, EngineKind, Spool, Task, TaskName, TaskSpec, TaskState};
use keys::{NodeName, Role, UserName};
use serde::{Deserialize, Serialize};

/// One parsed line.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub command: Command,
    pub format: Format,
    /// `-q`: ids or names only.
    pub quiet: bool,
    /// `-w`: a listing that is drawn again when it changes.
    pub watch: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    /// One object; `--json`.
    Json,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Query(Query),
    Change(Change),
    Attach(Attach),
}

/// A task or box as a person names it: `17`, `task-17`, a name; to look at, a unique beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskRef {
    pub text: String,
    /// A command of boxes names it: what is not there is a box.
    pub vps: bool,
}

impl TaskRef {
    #[must_use]
    pub fn task(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, vps: false }
    }

    #[must_use]
    pub fn vps(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { text, vps: true }
    }

    /// `17` is a box's or a task's number, by the command or by the word itself.
    #[must_use]
    pub fn means_box(&self) -> bool {
        !self.text.starts_with("task-") && (self.vps || self.text.starts_with("vps-"))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// No command at all: the cluster in a few lines and what to type first.
    Welcome,
    /// Text made by the parser: help, version, completion. Judged like any read.
    Text(String),
    Version,
    Status,
    TaskList {
        /// Boxes that stay, instead of tasks.
        vps: bool,
        /// Everybody's, not only the caller's.
        all: bool,
        /// Ended ones too.
        ended: bool,
        state: Option<TaskState>,
        node: Option<NodeName>,
        owner: Option<UserName>,
        name: Option<String>,
        limit: u32,
    },
    TaskStatus {
        tasks: Vec<TaskRef>,
    },
    TaskWhy {
        task: TaskRef,
    },
    /// The caller's block for `~/.ssh/config`.
    SshConfig,
    /// The line that forwards a port.
    Forward {
        vps: TaskRef,
        port: u16,
        local: u16,
        transport: Transport,
    },
    NodeList {
        status: Option<NodeFilter>,
    },
    NodeStatus {
        node: NodeName,
    },
    NodeSummary,
    AuthStatus,
    KeyList {
        account: Option<UserName>,
    },
    UserList,
    ConfigShow,
    Audit {
        account: Option<UserName>,
        limit: u32,
    },
}

/// What a port is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFilter {
    Online,
    Offline,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// One task a spec, all or none.
    Submit(Submit),
    TaskKill {
        tasks: Vec<TaskRef>,
    },
    TaskPause {
        tasks: Vec<TaskRef>,
    },
    TaskResume {
        tasks: Vec<TaskRef>,
    },
    VpsStop {
        boxes: Vec<TaskRef>,
    },
    VpsRestart {
        boxes: Vec<TaskRef>,
    },
    VpsDelete {
        boxes: Vec<TaskRef>,
    },
    VpsRename {
        vps: TaskRef,
        name: TaskName,
    },
    NodeInvite {
        node: NodeName,
        lifetime_ms: u64,
    },
    NodeDrain {
        node: NodeName,
    },
    NodeUndrain {
        node: NodeName,
    },
    NodeRemove {
        node: NodeName,
    },
    /// An attempt that its node knows and the gateway does not.
    NodeForget {
        node: NodeName,
        attempt: AttemptId,
    },
    Invite {
        role: Role,
        name: Option<UserName>,
        lifetime_ms: u64,
    },
    KeyAdd {
        account: Option<UserName>,
        line: String,
    },
    KeyRemove {
        account: Option<UserName>,
        fingerprint: String,
    },
    UserRole {
        account: UserName,
        role: Role,
    },
    UserDisable {
        account: UserName,
        disabled: bool,
    },
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Submit {
    pub specs: Vec<TaskSpec>,
    /// `--wait`: answer when all have ended, with the last one's code.
    pub wait: bool,
    /// The specs follow on standard input, one a line (`--batch`).
    pub batch: bool,
    /// Each of them by itself, as it comes (`--each`).
    pub each: bool,
    /// Keys of a box follow on standard input.
    pub keys: bool,
    /// A key of the box is to be made, and shown.
    pub make_key: bool,
    /// Input that is already durable; set by the gateway, not the parser.
    pub spool: Option<Spool>,
    /// Tasks of before that have a key of these specs; set by the gateway, which has read the store.
    pub known: Vec<Arc<Task>>,
}

/// Commands that hold the caller's channel.
#[derive(Clone, Debug, PartialEq)]
pub enum Attach {
    /// Submit, then live output, input, signals, and the exit code.
    Run(Submit),
    /// Live output (and input, where it is live) of a running task.
    Task(TaskRef),
    Logs(Logs),
    /// Until each has ended.
    Wait {
        tasks: Vec<TaskRef>,
        timeout_ms: Option<u64>,
    },
    /// A terminal in a box.
    Connect(Connect),
    /// Datagrams to and from a UDP port in a box, framed, for river-forward.
    Datagrams(Datagrams),
    /// An errand that takes its time.
    Snapshot(Snapshot),
    /// State changes, one a line, until the end.
    Watch {
        task: TaskRef,
    },
    /// A script with a runner in it.
    Bootstrap(Bootstrap),
    /// Each hop of the cluster, or of this node, looked at now.
    Doctor {
        node: Option<NodeName>,
    },
}

/// What the script is to do. Paths and the gateway's place are of plain letters: they stand in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    pub node: NodeName,
    /// `host:port`; `None`: as the gateway calls itself.
    pub gateway: Option<String>,
    pub engine: EngineKind,
    pub docker_socket: String,
    pub prefix: String,
    pub state_dir: String,
    pub lifetime_ms: u64,
    pub start: Start,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// By systemd, where it runs; else it says how.
    Service,
    /// By systemd, where it runs; else in the background.
    Background,
    No,
}

/// A box's disk, kept or brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub vps: TaskRef,
    pub disk: Disk,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    List,
    Create {
        name: Option<TaskName>,
    },
    Restore {
        name: TaskName,
    },
    /// Stop it, restore, start it again.
    Return {
        name: TaskName,
    },
    Delete {
        name: TaskName,
    },
}

/// Which terminal, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub place: TaskRef,
    pub terminal: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagrams {
    pub place: TaskRef,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    pub task: TaskRef,
    /// Last lines only; `None`: all.
    pub lines: Option<u64>,
    pub stream: LogStream,
    pub follow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    Stdout,
    Stderr,
    Both,
}

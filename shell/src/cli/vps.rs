//! `vps …`, `connect`, `forward`, `ssh config`.

use clap::{Args, Subcommand};
use cluster::{TaskName, TaskSpec, Vps};
use keys::NodeName;

use super::task::BoxArgs;
use super::{Listing, values};
use crate::Failure;
use crate::command::{
    Attach, Change, Command, Connect, Datagrams, Disk, Query, Snapshot, Submit, TaskRef, Transport,
};

#[derive(Subcommand)]
pub(super) enum VpsVerb {
    /// Make a box that stays, entered by `ssh vps-ID@…`
    #[command(
        after_help = "Examples:\n  vps create --name lab -c 4 -m 8G\n  vps create --image debian:12 --public-key-file - < ~/.ssh/id_ed25519.pub"
    )]
    Create(Create),
    /// Your boxes; -a also those deleted
    #[command(visible_alias = "ls")]
    List {
        /// Deleted ones too
        #[arg(short, long)]
        all: bool,
        /// Of everybody, for operators
        #[arg(short = 'A', long)]
        everyone: bool,
        #[command(flatten)]
        _listing: Listing,
    },
    /// One or more boxes in detail
    Status {
        #[command(flatten)]
        boxes: Boxes,
        #[command(flatten)]
        _listing: Listing,
    },
    /// End what runs in boxes; their disks stay
    Stop(Boxes),
    /// Start stopped boxes again, or running ones anew
    #[command(visible_alias = "start")]
    Restart(Restart),
    /// Freeze boxes; they keep their memory and cores
    Pause(Boxes),
    /// Let paused boxes go on
    Resume(Boxes),
    /// Your terminal in a box, which stays when you leave
    Connect(ConnectArgs),
    /// Give a box another name
    Rename {
        #[arg(value_name = "VPS")]
        vps: String,
        #[arg(value_name = "NAME")]
        name: TaskName,
    },
    /// A box's disk as it was
    #[command(subcommand)]
    Snapshot(SnapshotVerb),
    /// End boxes and remove their disks, for good
    Delete(Boxes),
}

#[derive(Subcommand)]
pub(super) enum SnapshotVerb {
    /// Those of a box, newest first; a stop makes one by itself
    #[command(visible_alias = "ls")]
    List {
        #[arg(value_name = "VPS")]
        vps: String,
    },
    /// Keep the disk as it is now
    Create {
        #[arg(value_name = "VPS")]
        vps: String,
        /// Else one is made up
        #[arg(long, value_name = "NAME", value_parser = values::snapshot)]
        name: Option<TaskName>,
    },
    /// Give a stopped box the disk of a snapshot
    Restore {
        #[arg(value_name = "VPS")]
        vps: String,
        #[arg(value_name = "NAME")]
        name: TaskName,
    },
    /// Forget one
    Delete {
        #[arg(value_name = "VPS")]
        vps: String,
        #[arg(value_name = "NAME")]
        name: TaskName,
    },
}

impl SnapshotVerb {
    fn command(self) -> Command {
        let (vps, disk) = match self {
            Self::List { vps } => (vps, Disk::List),
            Self::Create { vps, name } => (vps, Disk::Create { name }),
            Self::Restore { vps, name } => (vps, Disk::Restore { name }),
            Self::Delete { vps, name } => (vps, Disk::Delete { name }),
        };
        let vps = TaskRef::vps(vps);
        Command::Attach(Attach::Snapshot(Snapshot { vps, disk }))
    }
}

#[derive(Args)]
pub(super) struct Boxes {
    #[arg(required = true, value_name = "VPS")]
    boxes: Vec<String>,
}

#[derive(Args)]
pub(super) struct Restart {
    #[command(flatten)]
    boxes: Boxes,
    /// With the disk of this snapshot; what is on the disk now goes
    #[arg(long, value_name = "SNAPSHOT")]
    restore: Option<TaskName>,
}

impl Restart {
    fn command(self) -> Result<Command, Failure> {
        let boxes = refs(self.boxes);
        let Some(name) = self.restore else {
            return Ok(Command::Change(Change::VpsRestart { boxes }));
        };
        match <[TaskRef; 1]>::try_from(boxes) {
            Ok([vps]) => Ok(Command::Attach(Attach::Snapshot(Snapshot {
                vps,
                disk: Disk::Return { name },
            }))),
            Err(_) => Err(Failure::usage("--restore is for one box at a time")
                .hint("a snapshot belongs to its box")),
        }
    }
}

#[derive(Args)]
pub(super) struct Create {
    #[command(flatten)]
    spec: BoxArgs,
    /// Make it on this node
    #[arg(short, long = "target", value_name = "NODE", value_parser = values::target)]
    target: Option<NodeName>,
    /// A key that opens this box alone, as in authorized_keys; repeatable
    #[arg(long, value_name = "KEY")]
    public_key_string: Vec<String>,
    /// As --public-key-string, from standard input: `-`
    #[arg(long, value_name = "-", value_parser = values::dash)]
    public_key_file: Option<String>,
    /// Make a key that opens this box alone; its private half is shown once, on standard output
    #[arg(long)]
    gen_ssh_key: bool,
    /// Every box is entered by ssh; this changes nothing
    #[arg(long = "ssh", hide = true)]
    _ssh: bool,
}

#[derive(Args)]
pub(super) struct ConnectArgs {
    /// A box, or a running task
    #[arg(value_name = "VPS")]
    vps: String,
    /// Which of its terminals
    #[arg(long, default_value = "main", value_name = "NAME", value_parser = values::terminal)]
    terminal: String,
    /// See, and do not type
    #[arg(long)]
    read_only: bool,
}

#[derive(Subcommand)]
pub(super) enum SshVerb {
    /// A block for ~/.ssh/config: the gateway, and a host for each of your boxes
    Config,
    /// As `vps connect`
    Connect(ConnectArgs),
}

#[derive(Args)]
pub(super) struct Forward {
    #[arg(value_name = "VPS")]
    vps: String,
    /// Port inside the box
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Port on your machine; else the same
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    local: Option<u16>,
    /// tcp, or udp: that takes the program river-forward on your machine
    #[arg(long, default_value = "tcp", value_name = "PROTOCOL", value_parser = values::transport)]
    proto: Transport,
    /// What river-forward types: the datagrams themselves, framed, on standard input and output
    #[arg(long, conflicts_with = "local")]
    stdio: bool,
}

fn refs(boxes: Boxes) -> Vec<TaskRef> {
    boxes.boxes.into_iter().map(TaskRef::vps).collect()
}

impl ConnectArgs {
    pub(super) fn command(self) -> Command {
        Command::Attach(Attach::Connect(Connect {
            place: TaskRef::vps(self.vps),
            terminal: self.terminal,
            read_only: self.read_only,
        }))
    }
}

impl Forward {
    pub(super) fn command(self) -> Result<Command, Failure> {
        let (vps, port) = (TaskRef::vps(self.vps), self.port);
        match (self.proto, self.stdio) {
            (transport, false) => Ok(Command::Query(Query::Forward {
                vps,
                port,
                local: self.local.unwrap_or(port),
                transport,
            })),
            (Transport::Udp, true) => Ok(Command::Attach(Attach::Datagrams(Datagrams {
                place: vps,
                port,
            }))),
            (Transport::Tcp, true) => Err(Failure::usage("--stdio: it carries UDP alone").hint(
                format!("for TCP `forward {} {port}` prints a line", vps.text),
            )),
        }
    }
}

impl SshVerb {
    pub(super) fn command(self) -> Command {
        match self {
            Self::Config => Command::Query(Query::SshConfig),
            Self::Connect(connect) => connect.command(),
        }
    }
}

impl VpsVerb {
    pub(super) fn command(self) -> Result<Command, Failure> {
        Ok(match self {
            Self::Create(create) => Command::Change(Change::Submit(create.submit()?)),
            Self::List { all, everyone, .. } => Command::Query(Query::TaskList {
                vps: true,
                all: everyone,
                ended: all,
                state: None,
                node: None,
                owner: None,
                name: None,
                limit: 1000,
            }),
            Self::Status { boxes, .. } => Command::Query(Query::TaskStatus { tasks: refs(boxes) }),
            Self::Stop(boxes) => Command::Change(Change::VpsStop { boxes: refs(boxes) }),
            Self::Restart(restart) => restart.command()?,
            Self::Pause(boxes) => Command::Change(Change::TaskPause { tasks: refs(boxes) }),
            Self::Resume(boxes) => Command::Change(Change::TaskResume { tasks: refs(boxes) }),
            Self::Connect(connect) => connect.command(),
            Self::Snapshot(verb) => verb.command(),
            Self::Rename { vps, name } => Command::Change(Change::VpsRename {
                vps: TaskRef::vps(vps),
                name,
            }),
            Self::Delete(boxes) => Command::Change(Change::VpsDelete { boxes: refs(boxes) }),
        })
    }
}

impl Create {
    fn submit(self) -> Result<Submit, Failure> {
        // Its commands are those of whoever enters it.
        let spec = TaskSpec {
            vps: Some(Vps {
                keys: self.public_key_string,
            }),
            ..self.spec.spec(Vec::new(), self.target)?
        };
        Ok(Submit {
            specs: vec![spec],
            wait: false,
            batch: false,
            each: false,
            keys: self.public_key_file.is_some(),
            make_key: self.gen_ssh_key,
            spool: None,
            known: Vec::new(),
        })
    }
}

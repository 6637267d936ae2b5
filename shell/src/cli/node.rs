//! `node …`

use clap::Subcommand;
use cluster::{AttemptId, EngineKind};
use keys::NodeName;

use super::{Listing, values};
use crate::command::{Attach, Bootstrap, Change, Command, NodeFilter, Query, Start};

#[derive(Subcommand)]
pub(super) enum NodeVerb {
    /// All nodes and their room
    #[command(visible_alias = "ls")]
    List {
        /// online or offline
        #[arg(long, value_name = "STATUS", value_parser = filter)]
        status: Option<NodeFilter>,
        #[command(flatten)]
        _listing: Listing,
    },
    /// One node and what runs there
    Status {
        node: NodeName,
        #[command(flatten)]
        _listing: Listing,
    },
    /// Room of the whole cluster
    Summary {
        #[command(flatten)]
        _listing: Listing,
    },
    /// A one-time token for a new node
    Invite {
        node: NodeName,
        /// How long the token lasts
        #[arg(long, default_value = "1h", value_name = "TIME", value_parser = values::duration)]
        expires: u64,
    },
    /// A script that makes a machine this node, for a pipe into `ssh root@MACHINE sh`; again: upgrades it
    #[command(after_help = "Examples:
  ssh river node bootstrap n1 | ssh root@n1 sh
  ssh river node bootstrap n1 --engine process | ssh root@n1 sh")]
    Bootstrap {
        node: NodeName,
        /// Where the machine reaches this gateway; its own name and port, if not said
        #[arg(long, value_name = "HOST:PORT", value_parser = values::place)]
        gateway: Option<String>,
        /// docker, or process: plain processes, isolated from nothing
        #[arg(long, default_value = "docker", value_name = "ENGINE", value_parser = engine)]
        engine: EngineKind,
        /// Docker's socket there
        #[arg(long, default_value = "/var/run/docker.sock", value_name = "PATH", value_parser = values::plain_path)]
        docker_socket: String,
        /// Programs go below it, into bin and lib/river
        #[arg(long, default_value = "/usr/local", value_name = "DIR", value_parser = values::plain_path)]
        prefix: String,
        /// Certificate, and output of tasks on its way
        #[arg(long, default_value = "/var/lib/river-runner", value_name = "DIR", value_parser = values::plain_path)]
        state_dir: String,
        /// How long the script can be used to join
        #[arg(long, default_value = "1h", value_name = "TIME", value_parser = values::duration)]
        expires: u64,
        /// Where no systemd runs, start it all the same, in the background
        #[arg(long, conflicts_with = "no_start")]
        background: bool,
        /// Install and join, no more
        #[arg(long)]
        no_start: bool,
    },
    /// Take nothing new; what runs goes on
    Drain { node: NodeName },
    /// Take tasks again
    Undrain { node: NodeName },
    /// Forget a node; its certificate ends
    Remove { node: NodeName },
    /// End and remove what runs there and is unknown to this gateway, as `node status` names it
    #[command(after_help = "Examples:
  ssh river node status n1
  ssh river node forget n1 17.1")]
    Forget {
        node: NodeName,
        /// Such as 17.1: task 17, its first attempt
        #[arg(value_parser = values::attempt)]
        attempt: AttemptId,
    },
}

fn filter(text: &str) -> Result<NodeFilter, String> {
    match text {
        "online" => Ok(NodeFilter::Online),
        "offline" => Ok(NodeFilter::Offline),
        _ => Err("a status is online or offline".to_owned()),
    }
}

fn engine(text: &str) -> Result<EngineKind, String> {
    match text {
        "docker" => Ok(EngineKind::Docker),
        "process" => Ok(EngineKind::Process),
        _ => Err("an engine is docker or process".to_owned()),
    }
}

impl NodeVerb {
    pub(super) fn command(self) -> Command {
        match self {
            Self::List { status, .. } => Command::Query(Query::NodeList { status }),
            Self::Status { node, .. } => Command::Query(Query::NodeStatus { node }),
            Self::Summary { .. } => Command::Query(Query::NodeSummary),
            Self::Invite { node, expires } => Command::Change(Change::NodeInvite {
                node,
                lifetime_ms: expires,
            }),
            Self::Bootstrap {
                node,
                gateway,
                engine,
                docker_socket,
                prefix,
                state_dir,
                expires,
                background,
                no_start,
            } => Command::Attach(Attach::Bootstrap(Bootstrap {
                node,
                gateway,
                engine,
                docker_socket,
                prefix,
                state_dir,
                lifetime_ms: expires,
                start: match (no_start, background) {
                    (true, _) => Start::No,
                    (false, true) => Start::Background,
                    (false, false) => Start::Service,
                },
            })),
            Self::Drain { node } => Command::Change(Change::NodeDrain { node }),
            Self::Undrain { node } => Command::Change(Change::NodeUndrain { node }),
            Self::Remove { node } => Command::Change(Change::NodeRemove { node }),
            Self::Forget { node, attempt } => Command::Change(Change::NodeForget { node, attempt }),
        }
    }
}

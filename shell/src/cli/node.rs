//! `node …`

use clap::Subcommand;
use keys::NodeName;

use super::values;
use crate::command::{Change, Command, NodeFilter, Query};

#[derive(Subcommand)]
pub(super) enum NodeVerb {
    /// All nodes and their room
    #[command(visible_alias = "ls")]
    List {
        /// online or offline
        #[arg(long, value_name = "STATUS", value_parser = filter)]
        status: Option<NodeFilter>,
    },
    /// One node and what runs there
    Status { node: NodeName },
    /// Room of the whole cluster
    Summary,
    /// A one-time token for a new node
    Invite {
        node: NodeName,
        /// How long the token lasts
        #[arg(long, default_value = "1h", value_name = "TIME", value_parser = values::duration)]
        expires: u64,
    },
    /// Take nothing new; what runs goes on
    Drain { node: NodeName },
    /// Take tasks again
    Undrain { node: NodeName },
    /// Forget a node; its certificate ends
    Remove { node: NodeName },
}

fn filter(text: &str) -> Result<NodeFilter, String> {
    match text {
        "online" => Ok(NodeFilter::Online),
        "offline" => Ok(NodeFilter::Offline),
        _ => Err("a status is online or offline".to_owned()),
    }
}

impl NodeVerb {
    pub(super) fn command(self) -> Command {
        match self {
            Self::List { status } => Command::Query(Query::NodeList { status }),
            Self::Status { node } => Command::Query(Query::NodeStatus { node }),
            Self::Summary => Command::Query(Query::NodeSummary),
            Self::Invite { node, expires } => Command::Change(Change::NodeInvite {
                node,
                lifetime_ms: expires,
            }),
            Self::Drain { node } => Command::Change(Change::NodeDrain { node }),
            Self::Undrain { node } => Command::Change(Change::NodeUndrain { node }),
            Self::Remove { node } => Command::Change(Change::NodeRemove { node }),
        }
    }
}

//! `doctor`: each hop from the gateway to the nodes, looked at now. `verdict` decides, here and in `ask` it is asked.

mod ask;
pub mod verdict;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cluster::TaskState;
use keys::{Actor, NodeName};
use nix::sys::statvfs::{FsFlags, statvfs};
use shell::reply::Hop;
use shell::{Failure, Reply};
use tokio::task::JoinSet;
use tunnel::wire::examine::Room;

use self::verdict::gateway::{Own, You};
use self::verdict::node::Examined;
use crate::dispatch;
use crate::head::{Head, now};
use crate::state::State;

/// How long the gateway's own disk may take.
const OWN_LIMIT: Duration = Duration::from_secs(2);
/// Nodes that are asked at a time.
const AT_ONCE: usize = 512;

/// All hops, or those of one node.
///
/// # Errors
/// A refusal, or a node that is not there.
pub async fn doctor(
    head: &Arc<Head>,
    actor: &Actor,
    wanted: Option<NodeName>,
) -> Result<Reply, Failure> {
    let (actor, sight) = dispatch::doctor(head, actor).await?;
    let state = head.state();
    let (names, all): (VecDeque<NodeName>, bool) = match wanted {
        None => (state.nodes().map(|node| node.name.clone()).collect(), true),
        Some(name) => {
            let known = state.node(&name).ok_or_else(|| {
                let hint = state.near_node(name.as_str());
                Failure::not_found(format!("{name}: no such node")).hint(hint)
            })?;
            (VecDeque::from([known.name.clone()]), false)
        }
    };
    let examined = examine(head, names).await;
    let mut hops: Vec<Hop> = Vec::new();
    if all {
        let own = own(head, &state).await;
        hops.extend(verdict::gateway::own(&own, sight, now()));
        hops.extend(verdict::gateway::clock(&examined));
        hops.extend(verdict::gateway::you(&you(&state, &actor), now()));
    }
    let version = &state.settings().version;
    let nodes = examined.iter();
    hops.extend(nodes.flat_map(|node| verdict::node::hops(node, version, sight, now())));
    Ok(Reply::Doctor(hops))
}

/// All of them at the same time, some hundreds of them at once, in the order of their names.
async fn examine(head: &Arc<Head>, mut names: VecDeque<NodeName>) -> Vec<Examined> {
    let mut asked = JoinSet::new();
    let mut examined = Vec::new();
    loop {
        while asked.len() < AT_ONCE
            && let Some(name) = names.pop_front()
        {
            asked.spawn(ask::node(Arc::clone(head), name));
        }
        match asked.join_next().await {
            // One that was removed meanwhile is none.
            Some(node) => examined.extend(node.ok().flatten()),
            None => break,
        }
    }
    examined.sort_by(|one, other| one.row.node.name.cmp(&other.row.node.name));
    examined
}

async fn own(head: &Head, state: &State) -> Own {
    let dir = head.state_dir.clone();
    let looking = tokio::task::spawn_blocking(move || (room(&dir), size(&dir)));
    let looked = tokio::time::timeout(OWN_LIMIT, looking).await;
    let (room, store) = looked.ok().and_then(Result::ok).unwrap_or_default();
    Own {
        version: state.settings().version.clone(),
        up: head.vitals.up(),
        epoch: state.counters().epoch,
        store,
        room,
        trouble: head.vitals.trouble(),
        door: head.vitals.door.seen(),
    }
}

fn room(dir: &Path) -> Option<Room> {
    let seen = statvfs(dir).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(seen.fragment_size());
    Some(Room {
        path: dir.display().to_string(),
        size: bytes(seen.blocks()),
        free: bytes(seen.blocks_available()),
        files_free: (seen.files() > 0).then(|| seen.files_available()),
        read_only: seen.flags().contains(FsFlags::ST_RDONLY),
    })
}

/// Bytes of the database, with what is not in its file yet.
fn size(dir: &Path) -> u64 {
    let parts = ["river.db", "river.db-wal"].map(|part| std::fs::metadata(dir.join(part)));
    parts.into_iter().flatten().map(|file| file.len()).sum()
}

fn you(state: &State, actor: &Actor) -> You {
    let own = || state.tasks().filter(|task| task.owner == actor.account);
    let away = own().filter_map(|task| {
        let row = state.task_row(task);
        let node = task.placement.as_ref()?.node.clone();
        Some((task.label(), node, row.unreachable_since?))
    });
    You {
        account: actor.account.clone(),
        role: actor.role,
        running: own()
            .filter(|task| task.state.holds_resources() && !task.is_vps())
            .count(),
        boxes: own()
            .filter(|task| task.state.holds_resources() && task.is_vps())
            .count(),
        waiting: own()
            .filter(|task| task.state == TaskState::Pending)
            .count(),
        away: away.collect(),
    }
}

/// Is something bad? Then the exit code says so too.
#[must_use]
pub fn is_bad(reply: &Reply) -> bool {
    matches!(reply, Reply::Doctor(hops) if hops.iter().any(|hop| hop.verdict == shell::reply::Verdict::Bad))
}

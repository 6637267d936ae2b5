//! The gateway itself, and what is the caller's.

use std::time::Duration;

use cluster::Timestamp;
use keys::{NodeName, Role, UserName};
use shell::render::units::{bytes, span};
use shell::reply::{Hop, Verdict};
use tunnel::wire::examine::Room;

use super::node::{Examined, off};
use super::{Sight, disk, not, ok};
use crate::vitals::{DoorSeen, Trouble};

const PLACE: &str = "gateway";

/// What the gateway knows of itself.
#[derive(Clone, Debug)]
pub struct Own {
    pub version: String,
    pub up: Duration,
    pub epoch: u64,
    /// Bytes of the database, with its log.
    pub store: u64,
    pub room: Option<Room>,
    pub trouble: Option<Trouble>,
    pub door: DoorSeen,
}

/// The caller, and what is theirs.
#[derive(Clone, Debug)]
pub struct You {
    pub account: UserName,
    pub role: Role,
    pub running: usize,
    pub waiting: usize,
    pub boxes: usize,
    /// Tasks and boxes that are on a node without a link: as they are called, where, since when.
    pub away: Vec<(String, NodeName, Timestamp)>,
}

/// Lines of one kind at most: the rest is counted.
const MOST: usize = 5;

#[must_use]
pub fn own(own: &Own, sight: Sight, now: Timestamp) -> Vec<Hop> {
    let up = span(own.up);
    let version = format!("river {}, up {up}, epoch {}", own.version, own.epoch);
    let mut hops = vec![ok(PLACE, "version", version)];
    if sight == Sight::All {
        hops.push(store(own, now));
        hops.push(disk(
            (PLACE, "disk"),
            own.room.as_ref(),
            "the gateway's machine",
        ));
        hops.push(door(&own.door));
    }
    hops
}

fn store(own: &Own, now: Timestamp) -> Hop {
    let size = format!("river.db, {}", bytes(own.store));
    match &own.trouble {
        None => ok(PLACE, "store", size),
        Some(trouble) => {
            let since = span(now.since(trouble.since));
            let seen = format!("{size}; refuses changes for {since}: {}", trouble.why);
            let remedy = "make room in its state_dir; it goes on by itself";
            not(Verdict::Bad, (PLACE, "store"), seen, remedy)
        }
    }
}

fn door(door: &DoorSeen) -> Hop {
    let DoorSeen {
        inside,
        waiting,
        failed,
        late,
        yielded,
        refused,
    } = door;
    let seen = format!(
        "{inside} sign in, {waiting} wait; since the start {failed} had no known key, {late} were late, \
         {yielded} yielded, {refused} found no room"
    );
    match waiting {
        0 => ok(PLACE, "door", seen),
        _ => {
            let remedy = "its log names an address; who has a key gets in beside a flood";
            not(Verdict::Warn, (PLACE, "door"), seen, remedy)
        }
    }
}

/// All nodes that know the time agree against this machine: then it is not they.
#[must_use]
pub fn clock(nodes: &[Examined]) -> Option<Hop> {
    let times: Vec<i64> = nodes.iter().filter_map(off).collect();
    let wrong = |sign: i64| times.len() > 1 && times.iter().all(|ms| ms.signum() == sign);
    if !wrong(1) && !wrong(-1) {
        return None;
    }
    let seen = "all nodes differ from this machine, the same way".to_owned();
    let remedy = "on the gateway's machine: `timedatectl set-ntp true`";
    Some(not(Verdict::Warn, (PLACE, "clock"), seen, remedy))
}

#[must_use]
pub fn you(you: &You, now: Timestamp) -> Vec<Hop> {
    let place = you.account.as_str();
    let plural = if you.boxes == 1 { "box" } else { "boxes" };
    let seen = format!(
        "{}; yours: {} running, {} waiting; {} {plural}",
        you.role, you.running, you.waiting, you.boxes
    );
    let mut hops = vec![ok(place, "you", seen)];
    let away = you.away.iter().take(MOST);
    hops.extend(away.map(|(label, node, since)| {
        let since = span(now.since(*since));
        let seen = format!("{label} is on {node}, which has had no link for {since}");
        let remedy = format!("it is believed to run on; `node status {node}`");
        not(Verdict::Warn, (place, "you"), seen, remedy)
    }));
    let more = you.away.len().saturating_sub(MOST);
    if more > 0 {
        let seen = format!("{more} more of yours are on nodes without a link");
        let next = "`task list`, `vps list`";
        hops.push(not(Verdict::Warn, (place, "you"), seen, next));
    }
    hops
}

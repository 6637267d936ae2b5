//! One node: its link, and what it tells of itself.

use std::time::Duration;

use cluster::{NodeState, Timestamp};
use shell::render::units::span;
use shell::reply::{Hop, NodeRow, Verdict};
use tunnel::wire::examine::{EngineSeen, Health};

use super::{Sight, disk, not, ok, short};

/// Beyond it a round trip is told as slow.
const SLOW: Duration = Duration::from_millis(500);
/// Milliseconds that clocks may differ.
const APART_MS: i64 = 2_000;

/// A node as the gateway knows it, and what came of asking.
#[derive(Clone, Debug)]
pub struct Examined {
    pub row: NodeRow,
    pub answer: Answer,
    /// Connections that carry its streams, and how many of them answered.
    pub carriers: (usize, usize),
}

/// What came of asking a node.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It has no link: it was not asked.
    Away,
    /// It has a link, and said nothing within so long. `quiet`: since when nothing has come at all.
    Silent {
        limit: Duration,
        quiet: Option<Duration>,
    },
    /// The link answers; its runner is too old for such questions.
    Old { round_trip: Duration },
    /// It answers the first question and not all.
    Half {
        round_trip: Duration,
        off_ms: Option<i64>,
        why: String,
    },
    Whole {
        round_trip: Duration,
        /// How much its clock is ahead of the gateway's.
        off_ms: i64,
        health: Box<Health>,
    },
}

/// By how many milliseconds its clock is off, beyond what can be measured and what is allowed; with the sign.
pub(super) fn off(node: &Examined) -> Option<i64> {
    let (off_ms, round_trip) = match &node.answer {
        Answer::Whole {
            off_ms, round_trip, ..
        } => (*off_ms, round_trip),
        Answer::Half {
            off_ms, round_trip, ..
        } => ((*off_ms)?, round_trip),
        Answer::Away | Answer::Silent { .. } | Answer::Old { .. } => return None,
    };
    let doubt = i64::try_from(round_trip.as_millis()).unwrap_or(i64::MAX) / 2;
    let sure = off_ms.saturating_abs().saturating_sub(doubt) > APART_MS;
    Some(if sure { off_ms } else { 0 })
}

/// Its hops, from the gateway outwards. `version`: the gateway's.
#[must_use]
pub fn hops(node: &Examined, version: &str, sight: Sight, now: Timestamp) -> Vec<Hop> {
    let name = node.row.node.name.as_str();
    let mut hops = vec![link(node, now)];
    let asked = match &node.answer {
        Answer::Away | Answer::Silent { .. } => return hops,
        Answer::Old { .. } | Answer::Half { .. } | Answer::Whole { .. } => true,
    };
    if asked {
        hops.push(carriers(name, node.carriers));
    }
    match &node.answer {
        Answer::Away | Answer::Silent { .. } => {}
        Answer::Old { .. } => {
            let runner = node.row.node.facts.as_ref().map(|f| &f.runner_version);
            let runner = runner.map_or("", |version| version);
            let seen =
                format!("river-runner {runner} is too old to tell of clock, disks and engine");
            hops.push(not(Verdict::Warn, (name, "versions"), seen, upgrade(name)));
        }
        Answer::Half { off_ms, why, .. } => {
            hops.extend(off_ms.map(|off_ms| clock(name, off_ms, off(node))));
            let seen = format!("it does not tell how it is: {why}");
            let remedy = format!("on {name}: `journalctl -u river-runner`");
            hops.push(not(Verdict::Bad, (name, "runner"), seen, remedy));
        }
        Answer::Whole { off_ms, health, .. } => {
            hops.push(clock(name, *off_ms, off(node)));
            if sight == Sight::All {
                hops.push(disk((name, "disk"), health.state.as_ref(), name));
            }
            hops.extend(engine(name, node, &health.engine, sight));
            hops.push(versions(name, version, health));
        }
    }
    hops.extend(unknown(node, sight));
    hops
}

fn link(node: &Examined, now: Timestamp) -> Hop {
    let (row, name) = (&node.row, node.row.node.name.as_str());
    let at = (name, "link");
    let gone = row.gone(now);
    let look = format!("on {name}: `systemctl status river-runner`, and its way to the gateway");
    match row.state {
        NodeState::Joining => {
            let remedy = format!("`ssh river node bootstrap {name} | ssh root@{name} sh`");
            return not(Verdict::Warn, at, "has never connected".to_owned(), remedy);
        }
        NodeState::Unreachable => {
            return not(Verdict::Bad, at, format!("no connection {gone}"), look);
        }
        NodeState::Lost => {
            let seen = format!("no connection {gone}; its tasks were given up");
            let remedy = format!("{look}; or, if it never comes back: `node remove {name}`");
            return not(Verdict::Bad, at, seen, remedy);
        }
        NodeState::Ready | NodeState::Draining => {}
    }
    let since = row.since.map(|since| span(now.since(since)));
    let mut seen = format!("connected for {}", since.unwrap_or_default());
    if row.state == NodeState::Draining {
        seen.push_str(", draining");
    }
    let round_trip = match &node.answer {
        Answer::Old { round_trip }
        | Answer::Half { round_trip, .. }
        | Answer::Whole { round_trip, .. } => *round_trip,
        Answer::Away => return not(Verdict::Bad, at, format!("{seen}, and gone just now"), look),
        Answer::Silent { limit, quiet } => {
            seen.push_str(&format!(", and does not answer within {}", short(*limit)));
            if let Some(quiet) = quiet {
                seen.push_str(&format!("; silent for {}", span(*quiet)));
            }
            let remedy =
                format!("on {name}: is the machine or river-runner stopped or overloaded?");
            return not(Verdict::Bad, at, seen, remedy);
        }
    };
    seen.push_str(&format!(", round trip {}", short(round_trip)));
    if round_trip > SLOW {
        let remedy =
            format!("the network between, or a busy machine: `ping`, and `uptime` on {name}");
        return not(Verdict::Warn, at, seen, remedy);
    }
    ok(name, "link", seen)
}

fn carriers(name: &str, (all, answered): (usize, usize)) -> Hop {
    let seen = format!("{answered} of {all} connections for data answer");
    let remedy = format!("on {name}: `systemctl restart river-runner`; what runs goes on");
    match (all, answered) {
        (0, _) | (_, 0) => not(Verdict::Bad, (name, "bulk"), seen, remedy),
        (all, answered) if answered < all => not(Verdict::Warn, (name, "bulk"), seen, remedy),
        _ => ok(name, "bulk", seen),
    }
}

fn clock(name: &str, off_ms: i64, off: Option<i64>) -> Hop {
    let apart = short(Duration::from_millis(off_ms.unsigned_abs()));
    let side = if off_ms < 0 { "behind" } else { "ahead of" };
    let seen = format!("{apart} {side} the gateway's");
    if off.unwrap_or_default() == 0 {
        return ok(name, "clock", seen);
    }
    let remedy = format!("on {name}: `timedatectl set-ntp true`");
    not(Verdict::Warn, (name, "clock"), seen, remedy)
}

fn engine(name: &str, node: &Examined, engine: &EngineSeen, sight: Sight) -> Vec<Hop> {
    let facts = node.row.node.facts.as_ref();
    let kind = facts.map_or("engine", |facts| facts.engine.name());
    match engine {
        EngineSeen::Down { error } => {
            let remedy = format!(
                "on {name}: `systemctl status {kind}`; nothing new starts there till it is up"
            );
            let seen = format!("{kind} is down: {error}");
            vec![not(Verdict::Bad, (name, "engine"), seen, remedy)]
        }
        EngineSeen::Up {
            version,
            took_ms,
            room,
        } => {
            let seen = format!("{kind} {version}, answers in {took_ms} ms");
            let mut hops = vec![ok(name, "engine", seen)];
            // An engine without a disk of its own has none to tell of.
            if let (Some(room), Sight::All) = (room, sight) {
                hops.push(disk((name, "engine disk"), Some(room), name));
            }
            hops
        }
    }
}

fn versions(name: &str, gateway: &str, health: &Health) -> Hop {
    let runner = &health.runner_version;
    let guest = health.guest_version.as_deref();
    let told = guest.unwrap_or("without a word of its version");
    let seen = format!("runner {runner}, guest {told}, gateway {gateway}");
    match guest {
        None => {
            let remedy = format!(
                "on {name}: the guest's program is damaged; {}",
                upgrade(name)
            );
            not(Verdict::Bad, (name, "versions"), seen, remedy)
        }
        Some(guest) if runner == gateway && guest == gateway => ok(name, "versions", seen),
        Some(_) => {
            let remedy = format!("they work together; {}", upgrade(name));
            not(Verdict::Warn, (name, "versions"), seen, remedy)
        }
    }
}

fn upgrade(name: &str) -> String {
    format!("`ssh river node bootstrap {name} | ssh root@{name} sh` gives it the gateway's version")
}

fn unknown(node: &Examined, sight: Sight) -> Option<Hop> {
    let name = node.row.node.name.as_str();
    let count = node.row.unknown.len() + node.row.strangers.len();
    if count == 0 || sight != Sight::All {
        return None;
    }
    let plural = if count == 1 { "thing" } else { "things" };
    let seen = format!("{count} {plural} there that this gateway does not know, left alone");
    let remedy = format!("`node status {name}` names them");
    Some(not(Verdict::Warn, (name, "unknown"), seen, remedy))
}

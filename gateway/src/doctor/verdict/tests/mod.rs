//! Facts of each kind, and what they are judged as.

use std::sync::Arc;
use std::time::Duration;

use cluster::{EngineKind, Node, NodeFacts, NodeState, Resources, Timestamp};
use keys::Role;
use shell::reply::{Hop, NodeRow, Verdict};
use tunnel::wire::examine::{EngineSeen, Health, Room};

use super::node::{Answer, Examined};
use super::{Sight, node};

mod gateway;

const NOW: Timestamp = Timestamp(1_000_000);

fn room() -> Room {
    Room {
        path: "/var/lib/river-runner".into(),
        size: 100 << 30,
        free: 50 << 30,
        files_free: Some(1 << 20),
        read_only: false,
    }
}

fn health() -> Health {
    Health {
        runner_version: "0.1.0".into(),
        guest_version: Some("0.1.0".into()),
        state: Some(room()),
        engine: EngineSeen::Up {
            version: "20.10.24".into(),
            took_ms: 3,
            room: Some(room()),
        },
    }
}

fn row(state: NodeState) -> NodeRow {
    let facts = NodeFacts {
        cores: vec![0],
        memory: 1 << 30,
        engine: EngineKind::Docker,
        engine_version: String::new(),
        open_to: Role::User,
        kernel: String::new(),
        arch: String::new(),
        runner_version: "0.0.9".into(),
        machine_id: String::new(),
        boot_id: String::new(),
    };
    let node = Node {
        name: "n1".parse().unwrap(),
        joined: Timestamp(0),
        certificate: 1,
        machine_id: String::new(),
        draining: state == NodeState::Draining,
        facts: (state != NodeState::Joining).then_some(facts),
        seen: (state != NodeState::Joining).then_some(Timestamp(940_000)),
        protocol: 0,
        lost: state == NodeState::Lost,
    };
    NodeRow {
        node: Arc::new(node),
        state,
        used: Resources::default(),
        running: 0,
        since: matches!(state, NodeState::Ready | NodeState::Draining)
            .then_some(Timestamp(940_000)),
        quiet: None,
        missed: None,
        engine_error: None,
        engine_down_since: None,
        disk: None,
        strangers: Vec::new(),
        unknown: Vec::new(),
    }
}

fn whole(off_ms: i64, health: Health) -> Answer {
    Answer::Whole {
        round_trip: Duration::from_micros(1_300),
        off_ms,
        health: Box::new(health),
    }
}

fn examined(state: NodeState, answer: Answer) -> Examined {
    Examined {
        row: row(state),
        answer,
        carriers: (2, 2),
    }
}

fn hops(node: &Examined, sight: Sight) -> Vec<Hop> {
    node::hops(node, "0.1.0", sight, NOW)
}

/// What one hop came to, in its words.
fn of(hops: &[Hop], what: &str) -> (Verdict, String) {
    let hop = hops.iter().find(|hop| hop.what == what);
    let hop = hop.unwrap_or_else(|| panic!("no {what} in {hops:?}"));
    let well = hop.verdict == Verdict::Ok;
    assert_eq!(
        well,
        hop.remedy.is_none(),
        "a remedy for what is not well: {hop:?}"
    );
    (hop.verdict, hop.seen.clone())
}

/// A node that is well but for this, and the hop that says so.
fn with(change: impl FnOnce(&mut Health), what: &str) -> (Verdict, String) {
    let mut health = health();
    change(&mut health);
    of(
        &hops(&examined(NodeState::Ready, whole(0, health)), Sight::All),
        what,
    )
}

#[test]
fn a_node_that_is_well_is_so_in_each_hop() {
    let well = hops(&examined(NodeState::Ready, whole(12, health())), Sight::All);
    assert!(
        well.iter().all(|hop| hop.verdict == Verdict::Ok),
        "{well:?}"
    );
    let names: Vec<&str> = well.iter().map(|hop| hop.what).collect();
    let all = [
        "link",
        "bulk",
        "clock",
        "disk",
        "engine",
        "engine disk",
        "versions",
    ];
    assert_eq!(names, all);
    assert_eq!(
        of(&well, "link").1,
        "connected for 1m00s, round trip 1.3 ms"
    );
}

#[test]
fn a_node_that_is_away_or_stands_still_is_told_as_that_and_as_no_more() {
    let cases = [
        (
            NodeState::Joining,
            Answer::Away,
            Verdict::Warn,
            "has never connected",
        ),
        (
            NodeState::Unreachable,
            Answer::Away,
            Verdict::Bad,
            "no connection for 1m00s",
        ),
        (
            NodeState::Lost,
            Answer::Away,
            Verdict::Bad,
            "its tasks were given up",
        ),
        (
            NodeState::Ready,
            Answer::Silent {
                limit: Duration::from_secs(2),
                quiet: Some(Duration::from_secs(17)),
            },
            Verdict::Bad,
            "does not answer within 2.0 s; silent for 17s",
        ),
    ];
    for (state, answer, verdict, words) in cases {
        let hops = hops(&examined(state, answer), Sight::All);
        let (found, seen) = of(&hops, "link");
        assert!(found == verdict && seen.contains(words), "{seen}");
        assert_eq!(hops.len(), 1, "{hops:?}");
    }
}

#[test]
fn clocks_differ_beyond_two_seconds_and_what_cannot_be_measured() {
    let clock = |off_ms, round_trip| {
        let answer = Answer::Whole {
            round_trip: Duration::from_millis(round_trip),
            off_ms,
            health: Box::new(health()),
        };
        of(
            &hops(&examined(NodeState::Ready, answer), Sight::All),
            "clock",
        )
    };
    assert_eq!(clock(1_900, 2).0, Verdict::Ok);
    assert_eq!(
        clock(-3_200, 2),
        (Verdict::Warn, "3.2 s behind the gateway's".into())
    );
    assert_eq!(
        clock(2_100, 400).0,
        Verdict::Ok,
        "the way there may have taken as long"
    );
    assert_eq!(clock(i64::MIN, 2).0, Verdict::Warn);
}

#[test]
fn disks_are_bad_before_they_are_full() {
    let state = |change: fn(&mut Room)| {
        with(
            |health| {
                let mut room = room();
                change(&mut room);
                health.state = Some(room);
            },
            "disk",
        )
    };
    assert_eq!(state(|room| room.free = 1 << 30).0, Verdict::Ok);
    assert_eq!(state(|room| room.free = 999 << 20).0, Verdict::Warn);
    assert_eq!(state(|room| room.free = 99 << 20).0, Verdict::Bad);
    assert_eq!(state(|room| room.files_free = Some(0)).0, Verdict::Bad);
    assert_eq!(state(|room| room.files_free = Some(99)).0, Verdict::Warn);
    assert_eq!(state(|room| room.files_free = None).0, Verdict::Ok);
    let (verdict, seen) = state(|room| room.read_only = true);
    assert!(
        verdict == Verdict::Bad && seen.ends_with("read-only"),
        "{seen}"
    );
    let gone = with(|health| health.state = None, "disk");
    assert_eq!(gone, (Verdict::Bad, "the disk does not answer".into()));
}

#[test]
fn an_engine_that_is_down_is_bad_and_other_versions_are_to_look_after() {
    let down = |health: &mut Health| {
        let error = "docker: no such file".to_owned();
        health.engine = EngineSeen::Down { error };
    };
    let (verdict, seen) = with(down, "engine");
    assert_eq!(
        (verdict, seen.as_str()),
        (Verdict::Bad, "docker is down: docker: no such file")
    );
    let older = with(|health| health.runner_version = "0.0.9".into(), "versions");
    assert_eq!(
        older,
        (
            Verdict::Warn,
            "runner 0.0.9, guest 0.1.0, gateway 0.1.0".into()
        )
    );
    let broken = with(|health| health.guest_version = None, "versions");
    assert_eq!(broken.0, Verdict::Bad);
}

#[test]
fn a_runner_too_old_to_be_asked_has_a_link_and_is_told_as_old() {
    let round_trip = Duration::from_millis(2);
    let old = hops(
        &examined(NodeState::Ready, Answer::Old { round_trip }),
        Sight::All,
    );
    assert_eq!(of(&old, "link").0, Verdict::Ok);
    let (verdict, seen) = of(&old, "versions");
    assert!(
        verdict == Verdict::Warn && seen.contains("river-runner 0.0.9 is too old"),
        "{seen}"
    );
}

#[test]
fn half_an_answer_is_told_with_what_it_held() {
    let answer = Answer::Half {
        round_trip: Duration::from_millis(2),
        off_ms: Some(-60_000),
        why: "it took too long".into(),
    };
    let half = hops(&examined(NodeState::Ready, answer), Sight::All);
    assert_eq!(of(&half, "clock").0, Verdict::Warn);
    assert_eq!(of(&half, "runner").0, Verdict::Bad);
}

#[test]
fn data_needs_a_connection() {
    let bulk = |carriers| {
        let node = Examined {
            carriers,
            ..examined(NodeState::Ready, whole(0, health()))
        };
        of(&hops(&node, Sight::All), "bulk").0
    };
    assert_eq!(bulk((0, 0)), Verdict::Bad);
    assert_eq!(bulk((2, 0)), Verdict::Bad);
    assert_eq!(bulk((2, 1)), Verdict::Warn);
    assert_eq!(bulk((2, 2)), Verdict::Ok);
}

#[test]
fn a_node_is_not_listened_to_for_ever() {
    let error = "x".repeat(60_000);
    let (_, seen) = with(
        |health| health.engine = EngineSeen::Down { error },
        "engine",
    );
    assert_eq!(seen.chars().count(), 300);
}

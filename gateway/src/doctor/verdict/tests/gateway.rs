//! The gateway, and who may see how much.

use std::time::Duration;

use cluster::{NodeState, Timestamp};
use keys::Role;
use shell::reply::{Unknown, Verdict};

use super::super::gateway::{self, Own, You};
use super::super::node::Answer;
use super::super::{Sight, node};
use super::{NOW, examined, health, of, room, whole};
use crate::vitals::{DoorSeen, Trouble};

fn own() -> Own {
    Own {
        version: "0.1.0".into(),
        up: Duration::from_secs(3_600),
        epoch: 7,
        store: 4 << 20,
        room: Some(room()),
        trouble: None,
        door: DoorSeen::default(),
    }
}

#[test]
fn a_gateway_that_cannot_write_or_has_a_crowd_at_its_door_says_so() {
    let hops = |own: &Own| gateway::own(own, Sight::All, NOW);
    let well = hops(&own());
    assert!(
        well.iter().all(|hop| hop.verdict == Verdict::Ok),
        "{well:?}"
    );
    let full = Own {
        trouble: Some(Trouble {
            since: Timestamp(940_000),
            why: "the disk is full".into(),
        }),
        ..own()
    };
    let (verdict, seen) = of(&hops(&full), "store");
    assert!(
        verdict == Verdict::Bad && seen.contains("for 1m00s: the disk is full"),
        "{seen}"
    );
    let mut crowd = own();
    crowd.door.waiting = 9;
    assert_eq!(of(&hops(&crowd), "door").0, Verdict::Warn);
}

#[test]
fn what_is_yours_on_a_node_that_is_away_is_told_to_you() {
    let away = |number: usize| {
        (
            format!("task-{number}"),
            "n1".parse().unwrap(),
            Timestamp(940_000),
        )
    };
    let you = You {
        account: "bob".parse().unwrap(),
        role: Role::User,
        running: 9,
        boxes: 1,
        waiting: 1,
        away: (0..9).map(away).collect(),
    };
    let hops = gateway::you(&you, NOW);
    assert_eq!(hops[0].seen, "user; yours: 9 running, 1 waiting; 1 box");
    assert_eq!(
        hops[1].seen,
        "task-0 is on n1, which has had no link for 1m00s"
    );
    assert_eq!(hops.len(), 7);
    assert!(hops[6].seen.starts_with("4 more"), "{:?}", hops[6]);
}

#[test]
fn a_clock_that_all_nodes_are_against_is_the_gateways() {
    let node = |off_ms| examined(NodeState::Ready, whole(off_ms, health()));
    let wrong = gateway::clock(&[node(9_000), node(8_900)]).unwrap();
    assert_eq!(
        (wrong.place.as_str(), wrong.verdict),
        ("gateway", Verdict::Warn)
    );
    let away = examined(NodeState::Lost, Answer::Away);
    assert_eq!(
        gateway::clock(&[node(9_000), away]),
        None,
        "one is no proof"
    );
    assert_eq!(gateway::clock(&[node(9_000), node(-9_000)]), None);
    assert_eq!(gateway::clock(&[node(9_000), node(9_000), node(5)]), None);
}

#[test]
fn who_is_no_operator_sees_no_disks_no_door_and_nothing_unknown() {
    let mut known = examined(NodeState::Ready, whole(0, health()));
    let attempt = "17.1".parse().unwrap();
    known.row.unknown = vec![Unknown {
        attempt,
        phase: "running",
        ending: false,
    }];
    let names = |sight| {
        node::hops(&known, "0.1.0", sight, NOW)
            .iter()
            .map(|hop| hop.what)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(Sight::Own),
        ["link", "bulk", "clock", "engine", "versions"]
    );
    assert!(names(Sight::All).contains(&"unknown"));
    let own = own();
    let names = |sight| {
        gateway::own(&own, sight, NOW)
            .iter()
            .map(|hop| hop.what)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(Sight::Own), ["version"]);
    assert_eq!(names(Sight::All), ["version", "store", "disk", "door"]);
}

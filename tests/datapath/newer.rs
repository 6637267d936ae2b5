//! A runner and a gateway that is newer: the door says what only a later version would.

use std::sync::{Arc, RwLock};

use cluster::{EngineKind, NodeFacts, Observation, Phase};
use keys::Role;
use runner::agent::{Agent, Dialer, dial_for_ever};
use runner::engine::process::Process;
use runner::guest::Guests;
use runner::journal::Seen;
use runner::start::Starter;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tunnel::ssh::{DialConfig, Frames, LinkConnection};
use tunnel::wire::examine::{Question, Told};
use tunnel::wire::{ChannelName, FromRunner, OLDEST, PROTOCOL, SUBSYSTEM_CONTROL};

use crate::door::{Door, Event, new_key};
use crate::in_time;
use crate::link::certificate;

/// A runner as its program puts it together, in a folder of its own.
async fn runner(door: &Door) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Process::new(dir.path().join("a"), 0));
    let (events, receiver) = mpsc::channel(64);
    let (from_guests, _) = mpsc::channel(64);
    let starter = Arc::new(Starter {
        guests: Guests::new(from_guests, Arc::clone(&engine) as _),
        engine,
        link: Arc::new(RwLock::new(None)),
        guest: "/bin/true".into(),
        output_cap: 1 << 20,
        grace_ms: 1000,
        keep_stops: 0,
        turns: runner::turns::Turns::default(),
    });
    let (observations, newest) = watch::channel(None);
    let agent = Agent::adopt(dir.path(), "boot", starter, events.clone(), observations);
    tokio::spawn(agent.await.unwrap().run(receiver));
    let key = new_key();
    let dialer = Dialer {
        config: DialConfig {
            gateway: door.address.to_string(),
            host_pins: vec![door.pin.clone()],
            certificate: Some(certificate(&key, "node")),
            key,
            bulk: 1,
            instance: 7,
        },
        facts: NodeFacts {
            cores: vec![0],
            memory: 1 << 30,
            engine: EngineKind::Process,
            engine_version: String::new(),
            open_to: Role::User,
            kernel: String::new(),
            arch: String::new(),
            runner_version: "0.1.0".to_owned(),
            machine_id: "m".to_owned(),
            boot_id: "boot".to_owned(),
        },
        seen: Seen::default(),
    };
    tokio::spawn(dial_for_ever(dialer, events, newest));
    dir
}

/// Its control connection, after the hello.
async fn greeted(door: &mut Door) -> Frames {
    loop {
        let (name, stream) = door.subsystem().await;
        if name != SUBSYSTEM_CONTROL {
            // A bulk connection lives as long as its marker.
            tokio::spawn(async move {
                let mut marker = stream;
                marker.next().await
            });
            continue;
        }
        let mut frames = Frames::new(stream);
        let hello = frames.recv::<FromRunner>().await.unwrap();
        let Some(FromRunner::Hello(hello)) = hello else {
            panic!("{hello:?}");
        };
        assert_eq!((hello.protocol, hello.newest), (OLDEST, PROTOCOL));
        return frames;
    }
}

/// As a gateway two versions from now would greet.
fn welcome(oldest: u32) -> Value {
    json!({"welcome": {
        "protocol": oldest, "newest": PROTOCOL + 2, "node": "n1", "epoch": 1, "gateway_version": "9.0.0",
        "motto": "festina lente",
    }})
}

/// Of what the runner observes, the first of which this holds.
async fn observed(frames: &mut Frames, holds: impl Fn(&Observation) -> bool) -> Observation {
    in_time(async {
        loop {
            match frames.recv::<FromRunner>().await.unwrap().unwrap() {
                FromRunner::Observed(seen) if holds(&seen) => return seen,
                FromRunner::Observed(_) | FromRunner::Pong | FromRunner::Hello(_) => {}
            }
        }
    })
    .await
}

#[tokio::test]
async fn what_only_a_newer_gateway_says_costs_neither_the_link_nor_the_rest() {
    let mut door = Door::open();
    let _runner = runner(&door).await;
    let mut frames = greeted(&mut door).await;
    frames.send(&welcome(PROTOCOL)).await.unwrap();
    frames.send(&json!({"dance": {"steps": 3}})).await.unwrap();
    frames.send(&json!("curtsy")).await.unwrap();
    let attempt = json!({"task": 5, "number": 1});
    let strange = |wanted: &str| {
        let one = json!({"attempt": attempt, "owner": "alice", "wanted": wanted, "spec": {"image": "hologram"}});
        json!({"assignments": {"epoch": 1, "version": if wanted == "drop" { 2 } else { 1 }, "list": [one]}})
    };
    frames.send(&strange("run")).await.unwrap();
    let seen = observed(&mut frames, |seen| seen.version == 1).await;
    let [report] = &seen.attempts[..] else {
        panic!("{seen:?}");
    };
    let said = format!("{:?}", report.phase);
    assert!(
        matches!(report.phase, Phase::Ended { .. }) && said.contains("upgrade it"),
        "{said}"
    );
    // Its result is known; the node forgets it.
    frames.send(&strange("drop")).await.unwrap();
    let seen = observed(&mut frames, |seen| seen.version == 2).await;
    assert!(seen.attempts.is_empty(), "{seen:?}");
    frames.send(&"ping").await.unwrap();
    assert_eq!(frames.recv().await.unwrap(), Some(FromRunner::Pong));
}

#[tokio::test]
async fn a_gateway_too_far_ahead_is_left_again() {
    let mut door = Door::open();
    let _runner = runner(&door).await;
    let mut frames = greeted(&mut door).await;
    frames.send(&welcome(PROTOCOL + 1)).await.unwrap();
    // Not a word of what the node has: the runner hangs up.
    let end = in_time(frames.recv::<FromRunner>()).await;
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
}

/// Its control connection after the hello, and a connection that streams can be opened on.
async fn greeted_with_link(door: &mut Door) -> (Frames, LinkConnection) {
    let (mut control, mut link) = (None, None);
    loop {
        match door.events.recv().await.unwrap() {
            Event::Link(one) => drop(link.replace(one)),
            Event::Subsystem(name, stream) if name == SUBSYSTEM_CONTROL => {
                let mut frames = Frames::new(stream);
                frames.recv::<FromRunner>().await.unwrap();
                control = Some(frames);
            }
            Event::Subsystem(_, mut marker) => {
                tokio::spawn(async move { marker.next().await });
            }
            Event::Opened(..) | Event::Held(..) => {}
        }
        if let (Some(_), Some(_)) = (&control, &link) {
            return (control.unwrap(), link.unwrap());
        }
    }
}

#[tokio::test]
async fn a_question_that_only_a_newer_gateway_asks_is_answered_in_words() {
    let mut door = Door::open();
    let _runner = runner(&door).await;
    let (mut frames, link) = in_time(greeted_with_link(&mut door)).await;
    frames.send(&welcome(PROTOCOL)).await.unwrap();
    let opened = in_time(link.open(ChannelName::Examine)).await.unwrap();
    let mut asked = Frames::hostile(opened);
    asked.send(&json!({"mood": {"of": "today"}})).await.unwrap();
    let told = in_time(asked.recv::<Told>()).await.unwrap();
    let Some(Told::Failed(words)) = told else {
        panic!("{told:?}");
    };
    assert!(
        words.contains("does not know this question: upgrade it"),
        "{words}"
    );
    // The next one is answered as ever.
    asked.send(&Question::Clock).await.unwrap();
    let told = in_time(asked.recv::<Told>()).await.unwrap();
    assert!(matches!(told, Some(Told::Clock(_))), "{told:?}");
    asked.send(&Question::Health).await.unwrap();
    let told = in_time(asked.recv::<Told>()).await.unwrap();
    assert!(matches!(told, Some(Told::Health(_))), "{told:?}");
}

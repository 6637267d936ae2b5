//! How tasks end: by themselves, in every way at once; for want of memory; and cancelled at any moment.

use std::time::Duration;

use harness::Person;
use harness::wait::until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::disk::ended;
use super::net::submit;
use super::runners::PLACES;
use super::{Play, pause, with};
use crate::cluster::{Cluster, PORT};
use crate::ledger::{Job, Ledger, statuses};
use crate::node::Engine;

const BOTH: [Engine; 2] = [Engine::Docker, Engine::Process];

/// What a shell is told, and the state and the code that must come of it.
const ENDS: [(&str, &str, u64); 13] = [
    ("exit 0", "completed", 0),
    ("exit 3", "failed", 3),
    ("exit 255", "failed", 255),
    ("kill -SEGV $$", "failed", 139),
    ("kill -TERM $$", "failed", 143),
    // Ended by its own kill -9, which is not river's.
    ("kill -9 $$", "failed", 137),
    // What it leaves behind goes with it.
    ("(sleep 300 & ) ; exit 5", "failed", 5),
    ("(exit 4) & exec sleep 0.1", "completed", 0),
    // Twice away from whoever began it, in a session of its own, and deaf to a hangup.
    (
        "(setsid sh -c \"trap : HUP TERM; sleep 300; sleep 300\" > /dev/null 2>&1 &) ; exit 8",
        "failed",
        8,
    ),
    // Children that end and are never asked how.
    (
        "for i in 1 2 3 4 5; do (exit $i) & done; exec sleep 0.1",
        "completed",
        0,
    ),
    // Of a code the last eight bits.
    ("exit 256", "completed", 0),
    ("exit 300", "failed", 44),
    ("trap \"exit 6\" TERM; kill -TERM $$; exit 7", "failed", 6),
];

fn backend(engine: Engine) -> &'static str {
    match engine {
        Engine::Docker => "--backend docker",
        Engine::Process => "--backend process",
    }
}

fn id(said: &str) -> u64 {
    said.trim()
        .parse()
        .unwrap_or_else(|_| panic!("no id in {said:?}"))
}

/// Until all of them are over.
fn over(cluster: &Cluster, ids: &[u64]) -> Vec<Value> {
    let mut ended = Vec::new();
    for some in ids.chunks(500) {
        harness::wait::until_within("they are over", Duration::from_secs(600), || {
            let seen = statuses(cluster, some);
            let all = seen.len() == some.len();
            let done = all && seen.iter().all(|(_, task)| task["ended"].is_string());
            if done {
                ended.extend(seen.into_iter().map(|(_, task)| task));
            }
            done
        });
    }
    ended
}

/// Each kind of end, many at once, on both engines; half of them looked at while they end.
pub(super) fn races(play: Play) -> String {
    with(&BOTH, "", |cluster, ledger| {
        let rounds = if play.small { 2 } else { 60 };
        let mut wanted = Vec::new();
        for _ in 0..rounds {
            for engine in BOTH {
                for (line, state, code) in ENDS {
                    let options = format!("-c 0 {}", backend(engine));
                    let said =
                        cluster.river(&format!("task submit -q {options} -- sh -c '{line}'"));
                    wanted.push((id(&said.good()), line, state, code));
                }
                // Attached from its begin.
                let line = format!("task run -q -c 0 {} -- sh -c 'exit 9'", backend(engine));
                assert_eq!(cluster.river(&line).code, 9);
            }
        }
        let ids: Vec<u64> = wanted.iter().map(|(id, ..)| *id).collect();
        for (task, (id, line, state, code)) in over(cluster, &ids).iter().zip(&wanted) {
            assert_eq!(task["id"].as_u64(), Some(*id));
            let said = (task["state"].as_str().unwrap(), task["code"].as_u64());
            assert_eq!(said, (*state, Some(*code)), "`{line}`: {task}");
        }
        let count = wanted.len() + rounds * 2;
        format!(
            "{count} ends, each with its code; {}",
            ledger.check(cluster)
        )
    })
}

/// Out of memory: the program itself, and a child of it alone.
pub(super) fn memory(_: Play) -> String {
    with(&[Engine::Docker], "", |cluster, ledger| {
        let ask = |line: &str| {
            let said = cluster.river(&format!("task submit -q -c 0 -m 64M -- {line}"));
            id(&said.good())
        };
        // tail(1) keeps what has no end of line.
        let main = ask("tail /dev/zero");
        let child = ask("sh -c 'tail /dev/zero; echo the child ended with $?; exit 0'");
        let seen = over(cluster, &[main, child]);
        let state = |task: &Value| {
            (
                task["state"].as_str().unwrap().to_owned(),
                task["code"].as_u64(),
            )
        };
        assert_eq!(
            state(&seen[0]),
            ("killed_oom".to_owned(), Some(137)),
            "{}",
            seen[0]
        );
        let why = seen[0]["reason"].as_str().unwrap_or_default();
        assert!(why.contains("limit of 64 MiB"), "{}", seen[0]);
        assert_eq!(
            state(&seen[1]),
            ("completed".to_owned(), Some(0)),
            "{}",
            seen[1]
        );
        let told = cluster.river(&format!("task logs {child}")).text();
        assert_eq!(told, "the child ended with 137\n");
        format!(
            "main: killed_oom 137; child alone: completed 0; {}",
            ledger.check(cluster)
        )
    })
}

/// Two admins, twice each, at any moment of a task's life.
pub(super) fn cancelled(play: Play) -> String {
    with(&BOTH, "", |cluster, ledger| {
        let code = cluster
            .river("auth invite -q --role admin --name bob")
            .good();
        let bob = Person::new(cluster.base(), PORT, "bob");
        bob.ssh_as(&format!("invite-{}", code.trim()), "").good();
        let mut rng = StdRng::seed_from_u64(play.seed);
        let job = Job {
            lines: 20,
            seconds: 0.3,
        };
        let rounds = if play.small { 10 } else { 150 };
        for _ in 0..rounds {
            let ids = submit(cluster, ledger, "-c 0", job, 1);
            pause(rng.random_range(0..700));
            ledger.killed.extend(&ids);
            for id in ids {
                cancel(cluster, &bob, id);
            }
        }
        let passed = at_places(play, cluster, ledger, &bob);
        let checked = ledger.check(cluster);
        let killed = statuses(cluster, &ledger.acks.keys().copied().collect::<Vec<_>>());
        let killed = killed.iter().filter(|(_, task)| task["state"] == "killed");
        let (killed, all) = (killed.count(), ledger.acks.len());
        assert!(killed > 0, "none was killed");
        format!("{killed} of {all} killed, the others had ended; {passed}; {checked}")
    })
}

/// While a runner is away that fell at each of its places, and comes back to what was said meanwhile.
fn at_places(play: Play, cluster: &mut Cluster, ledger: &mut Ledger, bob: &Person) -> String {
    let places = if play.small { &["P10"][..] } else { &PLACES };
    let mut struck = 0;
    for place in places {
        for node in &mut cluster.nodes {
            node.kill_runner();
            node.fault = (*place).to_owned();
            node.start_runner();
        }
        cluster.until_ready();
        let ids = submit(cluster, ledger, "-c 0", Job::SHORT, 1);
        ledger.killed.extend(&ids);
        until("each falls, or its task is over", || {
            // Of each kind of node one, in this order.
            (0..BOTH.len())
                .all(|node| cluster.nodes[node].runner_ended() || ended(cluster, &ids[node..=node]))
        });
        for id in ids {
            cancel(cluster, bob, id);
        }
        // Some fall when their task is over already; and the next place is not for what is left of this one.
        until("they are back, and nothing is left", || {
            for node in &mut cluster.nodes {
                if node.runner_ended() {
                    struck += 1;
                    node.start_runner();
                }
            }
            let left = cluster.nodes.iter().any(|node| node.attempts() > 0);
            !left && cluster.is_ready()
        });
    }
    for node in &mut cluster.nodes {
        node.kill_runner();
        node.start_runner();
    }
    cluster.until_ready();
    assert!(
        struck >= places.len(),
        "{struck} runners fell at {places:?}"
    );
    format!(
        "{struck} while a runner was away that fell at {}",
        places.join(" ")
    )
}

fn cancel(cluster: &Cluster, bob: &Person, id: u64) {
    let line = format!("task kill {id}");
    std::thread::scope(|scope| {
        for who in [&cluster.admin, bob] {
            let line = &line;
            scope.spawn(move || {
                for _ in 0..2 {
                    let run = who.ssh(line);
                    let late = run.stderr.contains("has ended");
                    assert!(run.code == 0 || late, "{}: {}", run.code, run.stderr);
                }
            });
        }
    });
}

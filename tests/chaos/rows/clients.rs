//! Clients that vanish in the middle of what they say.

use harness::wait::until;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use super::{Play, with};
use crate::cluster::{Cluster, PORT};
use crate::ledger::{Job, Ledger};
use crate::node::Engine;
use crate::proxy::{Mishap, Proxy};

/// Of an upload on standard input.
const UPLOAD: usize = 100_000;
/// Bytes that a client sends up to its exit code, about; cuts are made all along it, and beyond.
const TALK: usize = 5000;

/// Cut at byte k of what the client sends; then asked again with the same key: one task, all of its input.
pub(super) fn cut(play: Play) -> String {
    with(&[Engine::Process], "", |cluster, ledger| {
        let proxy = Proxy::start(PORT);
        let mut rng = StdRng::seed_from_u64(play.seed);
        let rounds = if play.small { 12 } else { 200 };
        let mut tally = Tally::default();
        proxy.arm(Mishap::Cut(0));
        submit(cluster, ledger, proxy.port, rounds, &mut tally);
        assert_eq!(proxy.struck(), 1, "not one byte");
        waits(cluster, ledger);
        for round in 0..rounds {
            proxy.arm(Mishap::Cut(rng.random_range(0..TALK)));
            submit(cluster, ledger, proxy.port, round, &mut tally);
            proxy.arm(Mishap::Cut(rng.random_range(0..TALK + UPLOAD)));
            upload(cluster, proxy.port, round, &mut tally);
        }
        assert!(proxy.struck() > 0, "nothing was ever cut");
        format!(
            "{} cuts; {} heard at once, {} asked again; {}",
            proxy.struck(),
            tally.heard,
            tally.again,
            ledger.check(cluster)
        )
    })
}

#[derive(Default)]
struct Tally {
    heard: usize,
    again: usize,
}

/// The id that it came to, after one more try if the first was not heard.
fn twice(cluster: &Cluster, port: u16, line: &str, input: &[u8], tally: &mut Tally) -> String {
    let port = port.to_string();
    let first = cluster.admin.run_with(&["-T", "-p", &port], line, input);
    if first.code == 0 {
        tally.heard += 1;
    } else {
        tally.again += 1;
    }
    let again = id(&cluster.admin.run_with(&["-T"], line, input).good());
    if first.code == 0 {
        assert_eq!(id(&first.text()), again, "one key is one task");
    }
    again
}

fn id(said: &str) -> String {
    said.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn submit(cluster: &Cluster, ledger: &mut Ledger, port: u16, round: usize, tally: &mut Tally) {
    let words = Job::SHORT.words(&cluster.starts(), Engine::Process);
    let line = format!("task submit -c 0 --key submit-{round} {words}");
    let id = twice(cluster, port, &line, b"", tally);
    ledger.acknowledge(&id, Job::SHORT);
}

/// Whoever waits for a task is gone: the task goes on.
fn waits(cluster: &Cluster, ledger: &mut Ledger) {
    let job = Job {
        lines: 20,
        seconds: 3.0,
    };
    let words = job.words(&cluster.starts(), Engine::Process);
    let line =
        |options: &str| format!("task submit -c 0 --name waits --key waits {options} {words}");
    let mut client = cluster.admin.start(&["-T"], &line("--wait"));
    let mut found = None;
    until("it runs", || {
        let status = cluster.river("task status --json waits").text();
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let task = &status["tasks"][0];
        found = task["id"].as_u64();
        task["state"] == "running"
    });
    client.kill().unwrap();
    client.wait().unwrap();
    let again = ledger.acknowledge(&cluster.river(&line("")).good(), job);
    assert_eq!(Some(again), found, "one key is one task");
}

/// A task that got half of its input would say so.
fn upload(cluster: &Cluster, port: u16, round: usize, tally: &mut Tally) {
    let line =
        format!("task submit -q -c 0 --key upload-{round} --stdin --backend process -- wc -c");
    let id = twice(cluster, port, &line, &[b'x'; UPLOAD], tally);
    assert_eq!(cluster.river(&format!("task wait {id}")).code, 0);
    let logs = cluster.river(&format!("task logs {id}")).good();
    assert_eq!(logs.trim(), UPLOAD.to_string(), "{id}: half an input");
}

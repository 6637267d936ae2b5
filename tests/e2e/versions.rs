//! Runners of other versions at this gateway: worked with, or refused by name.

use std::time::Duration;

use harness::wait::until;
use harness::{Engine, River};
use serde_json::{Value, json};
use tunnel::ssh::{DialConfig, RunnerLink, dial};
use tunnel::wire::{PROTOCOL, ToRunner};

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, work)
        .await
        .expect("it hangs")
}

/// In place of the runner, with its certificate.
fn instead(river: &mut River) -> DialConfig {
    river.kill_runner();
    let gateway = format!("127.0.0.1:{}", river.port);
    runner::identity::load(&gateway, &river.dir.path().join("r")).unwrap()
}

/// A hello as of another version; `facts` go over what every version says.
fn hello(river: &River, instance: u64, (oldest, newest): (u32, u32), facts: Value) -> Value {
    let mut all = json!({
        "cores": [0, 1], "memory": 1u64 << 30, "engine": "docker", "engine_version": "", "open_to": "user", "kernel": "",
        "arch": "", "runner_version": "7.0.0", "machine_id": format!("test-{}", river.port), "boot_id": "",
    });
    let (known, more) = (
        all.as_object_mut().unwrap(),
        facts.as_object().unwrap().clone(),
    );
    known.extend(more);
    let mut hello = json!({
        "protocol": oldest, "facts": all, "highest_epoch": 0, "highest_task": 0, "instance": instance,
    });
    if newest > 0 {
        hello["newest"] = newest.into();
    }
    json!({ "hello": hello })
}

async fn said(link: &RunnerLink) -> ToRunner {
    in_time(link.recv()).await.unwrap().unwrap()
}

/// The newest list, once it holds so many attempts.
async fn assigned(link: &RunnerLink, count: usize) -> cluster::Assignments {
    loop {
        if let ToRunner::Assignments(list) = said(link).await
            && list.list.len() == count
        {
            return list;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_runner_is_worked_with_as_far_as_it_is_understood() {
    let mut river = River::start(Engine::Process, 2);
    let config = instead(&mut river);
    let link = in_time(dial(&config)).await.unwrap();
    let facts = json!({"gpus": [{"model": "Z9"}], "moods": ["calm"]});
    let greeting = hello(&river, config.instance, (PROTOCOL, PROTOCOL + 1), facts);
    link.send(&greeting).await.unwrap();
    assert!(matches!(said(&link).await, ToRunner::Welcome(_)));
    link.send(&json!({"sang": {"verses": 3}})).await.unwrap();
    let observed = |version: u64, attempts: Value| json!({"observed": {"version": version, "attempts": attempts, "engine": "up", "strangers": [], "mood": "calm"}});
    link.send(&observed(0, json!([]))).await.unwrap();
    let ready = || river.admin.ssh("node list").text().contains("ready");
    until("its node is ready", ready);
    for _ in 0..2 {
        river.admin.ssh("task submit -- true").good();
    }
    let list = assigned(&link, 2).await;
    let [first, second] = [0, 1].map(|at| json!(list.list[at].attempt));
    let ended = |code: u8| {
        json!({"phase": "ended", "started": 1, "ended": 2, "end": {"how": "exited", "code": code},
               "output": {"stdout": 0, "stderr": 0}})
    };
    // One report is not understood: the other counts, and that task stands as it did.
    let dreams = json!([
        {"attempt": first, "phase": {"phase": "dreaming", "of": "sheep"}}, {"attempt": second, "phase": ended(5)},
    ]);
    link.send(&observed(list.version, dreams)).await.unwrap();
    assert_eq!(river.admin.ssh("task wait 2").code, 5);
    let one = river.admin.ssh("task status 1").good();
    assert!(one.contains("assigning"), "{one}");
    // Understood again, it ends as its node says.
    let plain = json!([{"attempt": first, "phase": ended(6)}]);
    link.send(&observed(list.version, plain)).await.unwrap();
    assert_eq!(river.admin.ssh("task wait 1").code, 6);
    assert!(ready(), "the link was kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_runner_gets_nothing_that_it_would_do_half() {
    let mut river = River::start(Engine::Docker, 2);
    let config = instead(&mut river);
    let link = in_time(dial(&config)).await.unwrap();
    // As the first version greeted: one number.
    let facts = json!({"runner_version": "0.0.9"});
    link.send(&hello(&river, config.instance, (1, 0), facts))
        .await
        .unwrap();
    assert!(matches!(said(&link).await, ToRunner::Welcome(_)));
    let nothing =
        json!({"observed": {"version": 0, "attempts": [], "engine": "up", "strangers": []}});
    link.send(&nothing).await.unwrap();
    let ready = || river.admin.ssh("node list").text().contains("ready");
    until("its node is ready", ready);
    river
        .admin
        .ssh("vps create --read-only --name sealed")
        .good();
    river.admin.ssh("vps create --name plain").good();
    let list = assigned(&link, 1).await;
    assert_eq!(list.list[0].attempt.task, cluster::TaskId(2));
    let why = river.admin.ssh("task why 1").good();
    assert!(
        why.contains("its river-runner 0.0.9 is too old for this"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_too_far_away_is_refused_by_name_on_both_sides() {
    let mut river = River::start(Engine::Process, 2);
    let config = instead(&mut river);
    let far = PROTOCOL + 1;
    let cases = [
        (far, far + 1, json!({}), "upgrade the gateway"),
        (
            0,
            0,
            json!({"runner_version": "0.0.1"}),
            "upgrade the runner",
        ),
        (
            PROTOCOL,
            far,
            json!({"engine": "steam"}),
            "does not understand",
        ),
    ];
    for (oldest, newest, facts, words) in cases {
        let link = in_time(dial(&config)).await.unwrap();
        let greeting = hello(&river, config.instance, (oldest, newest), facts);
        link.send(&greeting).await.unwrap();
        let ToRunner::Refused(why) = said(&link).await else {
            panic!("{greeting} was welcome")
        };
        let version = if oldest == 0 { "0.0.1" } else { "7.0.0" };
        let named =
            why.contains(&format!("river-runner {version}")) && why.contains("river-gateway");
        assert!(named && why.contains(words), "{why}");
        in_time(link.closed()).await;
        let log = river.admin.ssh("audit --json").good();
        assert!(log.contains(words), "{log}");
    }
    river.start_runner();
    assert_eq!(river.admin.ssh("task run -- echo on").good(), "on\n");
}

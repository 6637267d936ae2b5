//! Two machines with one certificate, and nodes that are nodes no more.

use std::io::ErrorKind;
use std::time::Duration;

use cluster::{EngineKind, NodeFacts, TaskId};
use harness::{Engine, River};
use keys::Role;
use tunnel::ssh::{DialConfig, RunnerLink, dial};
use tunnel::wire::{ChannelName, FromRunner, Hello, OLDEST, PROTOCOL, ToRunner};

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, work)
        .await
        .expect("it hangs")
}

/// What a copy of the runner's folder is good for: a new start of the same node.
fn copy(river: &River) -> DialConfig {
    let gateway = format!("127.0.0.1:{}", river.port);
    runner::identity::load(&gateway, &river.dir.path().join("r")).unwrap()
}

async fn greet(river: &River, link: &RunnerLink, instance: u64) -> Option<ToRunner> {
    let hello = Hello {
        protocol: OLDEST,
        newest: PROTOCOL,
        facts: NodeFacts {
            cores: vec![0],
            memory: 1 << 30,
            engine: EngineKind::Process,
            engine_version: String::new(),
            open_to: Role::User,
            kernel: String::new(),
            arch: String::new(),
            runner_version: String::new(),
            machine_id: format!("test-{}", river.port),
            boot_id: String::new(),
        },
        highest_epoch: 0,
        highest_task: TaskId(0),
        instance,
    };
    link.send(&FromRunner::Hello(Box::new(hello)))
        .await
        .unwrap();
    link.recv().await.unwrap()
}

/// Its bulk connections once stayed, and every second stream of the node went there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clone_gets_no_stream_of_its_node() {
    let river = River::start(Engine::Process, 2);
    let config = copy(&river);
    let clone = in_time(dial(&config)).await.unwrap();
    let run = |number: u32| {
        let run = river.admin.ssh(&format!("task run -- echo {number}"));
        assert_eq!(run.good(), format!("{number}\n"));
    };
    (0..6).for_each(run);
    let none = tokio::time::timeout(Duration::ZERO, clone.incoming()).await;
    assert!(none.is_err(), "a stream of the node went to its clone");
    let spool = ChannelName::Spool { task: TaskId(1) };
    let refused = in_time(clone.open(spool)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let answer = in_time(greet(&river, &clone, config.instance)).await;
    let Some(ToRunner::Refused(why)) = answer else {
        panic!("{answer:?}")
    };
    assert!(why.contains("another runner is connected"), "{why}");
    // Nothing comes any more: every connection has ended.
    assert!(in_time(clone.incoming()).await.is_none());
    (6..9).for_each(run);
}

/// Its bulk connections once outlived it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_loses_all_its_connections() {
    let mut river = River::start(Engine::Process, 2);
    river.kill_runner();
    let config = copy(&river);
    let link = in_time(dial(&config)).await.unwrap();
    let answer = in_time(greet(&river, &link, config.instance)).await;
    assert!(matches!(answer, Some(ToRunner::Welcome(_))), "{answer:?}");
    assert!(in_time(link.recv()).await.is_ok(), "its list");
    river.admin.ssh("node remove n1").good();
    assert!(in_time(link.incoming()).await.is_none());
    let error = in_time(dial(&config)).await.unwrap_err().to_string();
    assert!(error.contains("refuses the login"), "{error}");
}

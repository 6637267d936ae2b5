//! More tasks than room.

use harness::{Engine, River};

#[test]
fn thirty_submits_at_once_on_two_cores_none_refused_never_more_than_two() {
    let river = River::start(Engine::Process, 2);
    let log = river.data.join("log");
    std::fs::write(&log, "").unwrap();
    // The witness is outside of river: tasks say themselves when they begin and end.
    let line = format!(
        "task submit -q -c 1 -- sh -c 'echo + >> {0}; sleep 0.2; echo - >> {0}'",
        log.display()
    );
    let ids: Vec<String> = std::thread::scope(|scope| {
        let begun: Vec<_> = (0..30)
            .map(|_| scope.spawn(|| river.admin.ssh(&line).good()))
            .collect();
        begun
            .into_iter()
            .map(|thread| thread.join().unwrap().trim().to_owned())
            .collect()
    });
    let last = ids
        .iter()
        .max_by_key(|id| id.parse::<u64>().unwrap())
        .unwrap();
    let why = river.admin.ssh(&format!("task why {last}")).good();
    if why.contains("is pending") {
        assert!(why.contains("core") && why.contains("n1"), "{why}");
    }
    for id in &ids {
        assert_eq!(river.admin.ssh(&format!("task wait {id}")).code, 0, "{id}");
    }
    let (mut now, mut most, mut begun) = (0, 0, 0);
    for mark in std::fs::read_to_string(&log).unwrap().lines() {
        now += if mark == "+" { 1 } else { -1 };
        begun += i32::from(mark == "+");
        most = most.max(now);
    }
    assert_eq!((begun, now), (30, 0));
    assert!(most <= 2, "{most} ran at once");
}

#[test]
fn a_waiting_task_says_what_it_waits_for() {
    let river = River::start(Engine::Process, 2);
    let first = river.admin.ssh("task submit -q -c 2 -- sleep 1000").good();
    let second = river.admin.ssh("task submit -q -c 1 -- true").good();
    let why = river
        .admin
        .ssh(&format!("task why {}", second.trim()))
        .good();
    assert!(
        why.contains("waits for room: 1 core wanted, 0 cores free"),
        "{why}"
    );
    let never = river.admin.ssh("task submit -q -c 3 -- true").good();
    let why = river
        .admin
        .ssh(&format!("task why {}", never.trim()))
        .good();
    assert!(
        why.contains("too small: 3 cores wanted, it has 2 cores"),
        "{why}"
    );
    assert_eq!(
        river.admin.ssh(&format!("task kill {}", first.trim())).code,
        0
    );
    assert_eq!(
        river
            .admin
            .ssh(&format!("task wait {}", second.trim()))
            .code,
        0
    );
}

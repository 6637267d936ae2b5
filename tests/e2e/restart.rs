//! `kill -9` of everything, and nothing lost, twice or wrong.

use harness::wait::until;
use harness::{Engine, River};

fn twenty_tasks(engine: Engine) {
    let mut river = River::start(engine, 20);
    let starts = river.data.join("starts");
    std::fs::write(&starts, "").unwrap();
    let mount = match engine {
        Engine::Docker => format!("--mount {0}:{0}", river.data.display()),
        Engine::Process => String::new(),
    };
    let ids: Vec<u64> = (0..20)
        .map(|code| {
            // Each says that it began, writes for about three seconds, and ends with its own code.
            let line = format!(
                "task submit -q {mount} -- sh -c 'echo $RIVER_TASK >> {}; i=0; while [ $i -lt 30 ]; do echo line $i; \
                 sleep 0.1; i=$((i+1)); done; exit {code}'",
                starts.display()
            );
            river.admin.ssh(&line).good().trim().parse().unwrap()
        })
        .collect();
    river.kill_gateway();
    river.start_gateway();
    river.kill_runner();
    river.start_runner();
    river.kill_gateway();
    river.kill_runner();
    river.start_runner_alone();
    river.start_gateway();
    // What has ended by now is still there, and is asked for below.
    until("the node is back", || {
        river.admin.ssh("node list").text().contains("ready")
    });
    let whole: String = (0..30).map(|i| format!("line {i}\n")).collect();
    for (code, id) in (0..).zip(&ids) {
        let waited = river.admin.ssh(&format!("task wait {id}"));
        assert_eq!(waited.code, code, "task {id}: {}", waited.stderr);
        assert_eq!(
            river.admin.ssh(&format!("task logs {id}")).good(),
            whole,
            "task {id}"
        );
    }
    let begun = std::fs::read_to_string(&starts).unwrap();
    let mut begun: Vec<u64> = begun.lines().map(|line| line.parse().unwrap()).collect();
    begun.sort_unstable();
    assert_eq!(begun, ids, "each began once");
    let next: u64 = river
        .admin
        .ssh("task submit -q -- true")
        .good()
        .trim()
        .parse()
        .unwrap();
    assert!(next > *ids.last().unwrap(), "no id is given twice");
}

#[test]
fn twenty_tasks_survive_kill_9_of_gateway_runner_and_both_docker() {
    twenty_tasks(Engine::Docker);
}

#[test]
fn twenty_tasks_survive_kill_9_of_gateway_runner_and_both_process() {
    twenty_tasks(Engine::Process);
}

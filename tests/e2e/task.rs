//! `task run`, `submit`, `logs`, `wait`, `kill`, `pause`.

use harness::wait::until;
use harness::{Engine, River};

fn streams_and_code(engine: Engine) {
    let river = River::start(engine, 2);
    let run = river
        .admin
        .ssh("task run -- sh -c 'echo out; echo err >&2; exit 7'");
    assert_eq!(
        (run.code, run.text().as_str(), run.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    assert_eq!(river.admin.ssh("task run -- sh -c 'kill -9 $$'").code, 137);
    let odd = "task run -- printf '%s|' 'a  b' '' '$HOME' \"it's\" 'x\ny' --help";
    assert_eq!(river.admin.ssh(odd).good(), "a  b||$HOME|it's|x\ny|--help|");
    let env = river
        .admin
        .ssh("task run -e A=1=2 -C /tmp -- sh -c 'echo $A; pwd'")
        .good();
    assert_eq!(env, "1=2\n/tmp\n");
    assert_eq!(
        river
            .admin
            .ssh_with("task run -- wc -c", &[7; 100_000])
            .good()
            .trim(),
        "100000"
    );
    assert_eq!(
        river
            .admin
            .ssh_with("task run --stdin -- cat", b"spooled")
            .good(),
        "spooled"
    );
}

#[test]
fn streams_stay_apart_and_the_code_is_the_tasks_docker() {
    streams_and_code(Engine::Docker);
}

#[test]
fn streams_stay_apart_and_the_code_is_the_tasks_process() {
    streams_and_code(Engine::Process);
}

#[test]
fn a_container_has_no_rights_and_its_limits() {
    let river = River::start(Engine::Docker, 2);
    let line = "task run -m 64M -- sh -c 'grep -E \"NoNewPrivs|Seccomp:|Cpus_allowed_list\" /proc/self/status; id -u'";
    let seen = river.admin.ssh(line).good();
    assert!(
        seen.contains("NoNewPrivs:\t1") && seen.contains("Seccomp:\t2"),
        "{seen}"
    );
    let core = seen
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"))
        .unwrap();
    assert!(core.parse::<u32>().is_ok(), "one core, not {core}");
    // A root command once kept what its guest needs.
    let line = "task run -- sh -c 'id -u; sed -n s/^Cap//p /proc/self/status'";
    let seen = river.admin.ssh(line).good();
    let none = "0\nInh:\t0000000000000000\nPrm:\t0000000000000000\nEff:\t0000000000000000\n";
    assert!(seen.starts_with(none), "{seen}");
    assert!(seen.contains("Amb:\t0000000000000000"), "{seen}");
    let oom = river
        .admin
        .ssh("task run -m 16M -- sh -c 'x=$(head -c 100000000 /dev/zero | tr \"\\0\" x); echo $x'");
    assert_ne!(oom.code, 0, "{}", oom.stderr);
}

#[test]
fn a_task_is_submitted_waited_for_and_read() {
    let river = River::start(Engine::Process, 2);
    let id = river
        .admin
        .ssh("task submit -q --name first -- sh -c 'echo one; echo two; exit 3'")
        .good();
    let id = id.trim();
    assert_eq!(river.admin.ssh(&format!("task wait {id}")).code, 3);
    assert_eq!(river.admin.ssh("task logs first").good(), "one\ntwo\n");
    assert_eq!(river.admin.ssh("task logs -n 1 first").good(), "two\n");
    let followed = river.admin.ssh("task logs -f first");
    assert_eq!((followed.code, followed.text().as_str()), (3, "one\ntwo\n"));
    let status = river.admin.ssh(&format!("task status {id} --json")).good();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["tasks"][0]["state"], "failed");
    assert_eq!(status["tasks"][0]["code"], 3);
    assert_eq!(
        river.admin.ssh("task run --time-limit 1s -- sleep 60").code,
        124
    );
    assert_eq!(
        river.admin.ssh("task submit --wait -- sh -c 'exit 5'").code,
        5
    );
    for line in [
        "task submit --wait --json -- sh -c 'exit 5'",
        &format!("task wait {id} --json"),
    ] {
        let run = river.admin.ssh(line);
        let told: serde_json::Value = serde_json::from_str(&run.text()).unwrap();
        let task = &told["tasks"][0];
        assert_eq!(task["state"], "failed", "the end, and that alone: {told}");
        assert_eq!(task["code"], run.code, "{told}");
    }
    let none = river.admin.ssh("task run -- no-such-program");
    assert_eq!(none.code, 125);
    assert!(none.stderr.contains("no-such-program"), "{}", none.stderr);
    let again = river.admin.ssh("task submit -q --key k1 -- true").good();
    assert_eq!(
        river.admin.ssh("task submit -q --key k1 -- true").good(),
        again
    );
}

fn kill_and_pause(engine: Engine) {
    let river = River::start(engine, 2);
    let state = |id: &str| {
        let text = river.admin.ssh(&format!("task status {id} --json")).good();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["tasks"][0]["state"].as_str().unwrap().to_owned()
    };
    let id = river.admin.ssh("task submit -q -- sleep 1000").good();
    let id = id.trim();
    until("it runs", || state(id) == "running");
    assert_eq!(river.admin.ssh(&format!("task pause {id}")).code, 0);
    until("it is paused", || state(id) == "paused");
    assert_eq!(river.admin.ssh(&format!("task resume {id}")).code, 0);
    until("it runs again", || state(id) == "running");
    assert_eq!(river.admin.ssh(&format!("task kill {id}")).code, 0);
    assert_eq!(river.admin.ssh(&format!("task wait {id}")).code, 137);
    assert_eq!(state(id), "killed");
    let late = river.admin.ssh(&format!("task kill {id}"));
    assert_eq!(late.code, 1, "{}", late.stderr);
}

#[test]
fn a_task_is_paused_and_killed_docker() {
    kill_and_pause(Engine::Docker);
}

#[test]
fn a_task_is_paused_and_killed_process() {
    kill_and_pause(Engine::Process);
}

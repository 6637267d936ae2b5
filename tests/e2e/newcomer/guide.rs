//! `docs/operate.md` by its own lines: install, a node with Docker, the first task, upgrade, drain, removal; and what is
//! left of it on the machines afterwards.

use harness::Machine;
use harness::wait::until;

use super::release::{called, release};
use super::stage::{Node, Outside, Stage, bring};

#[test]
fn the_guide_leads_from_a_package_to_a_first_task_an_upgrade_and_the_end() {
    let mut stage = Stage::new();
    let clean = Outside::of(&stage.gateway);
    stage.install(&release(""));
    let machine = Machine::with_docker();
    let before = Outside::of(&machine);
    let n1 = stage.node(machine, "n1");
    let lines = stage.lines("ssh river node bootstrap n1", &[]);
    let said = stage.type_all(&lines, &n1.machine);
    assert!(said[1].contains("n1"), "{said:?}");
    stage.ready(&n1);
    assert!(!said[2].trim().is_empty(), "{said:?}");
    for line in stage
        .lines("ssh river status", &[])
        .iter()
        .chain(&stage.lines("ssh river doctor", &[])[..1])
    {
        assert!(stage.type_in(line, &n1.machine).text().contains("alice"));
    }
    upgrade(&stage, &n1);
    back(&stage, &n1);
    engine_down(&stage, &n1);
    drain(&stage, &n1);
    remove(&stage, &n1, &before);
    purge(&stage, &clean);
}

fn upgrade(stage: &Stage, n1: &Node) {
    stage.river("vps create --name lab").good();
    stage.says("vps status lab", "running");
    let id = stage.river("task submit -q -- sleep 1000").good();
    stage.says(&format!("task status {id}"), "running");
    bring(&stage.gateway, &called("0.2.0", "newer").deb);
    let lines = stage.lines("dpkg -i river_0.2.0", &[]);
    let said = stage.type_all(&lines[..3], &stage.gateway);
    assert!(
        said[0].contains("systemctl restart river-gateway"),
        "{said:?}"
    );
    stage.listening();
    let said = stage.type_all(&lines[3..], &n1.machine);
    assert!(said[1].contains("runner"), "{said:?}");
    stage.says("node status n1", "ready");
    for of in [format!("task status {id}"), "vps status lab".to_owned()] {
        stage.says(&of, "running");
    }
    stage.gateway.sh("test -s /root/river-before.db").good();
    stage.river(&format!("task kill {id}")).good();
}

/// A runner's programs of the version before.
fn back(stage: &Stage, n1: &Node) {
    let exe = "readlink -f /proc/$(pidof river-runner)/exe";
    let newer = n1.machine.sh(exe).good();
    let folders = n1
        .machine
        .sh("cd /usr/local/lib/river && ls -d */ | tr -d /")
        .good();
    let old = folders.lines().find(|name| !newer.contains(name)).unwrap();
    let line = stage.named("ln -sfn ../lib/river/OLD/river-runner /usr/local/bin/river-runner");
    n1.machine.sh(&line.replace("OLD", old)).good();
    n1.machine.sh("systemctl restart river-runner").good();
    until("the older one runs", || {
        n1.machine.sh(exe).text().contains(old)
    });
    stage.says("node status n1", "ready");
    assert_eq!(
        stage.river("task run -t n1 -- echo older").good(),
        "older\n"
    );
}

/// The two rows of engines in "When something is broken".
fn engine_down(stage: &Stage, n1: &Node) {
    n1.machine.sh("systemctl stop docker").good();
    stage.says("node list", "ready (engine down)");
    until("doctor says what the engine said", || {
        let found = stage.river("doctor n1").text();
        let mut bad = found.lines().filter(|line| line.starts_with("bad"));
        bad.any(|line| line.contains(" engine "))
    });
    n1.machine
        .sh(&stage.named("systemctl restart docker"))
        .good();
    until("it is ready again", || {
        let list = stage.river("node list").text();
        list.contains("ready") && !list.contains("engine down")
    });
    n1.machine
        .sh("systemctl stop docker && systemctl restart river-runner")
        .good();
    until("its log says what it waits for", || {
        n1.log().contains("waiting for the engine")
    });
    stage.says("node list", "unreachable");
    n1.machine.sh(&stage.named("systemctl start docker")).good();
    stage.says("node status n1", "ready");
    stage.says("vps status lab", "running");
    assert_eq!(
        stage.river("task run -t n1 -- echo again").good(),
        "again\n"
    );
}

fn drain(stage: &Stage, n1: &Node) {
    let ids = [0, 1].map(|_| {
        let id = stage.river("task submit -q -c 0 -- sleep 1000").good();
        stage.says(&format!("task status {id}"), "running");
        id.trim().to_owned()
    });
    let swap = format!("wait {} {}", ids[0], ids[1]);
    let lines = stage.lines("ssh river node drain n1", &[("wait 17 18", &swap)]);
    let mut typed = lines.iter();
    let mut next = |code: i32| {
        let run = stage.type_in(typed.next().unwrap(), &n1.machine);
        assert_eq!(run.code, code, "{}", run.stderr);
        run.text()
    };
    let drained = next(0);
    assert!(
        drained.starts_with("n1 draining, ") && drained.ends_with(" run on\n"),
        "{drained}"
    );
    let status = next(0);
    assert!(
        ids.iter().all(|id| status.contains(&format!("\n{id} "))),
        "{status}"
    );
    // As the remark there says.
    stage
        .river(&format!("task kill {} {}", ids[0], ids[1]))
        .good();
    next(137);
    assert!(next(0).ends_with(" stopping\n"));
    stage.says("vps status lab", "stopped");
    next(0);
    assert_eq!(next(0), "n1 taking tasks again\n");
    assert_eq!(typed.next(), None);
}

fn remove(stage: &Stage, n1: &Node, before: &Outside) {
    stage.says("vps status lab", "stopped");
    let lines = stage.lines("ssh river node remove n1", &[]);
    stage.type_all(&lines, &n1.machine);
    assert!(stage.river("node list").good().contains("no nodes"));
    assert_eq!(&Outside::of(&n1.machine), before);
}

fn purge(stage: &Stage, clean: &Outside) {
    for line in ["dpkg -r river", "dpkg -P river"] {
        stage.gateway.sh(&stage.named(line)).good();
        let state = stage
            .gateway
            .sh("test -f /var/lib/river-gateway/river.db && test -f /etc/river/gateway.toml");
        assert_eq!(state.code == 0, line.contains("-r"));
        assert_ne!(stage.gateway.sh("pidof river-gateway").code, 0);
    }
    stage.gateway.sh(&stage.named("userdel river")).good();
    assert_eq!(&Outside::of(&stage.gateway), clean);
}

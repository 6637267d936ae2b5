//! "When something is broken" of `docs/operate.md`, the rows of nodes: lost for good, cloned, with an engine that is down.
//! And the ways in and out that no package takes: the archive, a node by hand.

use harness::Machine;
use harness::wait::until;

use super::release::release;
use super::stage::{Outside, Stage, bring};

#[test]
fn a_node_that_is_lost_leaves_and_one_that_was_cloned_becomes_two() {
    let mut stage = Stage::new();
    stage.install(&release(""));
    // Not in five minutes.
    stage
        .gateway
        .sh("echo lost_after = 10 >> /etc/river/gateway.toml && systemctl restart river-gateway")
        .good();
    stage.listening();
    let n1 = stage.node(Machine::new(), "n1");
    stage.bootstrap(&n1, " --engine process");
    let n2 = stage.node(Machine::new(), "n2");
    let copied = "/etc/machine-id /etc/river /var/lib/river-runner /usr/local/bin /usr/local/lib/river /etc/systemd/system";
    let disk = n1
        .machine
        .sh(&format!("tar c --exclude=/var/lib/river-runner/a {copied}"));
    n2.machine.sh_with("tar x -C /", &disk.stdout).good();
    n2.machine.sh("systemctl start river-runner").good();
    until("the clone is refused, and that is written down", || {
        let audit = stage.river("audit").text();
        audit.contains("another runner is connected") || audit.contains("bound to another machine")
    });
    assert_eq!(stage.river("task run -t n1 -- cat /etc/hostname").code, 0);
    let lines = stage.lines("rm /etc/machine-id", &[]);
    stage.type_all(&lines, &n2.machine);
    stage.ready(&n2);
    stage.ready(&n1);
    let ids = [&n1, &n2].map(|node| node.machine.sh("cat /etc/machine-id").good());
    assert_ne!(ids[0], ids[1]);
    for name in ["n1", "n2"] {
        stage.river(&format!("task run -t {name} -- true")).good();
    }

    let task = stage.river("task submit -q -t n2 -- sleep 1000").good();
    stage.says(&format!("task status {task}"), "running");
    stage.river("vps create -t n2 --name lab").good();
    stage.says("vps status lab", "running");
    drop(n2);
    stage.says("node list", "lost");
    stage.says(&format!("task status {task}"), "lost");
    assert!(
        stage
            .river(&stage.named("vps list --all"))
            .good()
            .contains("lab")
    );
    assert_ne!(
        stage.river("node remove n2").code,
        0,
        "its box is there still"
    );
    stage.river("vps delete lab").good();
    let remove = stage.named("node remove n1").replace("n1", "n2");
    stage.river(&remove).good();
    assert!(!stage.river("node list").good().contains("n2"));
}

#[test]
fn an_archive_and_a_node_by_hand_work_by_the_guide_and_leave_nothing_by_it() {
    let made = release("");
    let mut stage = Stage::new();
    // The user is none that a machine before has left.
    let clean = Outside::of(&stage.gateway);
    bring(&stage.gateway, &made.archive);
    let lines = stage.lines("tar xzf river-0.1.0", &[]);
    stage.type_all(&lines, &stage.gateway);
    let address = "echo 'address = \"gateway.example\"' >> /etc/river/gateway.toml && systemctl restart river-gateway";
    stage.gateway.sh(address).good();
    stage.sign_in();

    let n1 = stage.node(Machine::new(), "n1");
    let before = Outside::of(&n1.machine);
    let invite = stage.named("ssh river node invite n1 > token");
    stage
        .laptop
        .sh(&format!(
            "cd /root && {invite} && ssh root@n1 'cat > token' < token"
        ))
        .good();
    bring(&n1.machine, &made.archive);
    n1.machine.sh(&format!("cd /root && {}", lines[0])).good();
    let config = "mkdir -p /etc/river && printf 'gateway = \"gateway.example:2222\"\\nengine = \"process\"\\n' > /etc/river/runner.toml";
    n1.machine.sh(config).good();
    for line in [
        "river-runner join --token-file token",
        "systemctl enable --now river-runner",
    ] {
        stage.type_in(&stage.named(line), &n1.machine).good();
    }
    stage.ready(&n1);
    stage.river("task run -t n1 -- true").good();
    assert_ne!(Outside::of(&n1.machine), before);

    let lines = stage.lines("tar tzf river-0.1.0", &[]);
    stage.type_all(&lines, &stage.gateway);
    assert_eq!(Outside::of(&stage.gateway), clean);
}

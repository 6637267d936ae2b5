//! "When something is broken" of `docs/operate.md`, each row of a gateway as it stands there: what one sees, what to type,
//! and that no more is lost than it says. Faults under load: `tests/chaos/`.

use harness::Machine;
use harness::wait::until;

use super::release::release;
use super::stage::{Node, Stage, bring, login};

const STATE: &str = "/var/lib/river-gateway";

/// A gateway that serves, a node, and a task that runs all the while.
struct Scene {
    stage: Stage,
    n1: Node,
    task: String,
}

impl Scene {
    fn new() -> Self {
        let mut stage = Stage::new();
        stage.install(&release(""));
        let n1 = stage.node(Machine::new(), "n1");
        stage.bootstrap(&n1, " --engine process");
        let line = "task submit -q -- sh -c 'echo once >> /tmp/begun; exec sleep 10000'";
        let task = stage.river(&format!("\"{line}\"")).good();
        let scene = Self {
            task: task.trim().to_owned(),
            stage,
            n1,
        };
        scene.goes_on();
        scene
    }

    /// The task runs, and began once.
    fn goes_on(&self) {
        let line = format!("task status {}", self.task);
        self.stage.says(&line, "running");
        until("its gateway hears of it", || {
            !self.stage.river(&line).text().contains("unreachable")
        });
        until("it has begun", || {
            self.n1.machine.sh("test -s /tmp/begun").code == 0
        });
        assert_eq!(self.n1.machine.sh("cat /tmp/begun").good(), "once\n");
    }

    fn gateway(&self, line: &str) -> String {
        self.stage.type_in(line, &self.stage.gateway).good()
    }

    fn log_says(&self, words: &str) {
        until(&format!("the gateway's log says {words}"), || {
            let log = self.stage.gateway.sh("journalctl -u river-gateway");
            log.text().contains(words)
        });
    }
}

#[test]
fn a_gateway_that_is_broken_is_mended_by_the_guides_lines() {
    let scene = Scene::new();
    dead(&scene);
    let copy = backup(&scene);
    damaged(&scene, &copy);
    newer(&scene);
    person_without_a_key(&scene);
    nobody_has_a_key(&scene);
    host_key_lost(&scene);
    certificate_lost(&scene);
    certificate_expired(&scene);
}

fn dead(scene: &Scene) {
    scene.gateway("systemctl stop river-gateway");
    let refused = scene.stage.river("status");
    assert!(refused.stderr.contains("Connection refused"), "{refused:?}");
    scene.gateway(&scene.stage.named("journalctl -u river-gateway"));
    scene.gateway(&scene.stage.named("systemctl start river-gateway"));
    scene.stage.listening();
    scene.goes_on();
}

/// The copy's path.
fn backup(scene: &Scene) -> String {
    let lines = scene
        .stage
        .lines("cp -p /var/lib/river-gateway/host_key", &[]);
    let said = scene.stage.type_all(&lines, &scene.stage.gateway);
    assert!(said[2].starts_with("good:"), "{said:?}");
    let files = scene.gateway("ls /root/river-*.db /root/host_key /root/authority_key");
    files.lines().last().unwrap().to_owned()
}

/// Done to the store of a gateway that is stopped.
fn statement(scene: &Scene, line: &str) {
    let python =
        format!("import sqlite3; it = sqlite3.connect('{STATE}/river.db'); it.execute('{line}')");
    scene.gateway(&format!(
        "setpriv --reuid=river --regid=river --clear-groups /usr/bin/python3 -c \"{python}\""
    ));
}

fn damaged(scene: &Scene, copy: &str) {
    // Known to the nodes and the journal of changes, and not to the copy.
    scene.stage.river("auth invite --name carol").good();
    scene.gateway("systemctl stop river-gateway");
    // What is in the log still would hide what is broken below it.
    statement(scene, "pragma wal_checkpoint(truncate)");
    let line = format!(
        "dd if=/dev/urandom of={STATE}/river.db bs=4096 seek=1 count=40 conv=notrunc 2> /dev/null"
    );
    scene.gateway(&line);
    scene.gateway("systemctl start river-gateway");
    scene.log_says("river.db");
    let check = scene.stage.type_in(
        &scene.stage.named("river-gateway check"),
        &scene.stage.gateway,
    );
    assert_eq!(check.code, 1, "{check:?}");
    let swaps = [("/root/river-2026-01-05.db", copy)];
    let lines = scene
        .stage
        .lines("install -m 600 -o river -g river /root/river-2026", &swaps);
    let restore = lines
        .iter()
        .position(|line| line.contains("restore"))
        .unwrap();
    let said = scene
        .stage
        .type_all(&lines[..restore + 2], &scene.stage.gateway);
    assert!(
        said[restore].contains("next: start the gateway"),
        "{said:?}"
    );
    scene.stage.listening();
    scene.stage.ready(&scene.n1);
    let doctor = scene
        .stage
        .type_in(lines.last().unwrap(), &scene.stage.gateway);
    assert!(doctor.text().contains("versions"), "{doctor:?}");
    scene.goes_on();
}

fn newer(scene: &Scene) {
    scene.gateway("systemctl stop river-gateway");
    scene.gateway(&format!("cp -p {STATE}/river.db {STATE}/river.db.schema-0"));
    statement(scene, "pragma user_version = 9999");
    scene.gateway("systemctl start river-gateway");
    scene.log_says("a newer river wrote this store");
    // "stop, put that in the place of `river.db` (without its `-wal` and `-shm`), start the older program"
    scene.gateway("systemctl stop river-gateway");
    scene.gateway(&format!(
        "cd {STATE} && rm -f river.db-wal river.db-shm && mv river.db.schema-0 river.db"
    ));
    scene.gateway("systemctl start river-gateway");
    scene.stage.listening();
    scene.goes_on();
}

/// Another key on the laptop, and its public half without a name.
fn another_key(scene: &Scene, name: &str) -> String {
    let laptop = &scene.stage.laptop;
    laptop
        .sh(&format!(
            "ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/{name}"
        ))
        .good();
    let line = laptop.sh(&format!("cut -d' ' -f1,2 /root/.ssh/{name}.pub"));
    line.good().trim().to_owned()
}

/// `ssh river …` with that key alone.
fn with_key(scene: &Scene, name: &str, login: &str, line: &str) -> harness::Run {
    let options = "-o IdentitiesOnly=yes -o ControlPath=none";
    scene.stage.laptop.sh(&format!(
        "ssh -i /root/.ssh/{name} {options} {login}river {line}"
    ))
}

fn person_without_a_key(scene: &Scene) {
    another_key(scene, "bob");
    let invited = scene.stage.river("auth invite -q --name bob").good();
    with_key(scene, "bob", &format!("invite-{}@", invited.trim()), "").good();
    let key = another_key(scene, "bob-again");
    let refused = with_key(scene, "bob-again", "", "status");
    let print = scene
        .stage
        .laptop
        .sh("ssh-keygen -lf /root/.ssh/bob-again.pub")
        .good();
    let print = print.split(' ').nth(1).unwrap();
    assert!(refused.stderr.contains(print), "{refused:?}");
    let add = scene
        .stage
        .named("auth key add --account bob 'ssh-ed25519 …'");
    let add = add.replace("ssh-ed25519 …", &key);
    scene.stage.river(&format!("\"{add}\"")).good();
    let lost = scene
        .stage
        .laptop
        .sh("ssh-keygen -lf /root/.ssh/bob.pub")
        .good();
    let lost = lost.split(' ').nth(1).unwrap();
    let remove = scene.stage.named("auth key remove --account bob SHA256:…");
    scene.stage.river(&remove.replace("SHA256:…", lost)).good();
    with_key(scene, "bob-again", "", "status").good();
    assert_eq!(with_key(scene, "bob", "", "status").code, 255);
    // Used, it opens no more.
    let used = with_key(scene, "bob", &format!("invite-{}@", invited.trim()), "");
    assert_eq!(used.code, 255, "{used:?}");
}

fn nobody_has_a_key(scene: &Scene) {
    let stage = &scene.stage;
    // The laptop's key is lost, with what was open by it; alice comes back with another one.
    let lost = "ssh -O exit river; mkdir /root/lost; mv /root/.ssh/id_ed25519* /root/lost";
    stage.laptop.sh(lost).good();
    another_key(scene, "id_ed25519");
    assert_eq!(stage.river("status").code, 255);
    let public = stage.laptop.sh("cat /root/.ssh/id_ed25519.pub").good();
    let authorized = "cat >> /root/.ssh/authorized_keys";
    scene
        .n1
        .machine
        .sh_with(authorized, public.as_bytes())
        .good();
    let key = another_key(scene, "alice-again");
    let swaps = [("ssh-ed25519 …", key.as_str())];
    let lines = stage.lines("ssh -p 2222 invite-…@gateway.example rescuer", &swaps);
    let said = stage.type_all(&lines[..3], &stage.gateway);
    stage.listening();
    let rescue = lines[3].replace("invite-…", login(&said[1]));
    assert!(
        stage
            .type_in(&rescue, &stage.gateway)
            .good()
            .contains("admin")
    );
    stage.type_in(&lines[4], &stage.gateway).good();
    assert!(
        with_key(scene, "alice-again", "", "auth status")
            .good()
            .contains("alice")
    );
    assert!(stage.river("audit").good().contains("auth invite"));
    stage.ready(&scene.n1);
    scene.goes_on();
}

/// The last of the guide's blocks of it, for the laptop and for this node.
fn new_host_key(stage: &Stage, n1: &Node) {
    let refused = stage.river("status");
    assert!(
        refused.stderr.contains("HOST IDENTIFICATION HAS CHANGED"),
        "{refused:?}"
    );
    let lines = stage.lines("ssh-keygen -y", &[]);
    let key = stage.type_in(&lines[0], &stage.gateway).good();
    for line in &lines[1..3] {
        let line = line.replace("KEY", key.trim());
        stage.type_in(&line, &stage.laptop).good();
    }
    stage.river("status").good();
    until("the node says why it does not come", || {
        n1.log().contains("which is not the one expected")
    });
    stage.bootstrap(n1, "");
    assert_eq!(lines.len(), 4);
}

fn host_key_lost(scene: &Scene) {
    scene.gateway("systemctl stop river-gateway");
    scene.gateway(&format!("rm {STATE}/host_key"));
    scene.gateway("systemctl start river-gateway");
    scene.stage.listening();
    new_host_key(&scene.stage, &scene.n1);
    scene.goes_on();
}

fn certificate_lost(scene: &Scene) {
    let node = &scene.n1.machine;
    node.sh("systemctl stop river-runner").good();
    node.sh("rm /var/lib/river-runner/node_*").good();
    node.sh("systemctl start river-runner").good();
    until("its log says what it has not", || {
        scene.n1.log().contains("join first")
    });
    scene.stage.bootstrap(&scene.n1, "");
    scene.goes_on();
}

/// One that was of another time: made with the gateway's own authority (ssh-keygen(1), CERTIFICATES).
fn certificate_expired(scene: &Scene) {
    let node = &scene.n1.machine;
    let key = node
        .sh("ssh-keygen -y -f /var/lib/river-runner/node_key")
        .good();
    let sign = format!(
        "cat > /tmp/n1.pub && ssh-keygen -q -s {STATE}/authority_key -I 'node n1' -n n1 -V 20200101:20210101 /tmp/n1.pub && \
         cat /tmp/n1-cert.pub"
    );
    let old = scene.stage.gateway.sh_with(&sign, key.as_bytes()).good();
    node.sh("systemctl stop river-runner").good();
    node.sh_with(
        "cat > /var/lib/river-runner/node_certificate",
        old.as_bytes(),
    )
    .good();
    node.sh("systemctl start river-runner").good();
    until("its log says that it is refused", || {
        let log = scene.n1.log();
        log.contains("gateway.example:2222 refuses the login as node")
    });
    scene.stage.bootstrap(&scene.n1, "");
    scene.goes_on();
}

#[test]
fn a_gateways_machine_that_is_lost_is_replaced_with_its_keys_and_without() {
    let mut scene = Scene::new();
    let copy = backup(&scene);
    let bytes = |path: &str| scene.stage.gateway.sh(&format!("cat {path}")).stdout;
    let kept = [
        &copy,
        "/root/gateway.toml",
        "/root/host_key",
        "/root/authority_key",
    ]
    .map(bytes);
    for keys in [true, false] {
        let release = release("");
        scene.stage.replace_gateway(&[&scene.n1]);
        bring(&scene.stage.gateway, &release.deb);
        let names = [
            "/root/river-2026-01-05.db",
            "/root/gateway.toml",
            "/root/host_key",
            "/root/authority_key",
        ];
        for (name, bytes) in names.iter().zip(&kept) {
            scene
                .stage
                .gateway
                .sh_with(&format!("cat > {name}"), bytes)
                .good();
        }
        let mut lines = scene
            .stage
            .lines("install -m 600 -o river -g river host_key", &[]);
        if !keys {
            lines.retain(|line| !line.contains("host_key"));
        }
        scene.stage.type_all(&lines, &scene.stage.gateway);
        scene.stage.listening();
        if keys {
            scene.stage.river("status").good();
            scene.stage.ready(&scene.n1);
        } else {
            new_host_key(&scene.stage, &scene.n1);
        }
        scene.goes_on();
    }
}

//! The path of somebody who has a release and fresh machines, as `docs/operate.md` tells it: install, start, bootstrap a
//! node, run a task, upgrade, drain, remove. Machines without systemd; what it would start is started by hand.

mod broken;
mod guide;
mod nodes;
mod release;
mod stage;

use std::process::{Child, Stdio};

use harness::wait::until;
use harness::{Machine, Person, Run};
use tempfile::TempDir;

use release::{Release, release};

/// A gateway of the package, its admin's laptop (this machine), and a node to be.
struct Newcomer {
    _dir: TempDir,
    gateway: Machine,
    node: Machine,
    /// The gateway as the node sees it.
    address: String,
    serving: Option<Child>,
    alice: Person,
}

const CONFIG: &str = "/etc/river/gateway.toml";
const STATE: &str = "/var/lib/river-gateway";

impl Newcomer {
    fn new(first: &Release) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (gateway, node) = (Machine::new(), Machine::new());
        gateway.put(&first.deb, "/tmp/river.deb");
        gateway.sh("dpkg -i /tmp/river.deb").good();
        let alice = Person::at(dir.path(), (&gateway.there, 2222), "alice");
        let address = gateway.connect(&node, 1);
        Self {
            _dir: dir,
            gateway,
            node,
            address,
            serving: None,
            alice,
        }
    }

    /// As the unit does: by its user, with no rights.
    fn serve(&mut self) {
        let line = format!(
            "exec setpriv --reuid=river --regid=river --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
             river-gateway --config {CONFIG} 2>> /tmp/gateway.log"
        );
        self.serving = Some(self.gateway.command(&line).spawn().unwrap());
        let there = format!("{}:2222", self.gateway.there);
        until("the gateway listens", || {
            std::net::TcpStream::connect(&there).is_ok()
        });
    }

    fn restart(&mut self) {
        // The one that `nsenter` started, by its own number there.
        self.gateway.sh("kill $(pidof river-gateway)").good();
        let status = self.serving.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        self.serve();
    }

    fn log(&self) -> String {
        self.gateway.sh("cat /tmp/gateway.log").text()
    }

    fn enrol(&self) {
        let invitation = self.gateway.sh(&format!("cat {STATE}/invitation")).good();
        let mut words = invitation.split([' ', '@']);
        let login = words.find(|word| word.starts_with("invite-")).unwrap();
        let welcome = self.alice.ssh_as(login, "alice").good();
        assert!(welcome.contains("welcome, alice"), "{welcome}");
    }

    /// `ssh river node bootstrap … | ssh root@n1 sh`; the script, and what it said.
    fn bootstrap(&self, options: &str) -> (String, Run) {
        let line = format!(
            "node bootstrap n1 --engine process --gateway {}:2222 {options}",
            self.address
        );
        let script = self.alice.ssh(&line).good();
        let run = self.node.sh_with("sh", script.as_bytes());
        (script, run)
    }

    fn ready(&self) {
        until("the node is ready", || {
            self.alice.ssh("node list").text().contains("ready")
        });
    }
}

impl Drop for Newcomer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let node = self.node.sh("cat /var/lib/river-runner/runner.log").text();
            eprintln!("{}\n{node}", self.log());
        }
    }
}

/// The token in a script.
fn token(script: &str) -> &str {
    let mut lines = script.lines();
    lines.find(|line| line.starts_with("river-join.")).unwrap()
}

#[test]
fn from_a_package_to_a_first_task_an_upgrade_and_the_end() {
    let first = release("");
    let mut river = Newcomer::new(&first);
    first_start(&mut river);
    first_node(&river);
    first_task(&river);
    upgrade(&mut river, &release("newer"));
    drain_and_remove(&river);
    purge(&river);
}

fn first_start(river: &mut Newcomer) {
    let gateway = &river.gateway;
    assert_ne!(
        gateway.sh("pidof river-gateway river-runner").code,
        0,
        "nothing was started"
    );
    assert!(
        gateway
            .sh("river-gateway --version")
            .good()
            .starts_with("river-gateway ")
    );
    gateway
        .sh("river-runner --version && /usr/lib/river/river-guest --version")
        .good();
    assert!(
        gateway
            .sh(&format!("river-gateway config check {CONFIG}"))
            .good()
            .contains(": good")
    );
    let printed = gateway.sh("river-gateway init config").good();
    assert_eq!(gateway.sh(&format!("cat {CONFIG}")).good(), printed);
    for (name, program) in [("gateway", "river-gateway"), ("runner", "river-runner")] {
        let unit = format!("/usr/lib/systemd/system/river-{name}.service");
        assert_eq!(
            gateway.sh(&format!("{program} init service")).good(),
            gateway.sh(&format!("cat {unit}")).good()
        );
    }
    let modes = gateway.sh(&format!("stat -c '%a %U' {STATE}")).good();
    assert_eq!(modes, "700 river\n");
    let units = gateway.sh("systemd-analyze verify --man=no /usr/lib/systemd/system/river-*");
    assert_eq!((units.code, units.stderr.as_str()), (0, ""));
    let exposed = gateway.sh("systemd-analyze security --offline=true --threshold=20 /usr/lib/systemd/system/river-gateway.service");
    assert_eq!(exposed.code, 0, "{}", exposed.text());
    river.serve();
    let status = river
        .gateway
        .sh("cat /proc/$(pidof river-gateway)/status")
        .good();
    for line in [
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(status.contains(line), "{line}\n{status}");
    }
    river.enrol();
}

fn first_node(river: &Newcomer) {
    // Everything that anybody on the node could see of its processes meanwhile.
    let spying = "while [ ! -e /tmp/enough ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; done > /tmp/seen 2> /dev/null; true";
    let spy = river
        .node
        .command(spying)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (script, run) = river.bootstrap("--background");
    assert_eq!(run.code, 0, "{}", run.stderr);
    for line in ["this machine is node n1 now", "ssh river node status n1"] {
        assert!(
            (run.text() + &run.stderr).contains(line),
            "{line}\n{}",
            run.stderr
        );
    }
    river.node.sh("touch /tmp/enough").good();
    assert!(spy.wait_with_output().unwrap().status.success());
    assert_eq!(
        river.node.sh("grep -c river-runner /tmp/seen").code,
        0,
        "it was looked at"
    );
    let secret = token(&script).split('.').nth(1).unwrap();
    assert_eq!(
        river.node.sh(&format!("grep -q {secret} /tmp/seen")).code,
        1,
        "the token was seen"
    );
    assert_eq!(
        river
            .node
            .sh(&format!(
                "grep -rq {secret} /etc /var/lib/river-runner /usr/local"
            ))
            .code,
        1
    );
    river.ready();
    // Once used, it is no token any more.
    let config =
        "printf 'gateway = \"%s:2222\"\\nstate_dir = \"/tmp/again\"\\n' ADDRESS > /tmp/again.toml";
    river
        .node
        .sh(&config.replace("ADDRESS", &river.address))
        .good();
    let join = "river-runner --config /tmp/again.toml join --token-file -";
    let again = river.node.sh_with(join, token(&script).as_bytes());
    assert!(
        again.code == 1
            && again
                .stderr
                .contains("this join token is unknown, used or expired"),
        "{}",
        again.stderr
    );
}

fn first_task(river: &Newcomer) {
    let alice = &river.alice;
    assert_eq!(alice.ssh("task run -t n1 -- echo hello").good(), "hello\n");
    // The whole script again: nothing is to be done, and a task does not notice.
    let id = alice
        .ssh("task submit -q -- sh -c 'echo $$ > /tmp/task; sleep 1000'")
        .good();
    let running = || {
        alice
            .ssh(&format!("task status {id}"))
            .text()
            .contains("running")
    };
    until("it runs", running);
    let (script, run) = river.bootstrap("--background");
    assert!(
        run.code == 0 && run.stderr.contains("is here already"),
        "{}",
        run.stderr
    );
    assert!(
        !script.contains("river-join."),
        "a node that is connected needs no token"
    );
    assert!(
        !run.stderr.contains("is node n1 now"),
        "it joined twice: {}",
        run.stderr
    );
    river.ready();
    assert!(running());
    river.node.sh("kill -0 $(cat /tmp/task)").good();
    alice.ssh(&format!("task kill {id}")).good();
}

fn upgrade(river: &mut Newcomer, newer: &Release) {
    let alice = river.alice.clone();
    let id =
        alice.ssh("task submit -q -- sh -c 'while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 9'");
    let id = id.good().trim().to_owned();
    river
        .gateway
        .sh(&format!("echo 'address = \"river.example\"' >> {CONFIG}"))
        .good();
    let pid = river.gateway.sh("pidof river-gateway").good();
    river.gateway.put(&newer.deb, "/tmp/newer.deb");
    let installed = river
        .gateway
        .sh("dpkg -i /tmp/newer.deb < /dev/null")
        .good();
    assert!(
        installed.contains("systemctl restart river-gateway"),
        "{installed}"
    );
    assert_eq!(
        river.gateway.sh("pidof river-gateway").good(),
        pid,
        "nothing was restarted"
    );
    river
        .gateway
        .sh(&format!("grep -q river.example {CONFIG}"))
        .good();
    river.restart();
    river.ready();
    let before = river
        .node
        .sh("readlink -f /usr/local/bin/river-runner")
        .good();
    let (_, run) = river.bootstrap("--background");
    assert!(
        run.code == 0 && run.stderr.contains(" is in /usr/local/lib/river/"),
        "{}",
        run.stderr
    );
    let after = river
        .node
        .sh("readlink -f /usr/local/bin/river-runner")
        .good();
    assert_ne!(after, before);
    river.node.sh(&format!("test -x {before}")).good();
    river.ready();
    assert_eq!(
        river
            .node
            .sh("readlink -f /proc/$(pidof river-runner)/exe")
            .good(),
        after
    );
    // The task began with the older guest, and ends with it.
    river.node.sh("touch /tmp/go").good();
    assert_eq!(alice.ssh(&format!("task wait {id}")).code, 9);
    assert_eq!(alice.ssh("task run -- echo newer").good(), "newer\n");
}

fn drain_and_remove(river: &Newcomer) {
    let alice = &river.alice;
    let id = alice.ssh("task submit -q -- sleep 1000").good();
    until("it runs", || {
        alice
            .ssh(&format!("task status {id}"))
            .text()
            .contains("running")
    });
    alice.ssh("node drain n1").good();
    let waits = alice.ssh("task submit -q -- true").good();
    let why = alice.ssh(&format!("task why {waits}")).good();
    assert!(why.contains("draining: takes nothing new"), "{why}");
    let busy = alice.ssh("node remove n1");
    assert!(
        busy.code == 1 && busy.stderr.contains("1 task has not ended there"),
        "{}",
        busy.stderr
    );
    alice.ssh(&format!("task kill {id}")).good();
    until("it can be removed", || {
        alice.ssh("node remove n1").code == 0
    });
    assert!(alice.ssh("node list").good().contains("no nodes"));
    // A machine that the gateway forgot joins again, with its old certificate still there.
    let (script, run) = river.bootstrap("--background");
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(script.contains("river-join."));
    river.ready();
    assert_eq!(alice.ssh(&format!("task wait {waits}")).code, 0);
}

fn purge(river: &Newcomer) {
    let gateway = &river.gateway;
    gateway.sh("kill $(pidof river-gateway)").good();
    gateway.sh("dpkg -r river").good();
    gateway
        .sh(&format!(
            "test ! -e /usr/bin/river-gateway && test -f {STATE}/river.db && test -f {CONFIG}"
        ))
        .good();
    gateway.sh("dpkg -P river").good();
    gateway
        .sh(&format!("test ! -e {STATE} && test ! -e /etc/river"))
        .good();
}

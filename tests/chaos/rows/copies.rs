//! Copies: of the store, put back under load; of a gateway, beside it; of a runner, on another machine.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::Person;
use harness::river::program;
use harness::wait::until;
use serde_json::Value;

use super::net::submit;
use super::{Play, pause, with};
use crate::cluster::{Cluster, PORT};
use crate::ledger::{Job, Ledger, statuses};
use crate::load::Load;
use crate::node::Engine;
use crate::space::{Space, run};

/// Of the second gateway.
const OTHER: u16 = PORT + 1;

fn backup(cluster: &Cluster, to: &Path) {
    let made = cluster.gateway_command().arg("backup").arg(to).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// What the nodes have and the gateway does not know is shown, and goes when somebody says so.
fn forget(cluster: &Cluster) -> usize {
    let mut gone = 0;
    until("nothing is unknown on the nodes", || {
        let mut left = 0;
        for node in &cluster.nodes {
            let said = cluster.river(&format!("node status {} --json", node.name()));
            let Ok(value) = serde_json::from_str::<Value>(&said.text()) else {
                return false;
            };
            let unknown = value["node"]["unknown_attempts"].as_array().cloned();
            for one in unknown.unwrap_or_default() {
                left += 1;
                if one["phase"] == "ended" && one["ending"] == false {
                    let attempt = one["attempt"].as_str().unwrap_or_default().to_owned();
                    let line = format!("node forget {} {attempt}", node.name());
                    gone += usize::from(cluster.river(&line).code == 0);
                }
            }
        }
        left == 0
    });
    gone
}

/// A copy made under load is put back under load: no number twice, nothing begins twice; what came since is told by
/// the nodes.
pub(super) fn restored(play: Play) -> String {
    with(&[Engine::Docker, Engine::Process], "", |cluster, ledger| {
        let file = cluster.base().join("copy.db");
        let since = age(play);
        // What came since is asked for one by one afterwards: of a long time, little.
        let last = since.min(60);
        let quiet = Load::start(cluster, 1, "-c 0", Job::SHORT);
        let bob = member(cluster);
        pause(5000);
        backup(cluster, &file);
        // In the copy he may come in.
        assert_eq!(bob.ssh("task list").code, 0);
        let other = change_key(cluster, "bob");
        refused(&bob);
        pause((since - last) * 1000);
        let load = Load::start(cluster, 8, "-c 0", Job::SHORT);
        pause(last * 1000);
        cluster.kill_gateway();
        let put = cluster.gateway_command().arg("restore").arg(&file).output();
        let put = put.unwrap();
        assert!(put.status.success(), "{put:?}");
        cluster.start_gateway("");
        refused(&bob);
        assert_eq!(other.ssh("task list").code, 0, "his new key is good");
        pause(2000);
        load.stop(ledger);
        quiet.stop(ledger);
        cluster.until_ready();
        let (known, lost) = sort(cluster, ledger);
        ledger.may_be_lost.extend(&known);
        ledger.settle(cluster);
        let told = ledger.check(cluster);
        let gone = forget(cluster);
        assert!(lost > 0 && gone > 0, "nothing had come since the copy");
        format!(
            "a copy of {since} s ago: {lost} acknowledged since, {gone} of them shown by the nodes; of the others: {told}"
        )
    })
}

fn member(cluster: &Cluster) -> Person {
    let code = cluster
        .river("auth invite -q --role user --name bob")
        .good();
    let bob = Person::new(cluster.base(), PORT, "bob");
    bob.ssh_as(&format!("invite-{}", code.trim()), "").good();
    bob
}

/// Another one, and the first is taken away.
fn change_key(cluster: &Cluster, name: &str) -> Person {
    let other = Person::new(cluster.base(), PORT, &format!("{name}-2"));
    let key = std::fs::read_to_string(cluster.base().join(format!("{name}-2_key.pub"))).unwrap();
    let line = format!("auth key add --account {name} '{}'", key.trim());
    cluster.river(&line).good();
    let key = cluster.base().join(format!("{name}_key.pub"));
    let listed = Command::new("ssh-keygen").arg("-lf").arg(key).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let print = listed.split_whitespace().nth(1).unwrap();
    cluster
        .river(&format!("auth key remove --account {name} {print}"))
        .good();
    other
}

/// By ssh, before any line is read.
fn refused(person: &Person) {
    let run = person.ssh("task list");
    assert_eq!(run.code, 255, "let in: {} {}", run.text(), run.stderr);
    assert!(run.stderr.contains("ermission denied"), "{}", run.stderr);
}

/// Of the copy, in seconds: `AGE=3600` for an hour.
fn age(play: Play) -> u64 {
    let given = std::env::var("AGE").ok();
    match given.and_then(|age| age.parse().ok()) {
        Some(age) => age,
        None if play.small => 2,
        None => 60,
    }
}

/// Those that the gateway knows, and how many it does not.
fn sort(cluster: &Cluster, ledger: &mut Ledger) -> (Vec<u64>, usize) {
    let all: Vec<u64> = ledger.acks.keys().copied().collect();
    let known = |id: &u64| cluster.river(&format!("task status --json {id}")).code != 3;
    let (known, unknown): (Vec<u64>, Vec<u64>) = all.iter().partition(|id| known(id));
    for id in &unknown {
        ledger.acks.remove(id);
    }
    (known, unknown.len())
}

/// Ended with the row; a program on a node by its own pid.
struct Beside(Child, Option<u32>);

impl Drop for Beside {
    fn drop(&mut self) {
        match self.1 {
            Some(pid) => run(&["kill", "-9", &pid.to_string()]),
            None => drop(self.0.kill()),
        }
        let _ = self.0.wait();
    }
}

/// On the same folder: it refuses. On a copy: a node that was there and comes back is believed, and no number is
/// given twice.
pub(super) fn gateways(_: Play) -> String {
    with(
        &[Engine::Process, Engine::Process],
        "",
        |cluster, ledger| {
            let second = cluster.gateway_command().output().unwrap();
            let said = String::from_utf8_lossy(&second.stderr).into_owned();
            assert!(
                !second.status.success() && said.contains("another gateway"),
                "{said}"
            );
            submit(cluster, ledger, "-c 0", Job::SHORT, 3);
            ledger.settle(cluster);
            let _other = Beside(copied(cluster), None);
            until("the copy listens", || {
                std::net::TcpStream::connect(("127.0.0.1", OTHER)).is_ok()
            });
            cluster.nodes[0].kill_runner();
            dial(cluster, PORT, OTHER);
            let at_other = |line: &str| cluster.admin.run(&["-T", "-p", &OTHER.to_string()], line);
            until("the node is at the copy", || {
                at_other("node status n1 --json")
                    .text()
                    .contains("\"ready\"")
            });
            let words = Job::SHORT.words(&cluster.starts(), Engine::Process);
            let mut theirs = Vec::new();
            for _ in 0..3 {
                let said = at_other(&format!("task submit -q -c 0 -t n1 {words}")).good();
                theirs.push(said.trim().parse::<u64>().unwrap());
            }
            for id in &theirs {
                at_other(&format!("task wait {id}"));
            }
            cluster.nodes[0].kill_runner();
            dial(cluster, OTHER, PORT);
            cluster.until_ready();
            let ours = submit(cluster, ledger, "-c 0 -t n1", Job::SHORT, 3);
            assert!(
                ours.iter().all(|id| !theirs.contains(id)),
                "{ours:?} {theirs:?}"
            );
            let told = ledger.check(cluster);
            forget(cluster);
            format!("the second refused; {theirs:?} at the copy, then {ours:?}; {told}")
        },
    )
}

/// A second gateway, on a copy of the first one's folder.
fn copied(cluster: &Cluster) -> Child {
    let (base, file) = (cluster.base(), cluster.base().join("copy.db"));
    backup(cluster, &file);
    let (from, to) = (cluster.state(), base.join("g2"));
    std::fs::create_dir(&to).unwrap();
    let copied = Command::new("sh")
        .args([
            "-c",
            "cd \"$1\" && cp -a . \"$2\" && rm -f \"$2\"/river.db* \"$2\"/lock",
            "sh",
        ])
        .args([&from, &to])
        .status();
    assert!(copied.unwrap().success());
    let text = std::fs::read_to_string(base.join("g.toml")).unwrap();
    let text = text
        .replace(&format!(":{PORT}\""), &format!(":{OTHER}\""))
        .replace(&from.display().to_string(), &to.display().to_string());
    let config = base.join("g2.toml");
    std::fs::write(&config, text).unwrap();
    let command = || {
        let mut command = Command::new(program("river-gateway"));
        command.arg("--config").arg(&config).stdin(Stdio::null());
        command
    };
    let put = command().arg("restore").arg(&file).output().unwrap();
    assert!(put.status.success(), "{put:?}");
    let log = std::fs::File::create(base.join("g2.log")).unwrap();
    command().stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// The first node's runner starts again, for another gateway.
fn dial(cluster: &mut Cluster, from: u16, to: u16) {
    let node = &mut cluster.nodes[0];
    let text = std::fs::read_to_string(node.config()).unwrap();
    let text = text.replace(&format!(":{from}\""), &format!(":{to}\""));
    std::fs::write(node.config(), text).unwrap();
    node.start_runner();
}

/// The disk of a node on a second machine: as that machine, and as if it were the first.
pub(super) fn cloned(_: Play) -> String {
    with(
        &[Engine::Process, Engine::Process],
        "",
        |cluster, ledger| {
            let mut told = Vec::new();
            for (machine, why) in [("m7", "another machine"), ("m1", "another runner")] {
                let log = cluster.nodes[1].dir.join(format!("clone-{machine}.log"));
                let clone = clone(cluster, machine, &log);
                let pid = Space::child_of(&clone);
                let _clone = Beside(clone, Some(pid));
                submit(cluster, ledger, "-c 0", Job::SHORT, 4);
                until("the clone is refused", || {
                    std::fs::read_to_string(&log)
                        .unwrap_or_default()
                        .contains(why)
                });
                submit(cluster, ledger, "-c 0", Job::SHORT, 4);
                ledger.settle(cluster);
                cluster.until_ready();
                // The operator reads of both: the node's name, and what else has its certificate.
                let audit = cluster.river("audit -n 200 --account n1 --json").good();
                let audit: Value = serde_json::from_str(&audit).unwrap();
                let flagged = audit["audit"].as_array().unwrap().iter().any(|row| {
                    let said = row["verdict"].as_str().unwrap_or_default();
                    row["object"] == "n1" && said.contains(why)
                });
                assert!(flagged, "the audit log says nothing of it: {audit}");
                told.push(format!("refused, and in the audit log: {why}"));
            }
            let ids: Vec<u64> = ledger.acks.keys().copied().collect();
            let all = statuses(cluster, &ids).len();
            format!(
                "{}; {all} tasks beside; {}",
                told.join(", "),
                ledger.check(cluster)
            )
        },
    )
}

/// In the second node's machine, with what the first one has.
fn clone(cluster: &Cluster, machine: &str, log: &Path) -> Child {
    let (from, to) = (&cluster.nodes[0], &cluster.nodes[1]);
    let dir = to.dir.join(format!("clone-{machine}"));
    // The runner goes on writing: what it puts in place by a rename may be gone when `cp` comes to it.
    until("a copy of the whole", || {
        let mut copying = Command::new("cp");
        copying.arg("-aT").arg(from.dir.join("r")).arg(&dir);
        copying.status().unwrap().success()
    });
    let text = std::fs::read_to_string(from.config()).unwrap();
    let text = text
        .replace(
            &format!("{}/r\"", from.dir.display()),
            &format!("{}\"", dir.display()),
        )
        .replace(
            "machine_id = \"m1\"",
            &format!("machine_id = \"{machine}\""),
        )
        .replace(&from.space.gateway(), &to.space.gateway());
    let config = to.dir.join(format!("clone-{machine}.toml"));
    std::fs::write(&config, text).unwrap();
    let runner = program("river-runner").display().to_string();
    let log = std::fs::File::create(log).unwrap();
    let mut command = to.space.inside(&runner);
    command.arg("--config").arg(&config).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

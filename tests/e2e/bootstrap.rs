//! `node bootstrap` on this very machine, below a folder of its own, with containers; and what it refuses.
//! From a package, on a machine of its own: `newcomer/`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::river::{docker, docker_socket, guest, program};
use harness::wait::until;
use harness::{Engine, River, Run};

/// A node `n2` beside the harness's own.
struct Second {
    prefix: PathBuf,
    river: River,
}

impl Second {
    fn new() -> Self {
        let river = River::start(Engine::Docker, 2);
        Self {
            prefix: river.dir.path().join("n2"),
            river,
        }
    }

    /// Programs for nodes, as a release would bring them.
    fn install(&self, more: &str) {
        let folder = self.river.dir.path().join("programs");
        for from in [program("river-runner"), guest()] {
            let to = folder.join(from.file_name().unwrap());
            let mut bytes = std::fs::read(from).unwrap();
            bytes.extend_from_slice(more.as_bytes());
            std::fs::write(&to, bytes).unwrap();
            std::fs::set_permissions(&to, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    fn state(&self) -> PathBuf {
        self.prefix.join("state")
    }

    fn script(&self, options: &str) -> Run {
        let (prefix, state) = (self.prefix.display(), self.state());
        let line = format!(
            "node bootstrap n2 --prefix {prefix} --state-dir {} --docker-socket {} {options}",
            state.display(),
            docker_socket()
        );
        self.river.admin.ssh(&line)
    }

    /// Of this node: another test's is the same machine.
    fn containers(&self) -> Vec<String> {
        let ids = docker(&["ps", "-aq", "--filter", "label=river.node"]);
        let format = "{{.Id}} {{range .Mounts}}{{.Source}} {{end}}";
        let own = self.state().display().to_string();
        let inspected = ids
            .split_whitespace()
            .map(|id| docker(&["inspect", "-f", format, id]));
        inspected
            .filter(|line| line.contains(&own))
            .filter_map(|line| line.split(' ').next().map(str::to_owned))
            .collect()
    }
}

/// A shell that takes it for a script. Where systemd runs here, it does not see it.
fn sh(script: &[u8]) -> Run {
    let mut command = match Path::new("/run/systemd/system").exists() {
        true => {
            let mut hidden = Command::new("unshare");
            hidden.args([
                "-m",
                "sh",
                "-c",
                "mount -t tmpfs tmpfs /run/systemd && exec sh",
            ]);
            hidden
        }
        false => Command::new("sh"),
    };
    // One that refuses does not read it all.
    Run::of(&mut command, script)
}

impl Drop for Second {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.state().join("runner.log"));
            eprintln!("{}", log.unwrap_or_default());
        }
        if let Ok(pid) = std::fs::read_to_string(self.state().join("runner.pid")) {
            let _ = Command::new("kill").arg(pid.trim()).status();
            until("the runner has ended", || {
                !Path::new("/proc").join(pid.trim()).join("exe").exists()
            });
        }
        for id in self.containers() {
            docker(&["rm", "-f", &id]);
        }
        // A runner that ended well leaves no mount.
        let _ = Command::new("umount")
            .arg(self.state().join("a"))
            .stderr(Stdio::null())
            .status();
    }
}

#[test]
fn a_node_of_containers_is_made_and_upgraded_while_its_boxes_live() {
    let second = Second::new();
    let alice = &second.river.admin;
    second.install("");
    let script = second.script("--background").good();
    let run = sh(script.as_bytes());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let ready = || alice.ssh("node status n2").text().contains("ready");
    until("it is ready", ready);
    assert_eq!(alice.ssh("task run -t n2 -- echo hello").good(), "hello\n");
    alice.ssh("vps create -t n2 --name lab").good();
    alice.ssh_as("lab", "echo data > /root/data").good();
    let began = alice.ssh_as("lab", "ls -di /.river/guest").good();
    let first = std::fs::read_link(second.prefix.join("bin/river-runner")).unwrap();

    second.install("newer");
    let run = sh(second.script("--background").good().as_bytes());
    assert!(
        run.code == 0 && run.stderr.contains(" is in "),
        "{}",
        run.stderr
    );
    assert_ne!(
        std::fs::read_link(second.prefix.join("bin/river-runner")).unwrap(),
        first
    );
    until("it is ready again, and the box is entered", || {
        ready() && alice.ssh_as("lab", "true").code == 0
    });
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "data\n");
    assert_eq!(
        alice.ssh_as("lab", "ls -di /.river/guest").good(),
        began,
        "the guest it was made with"
    );
    assert_eq!(alice.ssh("task run -t n2 -- echo newer").good(), "newer\n");
    let kept = std::fs::read_dir(second.state().join("guests"))
        .unwrap()
        .count();
    assert_eq!(kept, 2, "of the box, and of all that come");
    alice.ssh("vps delete lab").good();
    until("nothing is left", || second.containers().is_empty());
}

#[test]
fn what_the_gateway_cannot_or_must_not_give_is_refused() {
    let second = Second::new();
    let alice = &second.river.admin;
    let none = second.script("");
    assert!(
        none.code == 1
            && none.stderr.contains("there is no river-runner in")
            && none.stderr.contains("runner_dir")
    );
    second.install("");
    let bob = second.river.person("bob", "user");
    let denied = bob.ssh("node bootstrap n2");
    assert!(
        denied.code == 4 && denied.stdout.is_empty(),
        "{}",
        denied.stderr
    );
    let shown = alice.run(&["-tt"], "node bootstrap n2");
    assert!(
        shown.code == 2 && shown.stdout.is_empty() && shown.stderr.contains("for a pipe"),
        "{}",
        shown.stderr
    );
    for bad in [
        "--prefix /a;b",
        "--state-dir ../x",
        "--gateway a",
        "--engine qemu",
        "--background --no-start",
    ] {
        let refused = alice.ssh(&format!("node bootstrap n2 {bad}"));
        assert!(
            refused.code == 2 && refused.stdout.is_empty(),
            "{bad}: {}",
            refused.stderr
        );
    }
}

/// What a machine says of a script.
fn refused(script: &[u8], words: &str) {
    let said = sh(script);
    assert!(
        said.code == 1 && said.stderr.contains(words),
        "{}",
        said.stderr
    );
}

#[test]
fn a_machine_that_cannot_be_a_node_says_why_and_half_a_script_does_nothing() {
    let second = Second::new();
    let alice = &second.river.admin;
    second.install("");
    let script = second.script("--no-start").good();
    let no_docker = script.replace(&docker_socket(), "/tmp/nowhere.sock");
    refused(
        no_docker.as_bytes(),
        "Docker is not here (/tmp/nowhere.sock)",
    );
    let other = script.replace("arch='x86_64'", "arch='vax'");
    refused(other.as_bytes(), "these programs are for vax");
    for length in [script.len() / 2, script.len() - 20] {
        let said = sh(&script.as_bytes()[..length]);
        assert!(
            said.code != 0 && !said.stderr.contains("river: "),
            "{length}: {}",
            said.stderr
        );
    }
    assert!(!second.prefix.exists(), "nothing was done");
    // One that was damaged changes no program.
    let at = script.find("<< 'RIVER_END'").unwrap() + 5000;
    let mut damaged = script.clone().into_bytes();
    damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
    refused(&damaged, "arrived damaged");
    assert!(!second.prefix.join("bin/river-runner").exists());
    // And whole, it joins, without a start where nobody wants one.
    let said = sh(script.as_bytes());
    assert!(
        said.code == 0 && said.stderr.contains("not started"),
        "{}",
        said.stderr
    );
    let list = alice.ssh("node list").good();
    assert!(list.contains("n2") && list.contains("joining"), "{list}");
    // It is that node and no other.
    let line = second.script("").good().replace("node='n2'", "node='n3'");
    refused(line.as_bytes(), "this machine is node n2 already");
}

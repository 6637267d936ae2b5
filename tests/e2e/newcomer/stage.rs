//! Machines of somebody who has a release and the documents: a gateway called `gateway.example`, a laptop, and nodes.
//! What is typed there is a document's own line.

use std::path::Path;

use harness::documents::{Block, block, read};
use harness::wait::until;
use harness::{Machine, Run};

use super::release::Release;

pub(super) struct Stage {
    pub(super) gateway: Machine,
    pub(super) laptop: Machine,
    cables: u8,
    guide: String,
}

/// A machine to become a node, and its name.
pub(super) struct Node {
    pub(super) machine: Machine,
    pub(super) name: &'static str,
}

impl Stage {
    /// A gateway's machine and a laptop. Nothing is installed.
    pub(super) fn new() -> Self {
        let (gateway, laptop) = (Machine::new(), Machine::new());
        let mut stage = Self {
            gateway,
            laptop,
            cables: 0,
            guide: read("docs/operate.md"),
        };
        stage.gateway.stand_in();
        let key =
            "mkdir -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519";
        stage.laptop.sh(key).good();
        stage.name_gateway();
        stage
    }

    /// The laptop finds the gateway by its name.
    fn name_gateway(&mut self) {
        self.cables += 1;
        let address = self.gateway.connect(&self.laptop, self.cables);
        call(&self.laptop, "gateway.example", &address);
    }

    /// Another machine takes the gateway's name, for the laptop and for these nodes.
    pub(super) fn replace_gateway(&mut self, nodes: &[&Node]) {
        self.gateway = Machine::new();
        self.gateway.stand_in();
        self.name_gateway();
        for node in nodes {
            self.cables += 1;
            let address = self.gateway.connect(&node.machine, self.cables);
            call(&node.machine, "gateway.example", &address);
        }
    }

    /// A further machine with sshd, at which root of the laptop may sign in.
    pub(super) fn node(&mut self, machine: Machine, name: &'static str) -> Node {
        machine.stand_in();
        self.cables += 1;
        let gateway = self.gateway.connect(&machine, self.cables);
        call(&machine, "gateway.example", &gateway);
        self.cables += 1;
        let address = machine.connect(&self.laptop, self.cables);
        call(&self.laptop, name, &address);
        let key = self.laptop.sh("cat /root/.ssh/id_ed25519.pub").good();
        let line = format!(
            "hostname {name}; mkdir -p -m 700 /root/.ssh /run/sshd; cat > /root/.ssh/authorized_keys
             ssh-keygen -q -t ed25519 -N '' -f /run/sshd/key && usermod -p '*' root
             /usr/sbin/sshd -f /dev/null -h /run/sshd/key -o PermitRootLogin=yes -o PidFile=/run/sshd/pid
             cat /run/sshd/key.pub"
        );
        let host = machine.sh_with(&line, key.as_bytes()).good();
        let known = format!("{name} {host}");
        self.laptop
            .sh_with("cat >> /root/.ssh/known_hosts", known.as_bytes())
            .good();
        Node { machine, name }
    }

    /// The commands of the guide's block in which one begins so, with these words in the place of those.
    pub(super) fn lines(&self, beginning: &str, swaps: &[(&str, &str)]) -> Vec<String> {
        let found: Block = block(&self.guide, beginning);
        let swap = |line: String| {
            swaps
                .iter()
                .fold(line, |line, (from, to)| line.replace(from, to))
        };
        let lines: Vec<String> = found.commands().into_iter().map(swap).collect();
        for (_, to) in swaps {
            let there = lines.iter().any(|line| line.contains(to));
            assert!(there, "nothing is replaced by {to:?} in {lines:?}");
        }
        lines
    }

    /// … a command that stands in the guide's text, between backticks.
    pub(super) fn named(&self, command: &str) -> String {
        let named = harness::documents::spans(&self.guide);
        let there = named.iter().any(|(_, span)| span == command);
        assert!(there, "docs/operate.md does not name `{command}`");
        command.to_owned()
    }

    /// Typed one after the other: `ssh …` where the person is, all else there. What each said.
    pub(super) fn type_all(&self, lines: &[String], there: &Machine) -> Vec<String> {
        let typed = |line: &String| self.type_in(line, there).good();
        lines.iter().map(typed).collect()
    }

    pub(super) fn type_in(&self, line: &str, there: &Machine) -> Run {
        let machine = if line.starts_with("ssh ") {
            &self.laptop
        } else {
            there
        };
        let run = machine.sh(&format!("cd /root\n{line}"));
        eprintln!("> {line}\n{}{}", run.text(), run.stderr);
        run
    }

    /// `ssh river …`, on the laptop.
    pub(super) fn river(&self, line: &str) -> Run {
        self.laptop.sh(&format!("ssh river {line}"))
    }

    /// The first three blocks: a gateway that serves, and `ssh river` on the laptop.
    pub(super) fn install(&self, release: &Release) {
        bring(&self.gateway, &release.deb);
        // As its remark says.
        let edit = "echo 'address = \"gateway.example\"' >>";
        let lines = self.lines("nano /etc/river/gateway.toml", &[("nano", edit)]);
        self.type_all(&lines, &self.gateway);
        self.sign_in();
    }

    /// The first admin, by the invitation.
    pub(super) fn sign_in(&self) {
        self.listening();
        let lines = self.lines("cat /var/lib/river-gateway/invitation", &[]);
        let invitation = self.type_all(&lines[..1], &self.gateway).remove(0);
        let login = login(&invitation);
        // Its last line, where it says.
        let known = invitation.lines().last().unwrap();
        self.knows(known);
        let lines = self.lines(
            "cat /var/lib/river-gateway/invitation",
            &[("invite-…", login)],
        );
        let said = self.type_all(&lines[1..], &self.gateway);
        assert!(said[0].contains("welcome, alice"), "{said:?}");
    }

    /// A line for `~/.ssh/known_hosts`.
    pub(super) fn knows(&self, line: &str) {
        let line = format!("{line}\n");
        self.laptop
            .sh_with("cat >> /root/.ssh/known_hosts", line.as_bytes())
            .good();
    }

    /// Until the gateway's port is open.
    pub(super) fn listening(&self) {
        until("the gateway listens", || {
            self.laptop
                .sh("ssh-keyscan -p 2222 gateway.example 2> /dev/null | grep -q ssh-ed25519")
                .code
                == 0
        });
    }

    /// The block that makes a machine a node, typed for this one; nothing but its name is replaced.
    pub(super) fn bootstrap(&self, node: &Node, options: &str) {
        let line = &self.lines("ssh river node bootstrap n1", &[])[0];
        let named = format!("bootstrap {}{options}", node.name);
        let line = line
            .replace("bootstrap n1", &named)
            .replace("root@n1", &format!("root@{}", node.name));
        let run = self.type_in(&line, &node.machine);
        assert_eq!(run.code, 0, "{}", run.stderr);
        self.ready(node);
    }

    pub(super) fn ready(&self, node: &Node) {
        self.says(&format!("node status {}", node.name), "ready");
    }

    /// Until `ssh river LINE` says that.
    pub(super) fn says(&self, line: &str, words: &str) {
        until(&format!("{line} says {words}"), || {
            let run = self.river(line);
            (run.text() + &run.stderr).contains(words)
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.gateway.sh("journalctl -u river-gateway").text());
        }
    }
}

impl Node {
    pub(super) fn log(&self) -> String {
        self.machine.sh("journalctl -u river-runner").text()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {}", self.name, self.log());
        }
    }
}

/// The one-time login in what the gateway says.
pub(super) fn login(invitation: &str) -> &str {
    let mut words = invitation.split([' ', '@']);
    words.find(|word| word.starts_with("invite-")).unwrap()
}

/// On that machine this name is that address.
fn call(machine: &Machine, name: &str, address: &str) {
    let line = format!(
        "{{ grep -v ' {name}$' /etc/hosts; echo {address} {name}; }} > /tmp/hosts; cat /tmp/hosts > /etc/hosts"
    );
    machine.sh(&line).good();
}

/// Which of what river leaves on a machine is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outside {
    paths: Vec<&'static str>,
    found: Vec<String>,
}

impl Outside {
    const PATHS: [&str; 10] = [
        "/etc/river",
        "/etc/systemd/system/river-*",
        "/etc/systemd/system/*.wants/river-*",
        "/usr/bin/river-*",
        "/usr/lib/river",
        "/usr/lib/systemd/system/river-*",
        "/usr/local/bin/river-*",
        "/usr/local/lib/river",
        "/var/lib/river-gateway",
        "/var/lib/river-runner",
    ];

    pub(super) fn of(machine: &Machine) -> Self {
        let looks = [
            "ps -eo comm= | grep ^river",
            "docker ps -aq --no-trunc 2> /dev/null",
            "docker images -q --no-trunc 2> /dev/null",
            "docker network ls --format '{{.Name}}' 2> /dev/null",
            "docker volume ls -q 2> /dev/null",
            "grep river /proc/mounts",
            "ip -o link | cut -d: -f2 | grep -v ' eth'",
            "getent passwd river",
        ];
        Self {
            paths: Self::PATHS
                .into_iter()
                .filter(|path| machine.sh(&format!("ls -d {path}")).code == 0)
                .collect(),
            found: looks.iter().map(|look| machine.sh(look).text()).collect(),
        }
    }
}

/// A file of the release, by its name.
pub(super) fn bring(machine: &Machine, from: &Path) {
    let name = from.file_name().unwrap().to_str().unwrap();
    machine.put(from, &format!("/root/{name}"));
}

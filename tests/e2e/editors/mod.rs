//! Editors with their real servers in a box. `scripts/editors.sh` builds code-server.

mod page;
mod ssh2;
mod vscode;
mod zed;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use harness::Run;
use harness::wait::until;

use super::clients::{Lab, bring, cache, free_port};

/// A box with node, bash, and the tree of `scripts/editors.sh`.
struct Desk {
    lab: Lab,
}

/// A connection of the editor's, for as long as it is held.
struct Remote {
    ssh: Child,
    /// Where SOCKS listens here, if it does.
    socks: u16,
    /// What the bootstrap said of the server, where it ran.
    said: String,
}

impl Desk {
    fn new() -> Self {
        let tree = cache("code-server");
        let lab = Lab::with(&format!("--mount {}:/editors:ro", tree.display()));
        bring(&lab, &["node", "bash", "setsid"]);
        let program = include_str!("echo.js");
        let alice = lab.alice();
        let mut put = alice.command(&["-T", "-l", "lab"], "cat > /root/echo.js");
        std::fs::write(lab.path("echo.js"), program).unwrap();
        put.stdin(File::open(lab.path("echo.js")).unwrap());
        assert!(put.status().unwrap().success());
        std::fs::write(lab.path("bootstrap"), include_str!("bootstrap.sh")).unwrap();
        Self { lab }
    }

    /// `ssh -v -T -D PORT … bash -s`, with the bootstrap on its standard input.
    fn connect(&self) -> Remote {
        let socks = free_port();
        let words = [
            "-v",
            "-T",
            "-D",
            &format!("127.0.0.1:{socks}"),
            "-o",
            "ConnectTimeout=15",
            "-l",
            "lab",
        ];
        let mut ssh = self.lab.alice().command(&words, "bash -s");
        let log = File::create(self.lab.path("ssh.log")).unwrap();
        let mut ssh = ssh
            .stdin(File::open(self.lab.path("bootstrap")).unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(ssh.stdout.take().unwrap())
            .read_line(&mut said)
            .unwrap();
        assert!(said.contains("listeningOn==8123=="), "{said}{}", self.log());
        Remote { ssh, socks, said }
    }

    /// `ssh -N -L PORT:TO`, which listens.
    fn forward(&self, to: &str) -> (u16, Remote) {
        let port = free_port();
        let there = format!("127.0.0.1:{port}:{to}");
        let words = ["-N", "-L", &there, "-l", "lab"];
        let ssh = self.lab.alice().start(&words, "");
        until("the forward listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        (
            port,
            Remote {
                ssh,
                socks: 0,
                said: String::new(),
            },
        )
    }

    /// A script of ours with the modules of the tree.
    fn node(&self, script: &str, words: &[&str]) -> Command {
        let mut node = Command::new("node");
        node.args(["-e", script, "--"])
            .args(words)
            .env("NODE_PATH", cache("code-server/tree/node_modules"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        node
    }

    fn log(&self) -> String {
        self.lab
            .alice()
            .ssh_as("lab", "tail -n 30 /root/.vs/log /root/.vs/echo.log")
            .text()
    }
}

impl Remote {
    fn cut(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.cut();
    }
}

fn ended(child: Child) -> Run {
    child.wait_with_output().unwrap().into()
}

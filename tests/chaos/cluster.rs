//! A gateway and its nodes, as real programs, each ended and started at will.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::river::program;
use harness::wait::until;
use harness::{Person, Run};
use tempfile::TempDir;

use crate::disk::{Disk, Size};
use crate::memory::{self, Peak};
use crate::node::{Engine, Node};

pub(crate) const PORT: u16 = 2222;

/// Disks of their own for state folders, and for what Docker keeps; `None`: that of this machine.
#[derive(Clone, Copy, Default)]
pub(crate) struct Disks {
    pub(crate) gateway: Option<Size>,
    pub(crate) nodes: Option<Size>,
    pub(crate) docker: Option<Size>,
}

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) admin: Person,
    gateway: Option<Child>,
    /// Of all lives of the gateway.
    peak: Peak,
    lines: String,
    disk: Option<Disk>,
    /// Kept when something failed: the logs are there.
    base: Option<TempDir>,
}

impl Cluster {
    /// `lines`: of the gateway's configuration.
    pub(crate) fn new(engines: &[Engine], lines: &str) -> Self {
        Self::on_disks(engines, lines, Disks::default())
    }

    /// With state folders on disks of their own.
    pub(crate) fn on_disks(engines: &[Engine], lines: &str, disks: Disks) -> Self {
        let base = tempfile::Builder::new()
            .prefix("rvc")
            .tempdir_in("/tmp")
            .unwrap();
        let path = base.path().to_owned();
        crate::host::made(&path);
        std::fs::create_dir(path.join("starts")).unwrap();
        let admin = Person::new(&path, PORT, "alice");
        let mut cluster = Self {
            nodes: Vec::new(),
            admin,
            gateway: None,
            peak: Peak::default(),
            lines: lines.to_owned(),
            disk: None,
            base: Some(base),
        };
        if let Some(size) = disks.gateway {
            let disk = Disk::new(path.join("g.img"), cluster.state(), size);
            cluster.disk.insert(disk).mount();
        }
        cluster.write_config();
        cluster.start_gateway("");
        let invitation = std::fs::read_to_string(path.join("g/invitation")).unwrap();
        let login = invitation
            .split([' ', '@'])
            .find(|word| word.starts_with("invite-"))
            .unwrap();
        cluster.admin.ssh_as(login, "alice").good();
        for (number, engine) in (1..).zip(engines) {
            let node = Node::new(&path, number, *engine, disks);
            node.write_config(&cluster.starts(), "");
            let token = cluster
                .admin
                .ssh(&format!("node invite -q {}", node.name()))
                .good();
            node.join(&token);
            cluster.nodes.push(node);
        }
        for node in &mut cluster.nodes {
            node.start_runner();
        }
        cluster.until_ready();
        cluster
    }

    pub(crate) fn base(&self) -> &Path {
        self.base.as_ref().unwrap().path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.base().join("g")
    }

    /// Where tasks write down that they began and ended.
    pub(crate) fn starts(&self) -> PathBuf {
        self.base().join("starts")
    }

    pub(crate) fn write_config(&self) {
        let text = format!(
            "listen = \"0.0.0.0:{PORT}\"\nstate_dir = \"{}\"\naddress = \"127.0.0.1\"\n{}",
            self.state().display(),
            self.lines
        );
        std::fs::write(self.base().join("g.toml"), text).unwrap();
    }

    pub(crate) fn gateway_command(&self) -> Command {
        let mut command = Command::new(program("river-gateway"));
        command.arg("--config").arg(self.base().join("g.toml"));
        command
    }

    /// `fault`: see `tunnel/src/fault.rs`. How long it took to listen.
    pub(crate) fn start_gateway(&mut self, fault: &str) -> Duration {
        let mut command = self.gateway_command();
        command.env("RIVER_FAULT", fault);
        self.start_gateway_as(&mut command)
    }

    pub(crate) fn start_gateway_as(&mut self, command: &mut Command) -> Duration {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.base().join("g.log"))
            .unwrap();
        let begun = Instant::now();
        self.gateway = Some(
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        until("the gateway listens", || {
            std::net::TcpStream::connect(("127.0.0.1", PORT)).is_ok()
        });
        begun.elapsed()
    }

    pub(crate) fn kill_gateway(&mut self) {
        self.peak.note(self.gateway_pid());
        if let Some(mut gateway) = self.gateway.take() {
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
    }

    /// As a service manager stops it.
    pub(crate) fn end_gateway(&mut self) {
        self.peak.note(self.gateway_pid());
        let mut gateway = self.gateway.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(gateway.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let ended = gateway.wait().unwrap();
        assert!(ended.success(), "the gateway ended with {ended}");
    }

    /// Its exit, once it has ended by itself.
    pub(crate) fn gateway_ended(&mut self) -> bool {
        self.peak.note(self.gateway_pid());
        let ended = self
            .gateway
            .as_mut()
            .is_none_or(|gateway| gateway.try_wait().unwrap().is_some());
        if ended {
            self.gateway = None;
        }
        ended
    }

    /// Until it has ended by itself; with this code.
    pub(crate) fn until_ended(&mut self) -> Option<i32> {
        let mut gateway = self.gateway.take()?;
        let mut status = None;
        until("the gateway has ended", || {
            self.peak.note(gateway.id());
            status = gateway.try_wait().unwrap();
            status.is_some()
        });
        status?.code()
    }

    /// All that it said.
    pub(crate) fn gateway_log(&self) -> String {
        std::fs::read_to_string(self.base().join("g.log")).unwrap_or_default()
    }

    pub(crate) fn gateway_pid(&self) -> u32 {
        self.gateway.as_ref().map_or(0, Child::id)
    }

    /// I6, in words.
    pub(crate) fn memory(&mut self) -> String {
        self.peak.note(self.gateway_pid());
        memory::judge(self.peak, self.nodes.iter_mut().map(Node::peak))
    }

    /// `ssh river LINE`
    pub(crate) fn river(&self, line: &str) -> Run {
        self.admin.ssh(line)
    }

    pub(crate) fn is_ready(&self) -> bool {
        let list = self.river("node list --json").text();
        let count = |state: &str| list.matches(&format!("\"state\":\"{state}\"")).count();
        count("ready") + count("draining") == self.nodes.len()
    }

    pub(crate) fn until_ready(&self) {
        until("every node is ready", || self.is_ready());
    }

    /// The begin and the end of what the gateway and its nodes said.
    pub(crate) fn logs(&self) -> String {
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.len().saturating_sub(25);
            format!("--- {}\n{}\n", path.display(), lines[last..].join("\n"))
        };
        let nodes = self
            .nodes
            .iter()
            .map(|node| read(node.dir.join("runner.log")));
        read(self.base().join("g.log")) + &nodes.collect::<String>()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            if let Some(base) = self.base.take() {
                eprintln!("kept: {}", base.keep().display());
            }
        }
        self.kill_gateway();
        self.nodes.clear();
        self.disk = None;
    }
}

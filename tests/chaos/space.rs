//! Machines of namespaces: a network for the gateway and its clients, and for each node a network, processes and
//! mounts of its own. The end of a node's first process is the end of all of them: a reboot.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use harness::wait::until;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Names of this program's namespaces.
fn name(of: &str) -> String {
    format!("rvc{}-{of}", std::process::id())
}

fn path(of: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name(of))
}

pub(crate) fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {said}");
}

/// Makes the gateway's network, and makes this process and all it starts part of it. The network that it was in.
pub(crate) fn enter_gateway() -> File {
    sweep();
    let own = File::open("/proc/self/ns/net").unwrap();
    run(&["ip", "netns", "add", &name("gw")]);
    let network = File::open(path("gw")).unwrap();
    setns(network, CloneFlags::CLONE_NEWNET).unwrap();
    run(&["ip", "link", "set", "lo", "up"]);
    own
}

/// Back to the network of before.
pub(crate) fn leave(own: &File) {
    setns(own, CloneFlags::CLONE_NEWNET).unwrap();
    let _ = Command::new("ip")
        .args(["netns", "delete", &name("gw")])
        .status();
}

/// Networks of runs that were killed.
fn sweep() {
    for entry in std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten()
    {
        let file = entry.file_name();
        let Some(rest) = file.to_str().and_then(|file| file.strip_prefix("rvc")) else {
            continue;
        };
        let pid = rest.split('-').next().unwrap_or_default();
        if !PathBuf::from("/proc").join(pid).exists() {
            let _ = Command::new("ip")
                .arg("netns")
                .arg("delete")
                .arg(&file)
                .status();
        }
    }
}

/// The first process of a node: it takes in whoever is left over, for ever.
pub(crate) fn init() -> ! {
    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block().unwrap();
    println!("up");
    // Its machine lasts as long as the program that made it, however that ends.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    loop {
        while matches!(waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
        {
        }
        let _ = children.wait();
    }
}

/// One node's machine.
pub(crate) struct Space {
    number: usize,
    /// `unshare`, and the init that it made.
    first: Option<(Child, u32)>,
}

impl Space {
    pub(crate) fn new(number: usize) -> Self {
        let network = name(&format!("n{number}"));
        let (here, there) = (format!("v{number}"), "up0");
        run(&["ip", "netns", "add", &network]);
        run(&[
            "ip", "link", "add", &here, "type", "veth", "peer", "name", there, "netns", &network,
        ]);
        run(&[
            "ip",
            "address",
            "add",
            &format!("10.77.{number}.1/24"),
            "dev",
            &here,
        ]);
        run(&["ip", "link", "set", &here, "up"]);
        let space = Self {
            number,
            first: None,
        };
        for words in [
            vec!["ip", "link", "set", "lo", "up"],
            vec![
                "ip",
                "address",
                "add",
                &format!("10.77.{number}.2/24"),
                "dev",
                there,
            ],
            vec!["ip", "link", "set", there, "up"],
        ] {
            let status = space.in_network(words[0]).args(&words[1..]).status();
            assert!(status.unwrap().success(), "{words:?}");
        }
        space
    }

    fn network(&self) -> PathBuf {
        path(&format!("n{}", self.number))
    }

    /// By which the node reaches the gateway.
    pub(crate) fn gateway(&self) -> String {
        format!("10.77.{}.1", self.number)
    }

    /// The gateway's end of the cable.
    pub(crate) fn cable(&self) -> String {
        format!("v{}", self.number)
    }

    pub(crate) fn in_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.network().display()))
            .arg(program);
        command
    }

    /// Processes and mounts of its own.
    pub(crate) fn boot(&mut self) {
        let own = std::env::current_exe().unwrap();
        let mut child = self
            .in_network("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private"])
            .arg(own)
            .args(["init", &name(&format!("n{}", self.number))])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut up).unwrap();
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let init = std::fs::read_to_string(children).unwrap();
        let init = init.trim().parse().unwrap();
        self.first = Some((child, init));
    }

    /// As the plug pulled: every process of the node ends at once, and its mounts go.
    pub(crate) fn crash(&mut self) {
        let Some((mut child, init)) = self.first.take() else {
            return;
        };
        let _ = kill(Pid::from_raw(init.cast_signed()), Signal::SIGKILL);
        let _ = child.wait();
    }

    /// A program of the node.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let (_, init) = self.first.as_ref().unwrap();
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &init.to_string(), "--mount", "--pid", "--net"])
            .arg(program);
        command
    }

    /// The process that `nsenter` started, as this machine numbers it.
    pub(crate) fn child_of(nsenter: &Child) -> u32 {
        let path = format!("/proc/{0}/task/{0}/children", nsenter.id());
        let mut found = 0;
        until("nsenter has a child", || {
            let children = std::fs::read_to_string(&path).unwrap_or_default();
            found = children.trim().parse().unwrap_or_default();
            found != 0
        });
        found
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.crash();
        let _ = Command::new("ip")
            .args(["link", "delete", &self.cable()])
            .stderr(Stdio::null())
            .status();
        let _ = Command::new("ip")
            .args(["netns", "delete", &name(&format!("n{}", self.number))])
            .status();
    }
}

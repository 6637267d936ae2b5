//! A machine of its own, without systemd: this one's files, copied on write; its own processes, mounts and network;
//! a cable to this one. Needs root, as the tests with Docker do.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::openssh::Run;

/// Ends with everything that runs on it when dropped.
pub struct Machine {
    dir: TempDir,
    holder: Child,
    /// The first process in there, as this machine numbers it.
    init: u32,
    /// Of this machine, as the other sees it.
    pub here: String,
    /// Of the other.
    pub there: String,
}

/// In its namespaces, before anything else. `$1`: a folder that is its own.
const SETUP: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs -o size=3g,mode=0755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs -o mode=0755 tmpfs "$1/root/run"
mount -t tmpfs -o mode=1777 tmpfs "$1/root/tmp"
rm -rf "$1/root/etc/river" "$1/root/var/lib/river-runner" "$1/root/var/lib/river-gateway"
ip link set lo up
echo ready
exec sleep infinity
"#;

fn succeeds(words: &[&str]) {
    let (program, rest) = words.split_first().unwrap();
    let output = Command::new(program).args(rest).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}

impl Machine {
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("rm")
            .tempdir_in("/tmp")
            .unwrap();
        let mut holder = Command::new("unshare")
            .args([
                "--mount",
                "--net",
                "--pid",
                "--uts",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                SETUP,
                "sh",
            ])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let said = holder.stdout.take().unwrap();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert_eq!(
            line, "ready\n",
            "a machine of its own needs root, overlayfs and iproute2"
        );
        let pid = holder.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let init: u32 = children.trim().parse().unwrap();
        // Pids of living processes differ, and so do the networks.
        let (high, low) = (100 + init / 250 % 150, init % 250);
        let (here, there) = (format!("10.{high}.{low}.1"), format!("10.{high}.{low}.2"));
        let (cable, netns) = (format!("rv{init}"), init.to_string());
        let veth = [
            "ip", "link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &netns,
        ];
        succeeds(&veth);
        succeeds(&["ip", "address", "add", &format!("{here}/24"), "dev", &cable]);
        succeeds(&["ip", "link", "set", &cable, "up"]);
        let machine = Self {
            dir,
            holder,
            init,
            here,
            there,
        };
        let there = &machine.there;
        machine
            .sh(&format!(
                "ip address add {there}/24 dev eth0 && ip link set eth0 up"
            ))
            .good();
        machine
    }

    /// To be run on it, by a shell.
    #[must_use]
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args([
                "-t",
                &self.init.to_string(),
                "-m",
                "-n",
                "-p",
                "-u",
                "chroot",
            ])
            .arg(self.dir.path().join("root"))
            .args(["sh", "-c", line])
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn sh(&self, line: &str) -> Run {
        self.command(line).output().unwrap().into()
    }

    /// With this on standard input.
    pub fn sh_with(&self, line: &str, input: &[u8]) -> Run {
        Run::of(&mut self.command(line), input)
    }

    /// A cable between two of them; the address of this one on it, as the other sees it.
    #[must_use]
    pub fn connect(&self, other: &Self) -> String {
        let (own, others) = (self.init.to_string(), other.init.to_string());
        let cable = [
            "ip", "link", "add", "eth1", "netns", &own, "type", "veth", "peer", "name", "eth1",
            "netns", &others,
        ];
        succeeds(&cable);
        let address = "10.250.0.1".to_owned();
        self.sh(&format!(
            "ip address add {address}/30 dev eth1 && ip link set eth1 up"
        ))
        .good();
        other
            .sh("ip address add 10.250.0.2/30 dev eth1 && ip link set eth1 up")
            .good();
        address
    }

    /// A file of this machine, put there.
    pub fn put(&self, from: &std::path::Path, to: &str) {
        let bytes = std::fs::read(from).unwrap();
        self.sh_with(&format!("cat > {to}"), &bytes).good();
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

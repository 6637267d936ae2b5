//! A machine of its own, without systemd: this one's files, copied on write; its own processes, mounts and network;
//! a cable to this one. Needs root, as the tests with Docker do. What systemd would do for its units, a script does
//! (`tests/harness/units.sh`).

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::openssh::Run;
use crate::wait::until;

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

/// `systemctl` and `journalctl` of such a machine.
const UNITS: &str = include_str!("units.sh");

/// In its namespaces, before anything else. `$1`: a folder that is its own; `$2`: `docker`, if it is to have one.
const SETUP: &str = r#"
set -e
docker=$2
mount --make-rprivate /
mount -t tmpfs -o size=3g,mode=0755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs -o mode=0755 tmpfs "$1/root/run"
mount -t tmpfs -o mode=1777 tmpfs "$1/root/tmp"
rm -rf "$1/root/etc/river" "$1/root/var/lib/river-runner" "$1/root/var/lib/river-gateway" "$1/root/root/.ssh"
# What a shell of this machine begins with is not of the other.
rm -f "$1/root/root/.bashrc" "$1/root/root/.profile" "$1/root/root/.bash_profile"
rm -f "$1/root/etc/machine-id" "$1/root/var/lib/dbus/machine-id"
tr -d - < /proc/sys/kernel/random/uuid > "$1/root/etc/machine-id"
if [ "$docker" = docker ]; then
    # Its images and containers need a file system that overlays can stand on.
    mkdir -p "$1/docker" "$1/root/var/lib/docker"
    mount --rbind /sys "$1/root/sys"
    mount --bind "$1/docker" "$1/root/var/lib/docker"
fi
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
        Self::of("")
    }

    /// With a Docker of its own, that `systemctl start docker` starts.
    #[must_use]
    pub fn with_docker() -> Self {
        let machine = Self::of("docker");
        machine.stand_in();
        let group = machine.group();
        let unit = format!(
            "[Service]\nExecStart=dockerd --host=unix:///var/run/docker.sock --iptables=false --cgroup-parent={group}\n\
             Restart=always\n[Install]\nWantedBy=multi-user.target\n"
        );
        machine
            .sh_with("cat > /etc/systemd/system/docker.service", unit.as_bytes())
            .good();
        machine.sh("systemctl enable --now docker").good();
        until("dockerd answers", || machine.sh("docker version").code == 0);
        machine
    }

    /// Of its containers, in the tree that all machines here share.
    fn group(&self) -> String {
        format!("/river-machine-{}", self.init)
    }

    /// From here on `systemctl` and `journalctl` are there, and act on units.
    pub fn stand_in(&self) {
        let line = "mkdir -p /run/systemd/system && cat > /usr/local/bin/systemctl && chmod 755 /usr/local/bin/systemctl && \
                    ln -sf systemctl /usr/local/bin/journalctl";
        self.sh_with(line, UNITS.as_bytes()).good();
    }

    fn of(docker: &str) -> Self {
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
            .arg(docker)
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

    /// A cable between two of them, by its number; the address of this one on it, as the other sees it.
    #[must_use]
    pub fn connect(&self, other: &Self, number: u8) -> String {
        let (own, others) = (self.init.to_string(), other.init.to_string());
        let card = format!("eth{number}");
        let cable = [
            "ip", "link", "add", &card, "netns", &own, "type", "veth", "peer", "name", &card,
            "netns", &others,
        ];
        succeeds(&cable);
        for (machine, end) in [(self, 1), (other, 2)] {
            machine
                .sh(&format!(
                    "ip address add 10.250.{number}.{end}/30 dev {card} && ip link set {card} up"
                ))
                .good();
        }
        format!("10.250.{number}.1")
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
        // What runs in there has ended; the groups of its containers are this machine's.
        let _ = Command::new("find")
            .args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path"])
            .arg(format!("*{}*", self.group()))
            .args(["-exec", "rmdir", "{}", ";"])
            .stderr(Stdio::null())
            .status();
    }
}

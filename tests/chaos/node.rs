//! One node: its machine, its Docker, its runner; each can be ended and started by itself.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::river::program;
use harness::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cluster::Disks;
use crate::disk::Disk;
use crate::memory::Peak;
use crate::space::Space;

/// A group below the node's own, for its programs where they are given a limit, too.
pub(crate) const PROGRAMS: &str = "programs";

/// A program that `nsenter` runs in the node.
struct Running {
    nsenter: Child,
    pid: u32,
}

impl Running {
    fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid.cast_signed()), signal);
    }

    fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.nsenter.wait();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Engine {
    Docker,
    Process,
}

pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) space: Space,
    pub(crate) dir: PathBuf,
    pub(crate) engine: Engine,
    docker: Option<Running>,
    runner: Option<Running>,
    peak: Peak,
    /// Of its state folder and of its Docker, where they have their own.
    disks: Vec<Disk>,
    boots: u32,
    /// What the runner's next start has in its environment.
    pub(crate) fault: String,
}

impl Node {
    /// A machine that is up, with its Docker.
    pub(crate) fn new(base: &Path, number: usize, engine: Engine, disks: Disks) -> Self {
        let dir = base.join(format!("n{number}"));
        std::fs::create_dir(&dir).unwrap();
        let docker = disks.docker.filter(|_| engine == Engine::Docker);
        let places = [("r", disks.nodes), ("d", docker)];
        let own = places.into_iter().filter_map(|(at, size)| {
            let image = dir.join(format!("{at}.img"));
            Some(Disk::new(image, dir.join(at), size?))
        });
        let mut node = Self {
            disks: own.collect(),
            number,
            space: Space::new(number),
            dir,
            engine,
            docker: None,
            runner: None,
            peak: Peak::default(),
            boots: 0,
            fault: String::new(),
        };
        node.boot();
        node
    }

    pub(crate) fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// Its machine starts, with Docker and not yet the runner.
    pub(crate) fn boot(&mut self) {
        self.boots += 1;
        self.space.boot();
        for disk in &self.disks {
            disk.mount_in(&self.space);
        }
        self.start_docker();
    }

    /// Everything on it ends, as when the power fails.
    pub(crate) fn crash(&mut self) {
        self.peak();
        self.space.crash();
        for mut running in [self.docker.take(), self.runner.take()]
            .into_iter()
            .flatten()
        {
            let _ = running.nsenter.wait();
        }
        self.remove_cgroups();
        // What a boot finds empty.
        let _ = std::fs::remove_dir_all(self.dir.join("x"));
        let _ = std::fs::remove_file(self.dir.join("docker.pid"));
    }

    /// As the node sees it.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.join("r")
    }

    /// … its Docker's own.
    pub(crate) fn docker_root(&self) -> PathBuf {
        self.dir.join("d")
    }

    pub(crate) fn runner_pid(&self) -> u32 {
        self.runner.as_ref().map_or(0, |runner| runner.pid)
    }

    /// 0 without one.
    pub(crate) fn docker_pid(&self) -> u32 {
        self.docker.as_ref().map_or(0, |docker| docker.pid)
    }

    pub(crate) fn runner_log(&self) -> String {
        std::fs::read_to_string(self.dir.join("runner.log")).unwrap_or_default()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    fn start(&self, command: &mut Command, log: &str) -> Running {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join(log))
            .unwrap();
        let nsenter = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let pid = Space::child_of(&nsenter);
        Running { nsenter, pid }
    }

    pub(crate) fn start_docker(&mut self) {
        if self.engine == Engine::Process {
            return;
        }
        let path = |name: &str| self.dir.join(name).display().to_string();
        let _ = std::fs::remove_file(self.socket());
        let mut command = self.space.inside("dockerd");
        command.args(["--data-root", &path("d"), "--exec-root", &path("x")]);
        command.args([
            "-H",
            &format!("unix://{}", path("s")),
            "--pidfile",
            &path("docker.pid"),
        ]);
        // As docs/operate.md has it: boxes outlive their Docker.
        command.args(["--live-restore", "--cgroup-parent", &self.cgroup()]);
        self.docker = Some(self.start(&mut command, "docker.log"));
        until("Docker answers", || self.docker(&["version"]).is_ok());
    }

    /// They outlive processes, as empty folders; what lives in one may take a moment to end.
    fn remove_cgroups(&self) {
        for _ in 0..100 {
            let groups = cgroups(&self.cgroup());
            // Those below others first.
            for group in groups.iter().rev() {
                let _ = std::fs::remove_dir(group);
            }
            if groups.is_empty() {
                break;
            }
            harness::wait::rest(std::time::Duration::from_millis(20));
        }
    }

    pub(crate) fn cgroup(&self) -> String {
        format!("/rvc{}-n{}", std::process::id(), self.number)
    }

    /// What Docker's client prints, or why not.
    pub(crate) fn docker(&self, words: &[&str]) -> Result<String, String> {
        let output = Command::new("docker")
            .arg("-H")
            .arg(format!("unix://{}", self.socket().display()))
            .args(words)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    pub(crate) fn kill_docker(&mut self) {
        if let Some(docker) = self.docker.take() {
            docker.kill();
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("runner.toml")
    }

    /// `lines`: of the configuration, beside what it must have.
    pub(crate) fn write_config(&self, starts: &Path, lines: &str) {
        let (engine, cores) = match self.engine {
            Engine::Docker => ("docker", 4),
            Engine::Process => ("process", 8),
        };
        let text = format!(
            "gateway = \"{}:2222\"\nstate_dir = \"{}/r\"\nengine = \"{engine}\"\ncores = {cores}\ndocker_socket = \"{}\"\n\
             guest = \"{}\"\nmachine_id = \"m{}\"\nboot_id = \"boot-{}\"\nopen_to = \"user\"\nmounts = [\"{}\"]\n\
             grace = 2\nfirst_uid = 0\n{lines}",
            self.space.gateway(),
            self.dir.display(),
            self.socket().display(),
            harness::river::guest().display(),
            self.number,
            self.boots,
            starts.display(),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn join(&self, token: &str) {
        let file = self.dir.join("token");
        std::fs::write(&file, token).unwrap();
        let output = self
            .space
            .inside(&program("river-runner").display().to_string())
            .arg("--config")
            .arg(self.config())
            .args(["join", "--token-file"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    pub(crate) fn start_runner(&mut self) {
        // A boot has an id of its own.
        let text = std::fs::read_to_string(self.config()).unwrap();
        let own = format!("boot_id = \"boot-{}\"", self.boots);
        let lines: Vec<&str> = text
            .lines()
            .map(|line| {
                if line.starts_with("boot_id") {
                    &own
                } else {
                    line
                }
            })
            .collect();
        std::fs::write(self.config(), lines.join("\n") + "\n").unwrap();
        let mut command = self
            .space
            .inside(&program("river-runner").display().to_string());
        command.arg("--config").arg(self.config());
        command.env("RIVER_FAULT", std::mem::take(&mut self.fault));
        self.runner = Some(self.start(&mut command, "runner.log"));
    }

    /// Folders of attempts that the runner has not forgotten.
    pub(crate) fn attempts(&self) -> usize {
        std::fs::read_dir(self.dir.join("r/a")).map_or(0, Iterator::count)
    }

    /// The most memory that its runners had.
    pub(crate) fn peak(&mut self) -> Peak {
        self.peak.note(self.runner_pid());
        self.peak
    }

    pub(crate) fn kill_runner(&mut self) {
        self.peak();
        if let Some(runner) = self.runner.take() {
            runner.kill();
        }
    }

    /// As a service manager stops it.
    pub(crate) fn end_runner(&mut self) {
        self.peak();
        if let Some(mut runner) = self.runner.take() {
            runner.signal(Signal::SIGTERM);
            let ended = runner.nsenter.wait().unwrap();
            assert!(ended.success(), "the runner ended with {ended}");
        }
    }

    /// A fault that was aimed has struck.
    pub(crate) fn runner_ended(&mut self) -> bool {
        self.peak();
        let ended = self
            .runner
            .as_mut()
            .is_none_or(|runner| runner.nsenter.try_wait().unwrap().is_some());
        if ended {
            self.runner = None;
        }
        ended
    }

    pub(crate) fn stop_runner(&self, stopped: bool) {
        if let Some(runner) = &self.runner {
            runner.signal(if stopped {
                Signal::SIGSTOP
            } else {
                Signal::SIGCONT
            });
            if !stopped {
                // It stands still with what it waits for.
                let nsenter = Pid::from_raw(runner.nsenter.id().cast_signed());
                let _ = kill(nsenter, Signal::SIGCONT);
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Where groups begin: a folder for each kind of limit, or one for all.
fn roots() -> impl Iterator<Item = PathBuf> {
    let all = Path::new("/sys/fs/cgroup");
    let each = std::fs::read_dir(all).into_iter().flatten().flatten();
    each.map(|entry| entry.path())
        .chain(std::iter::once(all.into()))
}

/// All groups of this name, and those below them.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next: Vec<PathBuf> = roots()
        .map(|root| root.join(name.trim_start_matches('/')))
        .filter(|group| group.is_dir())
        .collect();
    while let Some(group) = next.pop() {
        let below = std::fs::read_dir(&group).into_iter().flatten().flatten();
        next.extend(below.map(|entry| entry.path()).filter(|path| path.is_dir()));
        found.push(group);
    }
    found
}

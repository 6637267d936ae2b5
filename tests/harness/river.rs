//! A gateway and runners as real processes on loopback; what they started ends with them.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tempfile::TempDir;

pub use crate::build::{Build, guest, program, target};
use crate::openssh::Person;
use crate::process::status;
use crate::wait::until;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Docker,
    Process,
}

/// A command at which the gateway panics, in debug builds.
pub const MISTAKE: &str = "this is a mistake\u{1b}[2J";

/// Ends everything when dropped.
pub struct River {
    pub dir: TempDir,
    pub port: u16,
    pub admin: Person,
    engine: Engine,
    /// What the next start of either takes.
    programs: Build,
    gateway: Option<Child>,
    runner: Option<Child>,
    /// Kept over restarts of the gateway, as a service manager would.
    socket: Option<TcpListener>,
    /// A folder that tasks may mount.
    pub data: PathBuf,
}

/// Where the project's scripts put what Debian does not have: outside the checkout.
#[must_use]
pub fn cache(name: &str) -> PathBuf {
    let cache = std::env::var("XDG_CACHE_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cache")));
    Path::new(&cache.unwrap()).join("river").join(name)
}

/// The Docker that `scripts/with-docker.sh` found or started.
#[must_use]
pub fn docker_socket() -> String {
    std::env::var("RIVER_DOCKER_SOCKET").unwrap_or_else(|_| "/var/run/docker.sock".to_owned())
}

/// What Docker's own client prints, of the daemon of these tests.
pub fn docker(words: &[&str]) -> String {
    let host = format!("unix://{}", docker_socket());
    let output = Command::new("docker")
        .args(["-H", &host])
        .args(words)
        .output();
    let bytes = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

impl River {
    /// One gateway, one runner with `cores` cores, and an admin called alice.
    #[must_use]
    pub fn start(engine: Engine, cores: u32) -> Self {
        Self::start_with(engine, cores, "")
    }

    /// As [`River::start`], with further lines of the runner's configuration.
    #[must_use]
    pub fn start_with(engine: Engine, cores: u32, lines: &str) -> Self {
        Self::start_of(engine, cores, lines, Build::own())
    }

    /// A gateway alone, with these lines of configuration, and an admin called alice.
    #[must_use]
    pub fn gateway_alone(lines: &str) -> Self {
        Self::gateway(lines, (Engine::Process, 0, ""), Build::own())
    }

    /// As [`River::start_with`], of these programs.
    #[must_use]
    pub fn start_of(engine: Engine, cores: u32, lines: &str, programs: Build) -> Self {
        let mut river = Self::gateway("", (engine, cores, lines), programs);
        let path = river.dir.path().to_owned();
        let token = river.admin.ssh("node invite -q n1").good();
        std::fs::write(path.join("token"), token).unwrap();
        let joined = Command::new(&river.programs.runner)
            .args(["--config", "r.toml", "join", "--token-file", "token"])
            .current_dir(&path)
            .output()
            .unwrap();
        assert!(joined.status.success(), "{joined:?}");
        river.start_runner();
        river
    }

    fn gateway(gateway: &str, node: (Engine, u32, &str), programs: Build) -> Self {
        // Short: a socket's path has 108 bytes at most.
        let dir = tempfile::Builder::new()
            .prefix("rv")
            .tempdir_in("/tmp")
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        configure(dir.path(), port, gateway, node, &programs);
        let path = dir.path().to_owned();
        let data = path.join("data");
        let admin = Person::new(&path, port, "alice");
        let mut river = Self {
            dir,
            port,
            admin,
            engine: node.0,
            programs,
            gateway: None,
            runner: None,
            socket: None,
            data,
        };
        river.start_gateway();
        let invitation = std::fs::read_to_string(path.join("g/invitation")).unwrap();
        let login = invitation
            .split([' ', '@'])
            .find(|word| word.starts_with("invite-"))
            .unwrap();
        assert!(
            river
                .admin
                .ssh_as(login, "alice")
                .good()
                .contains("welcome, alice")
        );
        river
    }

    /// From their next starts on, gateway and runner are of these versions; the guest is the runner's.
    pub fn change(&mut self, gateway: &Build, node: &Build) {
        self.programs = Build {
            gateway: gateway.gateway.clone(),
            ..node.clone()
        };
        let guest = self.dir.path().join("river-guest");
        std::fs::remove_file(&guest).unwrap();
        std::os::unix::fs::symlink(&node.guest, guest).unwrap();
    }

    fn spawn(&self, program: &Path, config: &str) -> Child {
        self.background(Command::new(program).args(["--config", config]), config)
    }

    fn background(&self, command: &mut Command, config: &str) -> Child {
        let log = self.dir.path().join(format!("{config}.log"));
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        command
            .current_dir(self.dir.path())
            .env("RIVER_MISTAKE", MISTAKE)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub fn start_gateway(&mut self) {
        let gateway = match &self.socket {
            None => self.spawn(&self.programs.gateway, "g.toml"),
            Some(socket) => self.spawn_with(socket),
        };
        self.gateway = Some(gateway);
        until("the gateway listens", || self.listens());
    }

    /// Would somebody who connects now be refused?
    #[must_use]
    pub fn listens(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
    }

    /// As systemd starts a service with its socket: sd_listen_fds(3).
    fn spawn_with(&self, socket: &TcpListener) -> Child {
        fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let line = "exec 3<&$0; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
        let mut command = Command::new("bash");
        command.args(["-c", line, &socket.as_raw_fd().to_string()]);
        command
            .arg(&self.programs.gateway)
            .args(["--config", "g.toml"]);
        self.background(&mut command, "g.toml")
    }

    /// From the next start of the gateway on, its socket is kept here.
    pub fn keep_socket(&mut self) {
        self.end_gateway();
        self.socket = Some(TcpListener::bind(("127.0.0.1", self.port)).unwrap());
        self.start_gateway();
    }

    /// As a service manager stops it; what it ended with.
    pub fn end_gateway(&mut self) -> std::process::ExitStatus {
        let mut gateway = self.gateway.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(gateway.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        gateway.wait().unwrap()
    }

    pub fn start_runner(&mut self) {
        // A gateway that has not noticed the end of the one before says "ready" too.
        let connections = || self.log().matches(": connected node=").count();
        let before = connections();
        let runner = self.spawn(&self.programs.runner, "r.toml");
        until("the node is ready", || {
            connections() > before && self.admin.ssh("node list").text().contains("ready")
        });
        self.runner = Some(runner);
    }

    /// Starts it without waiting for its node, for a gateway that is away.
    pub fn start_runner_alone(&mut self) {
        self.runner = Some(self.spawn(&self.programs.runner, "r.toml"));
    }

    /// As `kill -9`.
    pub fn kill_gateway(&mut self) {
        kill(&mut self.gateway);
    }

    pub fn kill_runner(&mut self) {
        kill(&mut self.runner);
    }

    /// A further account of this role.
    #[must_use]
    pub fn person(&self, name: &str, role: &str) -> Person {
        let code = self
            .admin
            .ssh(&format!("auth invite -q --role {role} --name {name}"))
            .good();
        let person = Person::new(self.dir.path(), self.port, name);
        assert!(
            person
                .ssh_as(&format!("invite-{}", code.trim()), "")
                .good()
                .contains("welcome")
        );
        person
    }

    /// Another guest's program is installed on the node: the same, but for its content.
    pub fn install_other_guest(&self) {
        let path = self.dir.path().join("river-guest");
        let mut bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes.extend_from_slice(b"newer");
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// The pids of gateway and runner.
    #[must_use]
    pub fn pids(&self) -> (u32, u32) {
        let pid = |child: &Option<Child>| child.as_ref().map_or(0, Child::id);
        (pid(&self.gateway), pid(&self.runner))
    }

    /// Resident bytes of the gateway.
    #[must_use]
    pub fn memory(&self) -> u64 {
        status(self.pids().0, "VmRSS:").unwrap()
    }

    /// Resident bytes of the runner.
    #[must_use]
    pub fn runner_memory(&self) -> u64 {
        status(self.pids().1, "VmRSS:").unwrap()
    }

    /// The most it ever had.
    #[must_use]
    pub fn peak(&self) -> u64 {
        status(self.pids().0, "VmHWM:").unwrap()
    }

    #[must_use]
    pub fn log(&self) -> String {
        let read =
            |name: &str| std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        format!("{}\n{}", read("g.toml.log"), read("r.toml.log"))
    }

    fn end_tasks(&self) {
        let attempts = self.dir.path().join("r/a");
        for entry in std::fs::read_dir(attempts).into_iter().flatten().flatten() {
            if let Ok(text) = std::fs::read_to_string(entry.path().join("pid")) {
                end_tree(text.split(' ').next().unwrap_or_default());
            }
        }
        if self.engine == Engine::Docker {
            let filter = format!("label=river.node=test-{}", self.port);
            for id in docker(&["ps", "-aq", "--filter", &filter]).split_whitespace() {
                docker(&["rm", "-f", id]);
            }
        }
    }
}

/// Folders and configurations of a gateway and a runner.
fn configure(
    path: &Path,
    port: u16,
    gateway: &str,
    (engine, cores, lines): (Engine, u32, &str),
    programs: &Build,
) {
    let data = path.join("data");
    std::fs::create_dir(&data).unwrap();
    let gateway = format!(
        "listen = \"127.0.0.1:{port}\"\nstate_dir = \"{}/g\"\naddress = \"127.0.0.1\"\n{gateway}",
        path.display()
    );
    let more = format!("runner_dir = \"{}/programs\"\n", path.display());
    // An older version may not know it.
    let gateway = gateway + if *programs == Build::own() { &more } else { "" };
    std::fs::create_dir(path.join("programs")).unwrap();
    std::fs::write(path.join("g.toml"), gateway).unwrap();
    let name = if engine == Engine::Docker {
        "docker"
    } else {
        "process"
    };
    let runner = format!(
        "gateway = \"127.0.0.1:{port}\"\nstate_dir = \"{0}/r\"\nengine = \"{name}\"\ncores = {cores}\n\
         docker_socket = \"{1}\"\nguest = \"{2}\"\nmachine_id = \"test-{port}\"\nopen_to = \"user\"\n\
         mounts = [\"{3}\", \"{4}\"]\ngrace = 3\nfirst_uid = 0\n{lines}",
        path.display(),
        docker_socket(),
        path.join("river-guest").display(),
        data.display(),
        cache("code-server").display()
    );
    std::fs::write(path.join("r.toml"), runner).unwrap();
    std::os::unix::fs::symlink(&programs.guest, path.join("river-guest")).unwrap();
}

fn end_tree(pid: &str) {
    if pid.parse::<u32>().is_err() || !Path::new("/proc").join(pid).exists() {
        return;
    }
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        end_tree(child);
    }
    let _ = Command::new("kill")
        .args(["-9", pid])
        .stderr(Stdio::null())
        .status();
}

fn kill(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for River {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        kill(&mut self.gateway);
        kill(&mut self.runner);
        self.end_tasks();
        // A runner that is killed leaves its mount (`runner::confine`); most have none.
        let _ = Command::new("umount")
            .arg(self.dir.path().join("r/a"))
            .stderr(Stdio::null())
            .status();
    }
}

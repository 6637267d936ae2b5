//! OpenSSH's own server on loopback, and what both sides' clients share.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::openssh::Person;
use harness::wait::until;
use tempfile::TempDir;

/// The cipher that a client is told to take on both sides.
pub(super) const CIPHER: &str = "Ciphers=aes128-gcm@openssh.com";

pub(super) struct Sshd {
    child: Child,
    pub person: Person,
    _dir: TempDir,
}

impl Sshd {
    pub(super) fn start() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("sd")
            .tempdir_in("/tmp")
            .unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let person = Person::new(dir.path(), port, "peer");
        // Its host key: a second person's.
        let _ = Person::new(dir.path(), port, "host");
        let path = dir.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host_key\nAuthorizedKeysFile {path}/peer_key.pub\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\nMaxSessions 100\nMaxStartups 100\n\
             Subsystem sftp internal-sftp\n"
        );
        std::fs::write(dir.path().join("sshd_config"), config).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f"])
            .arg(dir.path().join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("sshd answers", || person.ssh("true").code == 0);
        Self {
            child,
            person,
            _dir: dir,
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that stays, and takes further sessions.
pub(super) struct Warm<'a> {
    person: &'a Person,
    login: String,
    socket: String,
}

impl<'a> Warm<'a> {
    pub(super) fn open(person: &'a Person) -> Self {
        Self::open_as(person, "root")
    }

    pub(super) fn open_as(person: &'a Person, login: &str) -> Self {
        let socket = format!("{}.mux", person.config.display());
        let login = login.to_owned();
        let warm = Self {
            person,
            login,
            socket,
        };
        let status = warm
            .command(&["-f", "-N", "-M", "-o", "ControlPersist=yes"], "")
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        warm
    }

    fn command(&self, options: &[&str], line: &str) -> Command {
        let mut all = vec!["-S", self.socket.as_str(), "-l", self.login.as_str()];
        all.extend(options);
        self.person.command(&all, line)
    }

    pub(super) fn ssh(&self, line: &str) {
        quietly(&mut self.command(&["-T"], line));
    }
}

impl Drop for Warm<'_> {
    fn drop(&mut self) {
        let _ = self
            .command(&["-O", "exit"], "")
            .stderr(Stdio::null())
            .status();
    }
}

/// To its end, which must be good; its output goes nowhere.
pub(super) fn quietly(command: &mut Command) {
    let output = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// As `quietly`, with this file as its standard input.
pub(super) fn fed(command: &mut Command, input: &Path) {
    let file = File::open(input).unwrap();
    let status = command
        .stdin(file)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status();
    assert!(status.unwrap().success(), "{command:?}");
}

/// `docker run --rm` of the default environment on the network that tasks get.
pub(super) fn docker_run() -> Command {
    let mut command = Command::new("docker");
    command
        .args(["-H", &format!("unix://{}", harness::river::docker_socket())])
        .args(["run", "--rm", "river/base", "true"])
        .stdin(Stdio::null());
    command
}

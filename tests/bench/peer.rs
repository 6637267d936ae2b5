//! OpenSSH's own server on loopback, and what both sides' clients share.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::openssh::Person;
use harness::river::docker;
use harness::wait::until;
use tempfile::TempDir;

/// The cipher that a client is told to take on both sides.
pub(super) const CIPHER: &str = "Ciphers=aes128-gcm@openssh.com";

pub(super) struct Sshd {
    host: Host,
    pub person: Person,
    _dir: TempDir,
}

/// Where it runs.
enum Host {
    Here(Child),
    Container(String),
}

/// What the programs of its container need of this machine, read-only.
const LENT: [&str; 4] = [
    "/usr/sbin/sshd",
    "/usr/lib/openssh",
    "/lib/x86_64-linux-gnu",
    "/lib64",
];

impl Sshd {
    /// On this machine's loopback, where tasks are compared with it.
    pub(super) fn start() -> Self {
        let dir = folder();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let person = configure(dir.path(), port, "127.0.0.1");
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
            host: Host::Here(child),
            person,
            _dir: dir,
        }
    }

    /// In a container of the image that boxes have, reached at its own address: what one would have instead of a
    /// box.
    pub(super) fn contained() -> Self {
        let dir = folder();
        let path = dir.path().display().to_string();
        let users = "root:x:0:0:root:/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/bin/false\n";
        std::fs::write(dir.path().join("passwd"), users).unwrap();
        let mut words = vec!["run".to_owned(), "-d".to_owned(), "--init".to_owned()];
        let mut lend =
            |from: &str, to: &str| words.extend(["-v".to_owned(), format!("{from}:{to}:ro")]);
        for place in LENT {
            lend(place, place);
        }
        lend(&path, &path);
        lend(&format!("{path}/passwd"), "/etc/passwd");
        let start = format!("mkdir -p /run/sshd; exec /usr/sbin/sshd -D -e -f {path}/sshd_config");
        words.extend(["river/base", "sh", "-c", &start].map(ToOwned::to_owned));
        // Before it starts: its configuration is read then.
        let person = configure(dir.path(), 22, "0.0.0.0");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let id = docker(&words);
        let address = docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &id]);
        let config = std::fs::read_to_string(&person.config).unwrap();
        let config = config.replace("127.0.0.1", &address);
        std::fs::write(&person.config, config).unwrap();
        until("sshd answers", || person.ssh_as("root", "true").code == 0);
        Self {
            host: Host::Container(id),
            person,
            _dir: dir,
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("sd")
        .tempdir_in("/tmp")
        .unwrap()
}

/// Its settings and keys, and who may enter.
fn configure(dir: &Path, port: u16, listen: &str) -> Person {
    let person = Person::new(dir, port, "peer");
    // Its host key: a second person's.
    let _ = Person::new(dir, port, "host");
    let path = dir.display();
    let config = format!(
        "Port {port}\nListenAddress {listen}\nHostKey {path}/host_key\nAuthorizedKeysFile {path}/peer_key.pub\n\
         StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\nMaxSessions 100\nMaxStartups 100\n\
         Subsystem sftp internal-sftp\n"
    );
    std::fs::write(dir.join("sshd_config"), config).unwrap();
    person
}

impl Drop for Sshd {
    fn drop(&mut self) {
        match &mut self.host {
            Host::Here(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Host::Container(id) => drop(docker(&["rm", "-f", id])),
        }
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

//! Other people's SSH clients, as they are in Debian, against a box. `scripts/clients.sh` installs them.

mod ansible;
mod copies;
mod dropbear;
mod forwards;
mod mounts;
mod node;
mod openssh;
mod putty;
mod python;
mod scp;
mod terminal;
mod tty;
mod x11;

pub(super) use copies::bring;
pub(super) use harness::river::cache;

use std::fs::File;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::wait::until;
use harness::{Engine, Person, River, Run};

/// Bytes of a transfer whose sum must be equal at both ends.
const BIG: u64 = 100_000_000;

/// A box called `lab`, and who may enter it.
pub(super) struct Lab {
    river: River,
}

impl Lab {
    fn new() -> Self {
        Self::with("")
    }

    /// With these options of `vps create`.
    pub(super) fn with(options: &str) -> Self {
        let river = River::start(Engine::Docker, 2);
        river
            .admin
            .ssh(&format!("vps create --name lab {options}"))
            .good();
        Self { river }
    }

    pub(super) fn alice(&self) -> &Person {
        &self.river.admin
    }

    /// Somebody else, with an account.
    pub(super) fn person(&self, name: &str) -> Person {
        self.river.person(name, "user")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.river.dir.path().join(name)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(super) fn port(&self) -> String {
        self.river.port.to_string()
    }

    /// A file of noise.
    pub(super) fn noise(&self, name: &str, size: usize) -> (String, Vec<u8>) {
        let mut bytes = vec![0; size];
        rand::fill(&mut bytes[..]);
        std::fs::write(self.path(name), &bytes).unwrap();
        (self.text(name), bytes)
    }

    /// [`BIG`] bytes of noise: the file and its sum.
    fn big(&self) -> (String, String) {
        let path = self.text("big");
        let noise = File::open("/dev/urandom").unwrap();
        let mut noise = noise.take(BIG);
        std::io::copy(&mut noise, &mut File::create(&path).unwrap()).unwrap();
        let sum = sum(&path);
        (path, sum)
    }

    /// SHA-256 of a file in the box.
    fn sum_inside(&self, path: &str) -> String {
        let line = format!("sha256sum {path}");
        first_word(&self.alice().ssh_as("lab", &line).good())
    }

    /// Whoever connects to this port in the box hears `inside`.
    fn serve_inside(&self, port: u16) {
        let serve = format!(
            "(while :; do echo inside | nc -l -p {port}; done) > /dev/null 2>&1 < /dev/null &"
        );
        self.alice().ssh_as("lab", &serve).good();
    }

    /// This client's programs in the box: streams and code of one, and [`BIG`] bytes each way.
    fn pipes(&self, name: &str, words: &[&str]) {
        let with = |line| [words, &[line]].concat();
        let run = |line| program(name, &with(line));
        let ended = run("echo out; echo err >&2; exit 7");
        assert_eq!(
            (ended.code, ended.text().as_str()),
            (7, "out\n"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("err"));
        let (big, want) = self.big();
        let back = self.text("back");
        assert_eq!(fed(name, &with("cat > /root/big"), &big).code, 0);
        assert_eq!(self.sum_inside("/root/big"), want);
        write(&back, &run("cat /root/big").stdout);
        assert_eq!(sum(&back), want);
    }

    /// This client's forward at `port` leads to [`Lab::serve_inside`].
    fn forwards(&self, name: &str, words: &[&str], port: u16) {
        let mut child = Command::new(name)
            .args(words)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        until(&format!("{name} -L into {}", self.port()), || hears(port));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// `ssh-keygen -l` of the gateway's host key, as PuTTY wants it.
    fn host_key(&self) -> String {
        let run = program("ssh-keygen", &["-lf", &self.text("g/host_key")]).good();
        run.split(' ').nth(1).unwrap().to_owned()
    }
}

/// SHA-256 of a file here.
fn sum(path: &str) -> String {
    first_word(&program("sha256sum", &[path]).good())
}

fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap().to_owned()
}

fn write(path: &str, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Does somebody say `inside` at this port?
fn hears(port: u16) -> bool {
    let mut said = String::new();
    let heard = TcpStream::connect(("127.0.0.1", port)).and_then(|mut socket| {
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.read_to_string(&mut said)
    });
    heard.is_ok() && said == "inside\n"
}

/// To its end, with nothing on its standard input.
fn program(name: &str, words: &[&str]) -> Run {
    let run = Command::new(name).args(words).stdin(Stdio::null()).output();
    run.unwrap_or_else(|error| panic!("{name}: {error}; scripts/clients.sh installs it"))
        .into()
}

/// With this file as its standard input.
fn fed(name: &str, words: &[&str], input: &str) -> Run {
    let input = std::fs::File::open(input).unwrap();
    let run = Command::new(name).args(words).stdin(input).output();
    run.unwrap_or_else(|error| panic!("{name}: {error}; scripts/clients.sh installs it"))
        .into()
}

//! Other people's SSH clients, as they are in Debian, against a box. `scripts/clients.sh` installs them.

mod copies;
mod others;
mod python;
mod scp;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::{Engine, Person, River, Run};

/// Bytes of a transfer whose sum must be equal at both ends.
const BIG: u64 = 100_000_000;

/// A box called `lab`, and who may enter it.
struct Lab {
    river: River,
}

impl Lab {
    fn new() -> Self {
        let river = River::start(Engine::Docker, 2);
        river.admin.ssh("vps create --name lab").good();
        Self { river }
    }

    fn alice(&self) -> &Person {
        &self.river.admin
    }

    fn path(&self, name: &str) -> PathBuf {
        self.river.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn port(&self) -> String {
        self.river.port.to_string()
    }

    /// A file of noise.
    fn noise(&self, name: &str, size: usize) -> (String, Vec<u8>) {
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

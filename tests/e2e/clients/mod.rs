//! Other people's SSH clients, as they are in Debian, against a box. `scripts/clients.sh` installs them.

mod copies;
mod others;
mod python;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::{Engine, Person, River, Run};

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

    /// `ssh-keygen -l` of the gateway's host key, as PuTTY wants it.
    fn host_key(&self) -> String {
        let run = program("ssh-keygen", &["-lf", &self.text("g/host_key")]).good();
        run.split(' ').nth(1).unwrap().to_owned()
    }
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

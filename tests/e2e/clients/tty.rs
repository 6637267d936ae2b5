//! A terminal of a client: of a size, with modes, typed on and looked at.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use harness::wait::until;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::program;

/// What runs on it ends with it.
pub(super) struct Tty {
    master: File,
    path: PathBuf,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Tty {
    /// These words as its session's leader, after `stty MODES`.
    pub(super) fn run((columns, rows): (u16, u16), modes: &[&str], words: &[&str]) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let master = File::from(master);
        resize(&master, columns, rows);
        let end = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        if !modes.is_empty() {
            program("stty", &[&["-F", path.to_str().unwrap()], modes].concat()).good();
        }
        let child = Command::new("setsid")
            .arg("--ctty")
            .args(words)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .stdin(end.try_clone().unwrap())
            .stdout(end.try_clone().unwrap())
            .stderr(end)
            .spawn()
            .unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, sink) = (master.try_clone().unwrap(), Arc::clone(&seen));
        let reading = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            master,
            path,
            child,
            seen,
            reading,
        }
    }

    pub(super) fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    pub(super) fn resize(&self, columns: u16, rows: u16) {
        resize(&self.master, columns, rows);
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    pub(super) fn sees(&mut self, text: &str) {
        let wanted = format!("{text} on {}", self.path.display());
        until(&wanted, || {
            let seen = self.text();
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() || seen.contains(text), "no {text}: {seen}");
            seen.contains(text)
        });
    }

    /// Its code, once all that it said is read.
    pub(super) fn ends(&mut self) -> i32 {
        let mut code = None;
        until("its end", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        until("its last word", || self.reading.is_finished());
        code.unwrap().code().unwrap_or(-1)
    }
}

/// A shell on a terminal of this client's: of its size and type, resized, with its exit code.
pub(super) fn serves(client: &[&str], term: &str) {
    let mut tty = Tty::run((111, 33), &[], client);
    tty.types("stty size; echo term=$TERM\n");
    tty.sees("33 111");
    tty.sees(&format!("term={term}"));
    tty.resize(122, 44);
    tty.types("until [ \"$(stty size)\" = '44 122' ]; do sleep 1; done; echo it is $((1+1))\n");
    tty.sees("it is 2");
    tty.types("exit 3\n");
    assert_eq!(tty.ends(), 3);
}

fn resize(master: &File, columns: u16, rows: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}

impl Drop for Tty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

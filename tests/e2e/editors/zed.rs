//! Zed: one master connection, its server by sftp or scp, messages both ways on an exec's standard streams.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use harness::Run;
use harness::wait::until;

use super::super::clients::free_port;
use super::{Desk, ended};

const MESSAGES: usize = 200;
/// Bytes of the server's file, beside its script.
const WEIGHT: usize = 20_000_000;

/// The master, for as long as it is held.
struct Master<'a> {
    desk: &'a Desk,
    child: Child,
    socket: String,
}

impl<'a> Master<'a> {
    fn begin(desk: &'a Desk, socket: &str) -> Self {
        let path = format!("ControlPath={}", desk.lab.text(socket));
        let words = [
            "-N",
            "-o",
            "ControlPersist=no",
            "-o",
            "ControlMaster=yes",
            "-o",
            &path,
            "-l",
            "lab",
        ];
        let child = desk.lab.alice().start(&words, "");
        until("the master is there", || desk.lab.path(socket).exists());
        Self {
            desk,
            child,
            socket: path,
        }
    }

    fn command(&self, more: &[&str], line: &str) -> Command {
        let words = ["-q", "-T", "-o", "ControlMaster=no", "-o", &self.socket];
        let words = [&words, more, &["-l", "lab"]].concat();
        self.desk.lab.alice().command(&words, line)
    }

    fn run(&self, line: &str) -> String {
        let run: Run = self.command(&[], line).output().unwrap().into();
        run.good()
    }

    /// `sftp` or `scp` over the master.
    fn copy(&self, name: &str, words: &[&str], input: &str) -> Run {
        let mut copy = Command::new(name)
            .arg("-F")
            .arg(&self.desk.lab.alice().config)
            .args(["-o", "ControlMaster=no", "-o", &self.socket])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = copy.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        ended(copy)
    }
}

impl Drop for Master<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server, packed; its sum unpacked.
fn packed(desk: &Desk) -> String {
    let (_, noise) = desk.lab.noise("noise", WEIGHT);
    let mut server = include_bytes!("rpc.js").to_vec();
    server.extend_from_slice(b"//");
    server.extend(noise.into_iter().map(|byte| b'a' + byte % 16));
    std::fs::write(desk.lab.path("server"), &server).unwrap();
    let pack = format!(
        "cd {} && sha256sum server && gzip -1 server",
        desk.lab.text("")
    );
    let run: Run = Command::new("sh")
        .args(["-c", &pack])
        .output()
        .unwrap()
        .into();
    run.good().split(' ').next().unwrap().to_owned()
}

fn say(to: &mut impl Write, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap();
    to.write_all(&length.to_le_bytes()).unwrap();
    to.write_all(bytes).unwrap();
}

fn hear(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

/// [`MESSAGES`] of many sizes, all answered, while the server speaks unasked.
fn talk(mut server: Child) {
    let (mut to, mut from) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let writer = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            say(&mut to, &vec![b'm'; number * 997]);
        }
        to
    });
    let (mut answers, mut unasked) = (0, 0);
    while answers < MESSAGES || unasked < 20 {
        match hear(&mut from).expect("it was cut").len() {
            64 => answers += 1,
            50_000 => unasked += 1,
            other => panic!("a message of {other} bytes, which nobody sent"),
        }
    }
    drop(writer.join().unwrap());
    while hear(&mut from).is_some() {}
    let run = ended(server);
    assert_eq!((run.code, run.stderr.trim()), (0, "heard 200"));
}

#[test]
fn zeds_master_its_server_and_its_messages() {
    let desk = Desk::new();
    let sum = packed(&desk);
    let master = Master::begin(&desk, "zed.sock");
    assert_eq!(master.run("uname -sm"), "Linux x86_64\n");
    assert_eq!(master.run("sh -c 'echo \"$SHELL\"'"), "/bin/sh\n");
    master.run("sh -c 'mkdir -p .zed_server'");
    let put = format!("put -r {} .zed_server/new.gz\n", desk.lab.text("server.gz"));
    let batch = master.copy("sftp", &["-b", "-", "lab@river"], &put);
    assert_eq!(batch.code, 0, "{}{}", batch.text(), batch.stderr);
    let unpack = "sh -c 'gunzip -f .zed_server/new.gz && chmod 700 .zed_server/new && mv .zed_server/new .zed_server/zed'";
    master.run(unpack);
    assert!(master.run("sha256sum .zed_server/zed").starts_with(&sum));
    // Its way out where sftp fails.
    let scp = master.copy(
        "scp",
        &[
            "-C",
            "-r",
            &desk.lab.text("server.gz"),
            "lab@river:.zed_server/other.gz",
        ],
        "",
    );
    assert_eq!(scp.code, 0, "{}", scp.stderr);
    assert!(
        master
            .run("sh -c 'gunzip -c .zed_server/other.gz | sha256sum'")
            .starts_with(&sum)
    );
    let serve = "sh -c 'exec env RUST_LOG=info node .zed_server/zed'";
    let server = || {
        let mut server = master.command(&[], serve);
        server.stdin(Stdio::piped()).spawn().unwrap()
    };
    // Two windows at once.
    let other = server();
    talk(server());
    talk(other);
}

#[test]
fn zeds_forward_through_its_master_and_a_new_master() {
    let desk = Desk::new();
    let mut master = Master::begin(&desk, "zed.sock");
    master.run(
        "sh -c '(while :; do echo inside | nc -l -p 8081; done) > /dev/null 2>&1 < /dev/null &'",
    );
    let port = free_port();
    let there = format!("{port}:localhost:8081");
    let mut forward = master.command(&["-N", "-L", &there], "").spawn().unwrap();
    let inside = || {
        let mut said = String::new();
        let heard = TcpStream::connect(("127.0.0.1", port));
        heard.is_ok_and(|mut socket| socket.read_to_string(&mut said).is_ok()) && said == "inside\n"
    };
    until("the forward leads in", inside);
    let _ = forward.kill();
    let _ = forward.wait();
    // The laptop slept: the master is gone, and so is what it carried.
    master.child.kill().unwrap();
    master.child.wait().unwrap();
    let again = Master::begin(&desk, "again.sock");
    assert_eq!(again.run("uname -sm"), "Linux x86_64\n");
}

//! `-L` to the same program on both sides: bulk, round trips, and opening.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use harness::wait::until;

use super::{GIB, Sides, far_end};
use crate::peer::{CIPHER, fed, quietly};
use crate::report::{Bar, Report, pair};

const ROUNDS: usize = 200;

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A forward that is up.
struct Forward {
    port: u16,
    client: Child,
}

impl Forward {
    fn open(client: impl Fn(&[&str]) -> Command, to: u16) -> Self {
        let port = free_port();
        let there = format!("127.0.0.1:{port}:127.0.0.1:{to}");
        let client = client(&["-N", "-o", CIPHER, "-L", &there])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let forward = Self { port, client };
        until("the forward answers", || {
            forward.try_connect(b'e').is_ok_and(|mut socket| {
                socket.write_all(b"x").is_ok() && socket.read_exact(&mut [0]).is_ok()
            })
        });
        forward
    }

    fn try_connect(&self, mode: u8) -> std::io::Result<TcpStream> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.set_nodelay(true)?;
        socket.write_all(&[mode])?;
        Ok(socket)
    }

    fn connect(&self, mode: u8) -> TcpStream {
        self.try_connect(mode).unwrap()
    }

    fn down(&self) {
        let (mut socket, mut buffer, mut got) = (self.connect(b's'), vec![0; 256 << 10], 0);
        while got < super::SIZE {
            match socket.read(&mut buffer).unwrap() {
                0 => break,
                count => got += count,
            }
        }
        assert_eq!(got, super::SIZE, "a forward was cut");
    }

    fn up(&self) {
        let (mut socket, block) = (self.connect(b't'), vec![0; 256 << 10]);
        for _ in 0..super::SIZE / block.len() {
            socket.write_all(&block).unwrap();
        }
        socket.read_exact(&mut [0]).unwrap();
    }

    fn open_and_echo(&self) {
        let mut socket = self.connect(b'e');
        echo(&mut socket);
    }
}

fn echo(socket: &mut TcpStream) {
    socket.write_all(b"k").unwrap();
    socket.read_exact(&mut [0]).unwrap();
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

pub(super) fn measure(report: &mut Report, sides: &Sides<'_>) {
    let program = far_end();
    let serve = |command: &dyn Fn(&[&str], &str) -> Command| {
        fed(&mut command(&["-T"], "cat > /tmp/far-end"), &program);
        let start = "chmod +x /tmp/far-end; (/tmp/far-end 9000 > /dev/null 2>&1 < /dev/null &)";
        quietly(&mut command(&["-T"], start));
        Forward::open(|words| command(words, ""), 9000)
    };
    let ours = serve(&|words, line| sides.ours(words, line));
    let theirs = serve(&|words, line| sides.theirs(words, line));
    let seen = pair(3, || ours.down(), || theirs.down());
    report.speed(
        "forward download 1 GiB",
        &seen,
        GIB,
        "-L",
        Bar::AtLeast(0.8),
    );
    let seen = pair(3, || ours.up(), || theirs.up());
    report.speed("forward upload 1 GiB", &seen, GIB, "-L", Bar::AtLeast(0.8));
    let (mut here, mut there) = (ours.connect(b'e'), theirs.connect(b'e'));
    let seen = pair(ROUNDS, || echo(&mut here), || echo(&mut there));
    report.time("forward, 1 byte and back", &seen, "-L", Bar::AtMost(2.0));
    let seen = pair(ROUNDS, || ours.open_and_echo(), || theirs.open_and_echo());
    report.time("forward, open and 1 byte", &seen, "-L", Bar::AtMost(1.5));
}

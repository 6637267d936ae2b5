//! Bytes in and out, and callers that go away.

use std::process::{Command, Stdio};

use harness::wait::until;
use harness::{Engine, River};

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn two_hundred_megabytes_there_and_back() {
    let river = River::start(Engine::Process, 2);
    let sent = noise(200 << 20);
    let run = river.admin.ssh_with("task run -- cat", &sent);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout == sent,
        "{} of {} bytes came back",
        run.stdout.len(),
        sent.len()
    );
}

#[test]
fn an_upload_that_nobody_reads_freezes_no_other_session() {
    let river = River::start(Engine::Process, 2);
    let socket = river.dir.path().join("mux");
    let mux = format!("ControlPath={}", socket.display());
    let mut master = river.admin.start(&["-N", "-M", "-o", &mux], "");
    until("the master is up", || socket.exists());
    let mut stuck = river
        .admin
        .command(&["-T", "-o", &mux], "task run -- sleep 1000")
        .stdin(
            Command::new("cat")
                .arg("/dev/zero")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
                .stdout
                .take()
                .unwrap(),
        )
        .spawn()
        .unwrap();
    until("it runs", || {
        river.admin.ssh("task list").text().contains("running")
    });
    for _ in 0..5 {
        let other = river
            .admin
            .command(&["-T", "-o", &mux], "version")
            .output()
            .unwrap();
        assert!(other.status.success());
    }
    stuck.kill().unwrap();
    stuck.wait().unwrap();
    until("its caller went away: stopped", || {
        river.admin.ssh("task list").text().contains("no tasks")
    });
    master.kill().unwrap();
    master.wait().unwrap();
}

#[test]
fn control_c_under_a_terminal_stops_the_task() {
    let river = River::start(Engine::Process, 2);
    let mut child = river
        .admin
        .command(&["-tt"], "task run -- sleep 1000")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    until("it runs", || {
        river.admin.ssh("task list").text().contains("running")
    });
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"\x03").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert!(river.admin.ssh("task list -a").text().contains("killed"));
}

#[test]
fn a_caller_that_dies_stops_its_task_and_a_cut_network_does_not() {
    let river = River::start(Engine::Process, 2);
    let mut child = river.admin.start(&["-T"], "task run -- sleep 1000");
    until("it runs", || {
        river.admin.ssh("task list").text().contains("running")
    });
    child.kill().unwrap();
    child.wait().unwrap();
    until("it is stopped", || {
        river.admin.ssh("task list -a").text().contains("killed")
    });

    let proxy = cut::Proxy::start(river.port);
    let port = format!("Port={}", proxy.port);
    let mut child = river.admin.start(
        &["-tt", "-o", &port],
        "task run -- sh -c 'sleep 3; echo done'",
    );
    until("it runs", || {
        river.admin.ssh("task list").text().contains("running")
    });
    proxy.cut();
    child.wait().unwrap();
    assert_eq!(river.admin.ssh("task wait 2").code, 0);
    assert_eq!(river.admin.ssh("task logs 2").good(), "done\n");
}

/// A network that can be cut: connections end by a reset, not in order.
mod cut {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::sync::{Arc, Mutex};

    use nix::sys::socket::{setsockopt, sockopt};

    pub(super) struct Proxy {
        pub(super) port: u16,
        sockets: Arc<Mutex<Vec<TcpStream>>>,
    }

    impl Proxy {
        pub(super) fn start(to: u16) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            let sockets: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
            let kept = Arc::clone(&sockets);
            std::thread::spawn(move || {
                for client in listener.incoming().flatten() {
                    let server = TcpStream::connect(("127.0.0.1", to)).unwrap();
                    for (from, to) in [(&client, &server), (&server, &client)] {
                        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                        std::thread::spawn(move || copy(from, to));
                    }
                    kept.lock().unwrap().extend([client, server]);
                }
            });
            Self { port, sockets }
        }

        /// RST on every connection: SO_LINGER of 0 seconds (socket(7)).
        pub(super) fn cut(&self) {
            for socket in self.sockets.lock().unwrap().drain(..) {
                let linger = nix::libc::linger {
                    l_onoff: 1,
                    l_linger: 0,
                };
                setsockopt(&socket.as_fd(), sockopt::Linger, &linger).unwrap();
                // The copying threads hold the socket open; disconnecting sends the reset at once.
                let _ = socket.shutdown(std::net::Shutdown::Read);
            }
        }
    }

    fn copy(mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }
}

/// A reader that is slower than the collection once saw a gap where the node had dropped its files.
#[test]
fn a_slow_reader_sees_no_gap_when_the_node_drops_its_files() {
    let river = River::start(Engine::Process, 2);
    let mut child = river
        .admin
        .start(&["-T"], "task run -- head -c 120000000 /dev/zero");
    let id = "1";
    until("it ended and its files are gone from the node", || {
        let ended = river
            .admin
            .ssh(&format!("task status {id} --json"))
            .text()
            .contains("\"completed\"");
        ended && !river.dir.path().join("r/a/1.1").exists()
    });
    let mut seen = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().unwrap(), &mut seen).unwrap();
    assert_eq!(seen.len(), 120_000_000);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

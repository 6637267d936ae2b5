//! Remote-SSH: a bootstrap on standard input, SOCKS, websockets, a laptop that sleeps, and a new connection.

use std::process::{Child, Command, Stdio};

use harness::wait::until;

use super::{Desk, ended};

const CLIENT: &str = include_str!("client.js");
/// Bytes each way.
const BYTES: &str = "30000000";

fn client(desk: &Desk, socks: u16, port: u16, stop: &str) -> Child {
    let words = [&socks.to_string(), &port.to_string(), BYTES, stop];
    desk.node(CLIENT, &words).spawn().unwrap()
}

fn good(child: Child) {
    let run = ended(child);
    assert_eq!(
        (run.code, run.text().as_str()),
        (0, "good\n"),
        "{}",
        run.stderr
    );
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| rest.starts_with(" T"))
}

#[test]
fn vs_codes_server_its_websockets_and_a_new_connection() {
    let desk = Desk::new();
    let mut remote = desk.connect();
    let proxy = format!("127.0.0.1:{}", remote.socks);
    let page = Command::new("curl")
        .args(["-sL", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["--socks5-hostname", &proxy, "http://127.0.0.1:8123/"])
        .stdin(Stdio::null())
        .output();
    assert_eq!(page.unwrap().stdout, b"200", "{}", desk.log());
    let sleeper = client(&desk, remote.socks, 8124, "stop");
    until("one consumer is stopped", || is_stopped(sleeper.id()));
    let others = [(); 2].map(|()| client(&desk, remote.socks, 8124, ""));
    others.into_iter().for_each(good);
    assert!(is_stopped(sleeper.id()), "the others did not wait for it");
    let went_on = Command::new("kill")
        .args(["-CONT", &sleeper.id().to_string()])
        .status();
    assert!(went_on.unwrap().success());
    good(sleeper);
    remote.cut();
    let again = desk.connect();
    assert_eq!(again.said, remote.said, "the same server");
    good(client(&desk, again.socks, 8124, ""));
}

#[test]
fn vs_codes_server_on_a_socket() {
    let desk = Desk::new();
    let _remote = desk.connect();
    let (port, _forward) = desk.forward("/root/.vs/sock");
    good(client(&desk, 0, port, ""));
}

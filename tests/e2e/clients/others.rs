//! dbclient, plink, psftp, and what OpenSSH's own client does beside plain sessions.

use std::process::{Command, Stdio};

use harness::Run;
use harness::wait::until;

use super::{Lab, fed, program};

const BIG: usize = 24 << 20;

#[test]
fn dropbears_client() {
    let lab = Lab::new();
    let key = lab.text("dropbear_key");
    let words = ["openssh", "dropbear", &lab.text("alice_key"), &key];
    program("dropbearconvert", &words).good();
    let port = lab.port();
    let to = ["-y", "-y", "-T", "-i", &key, "-p", &port, "lab@127.0.0.1"];
    let with = |line: &'static str| [&to[..], &[line]].concat();
    let run = program("dbclient", &with("echo out; echo err >&2; exit 7"));
    assert_eq!(
        (run.code, run.text().as_str()),
        (7, "out\n"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("err"));
    let (path, bytes) = lab.noise("big", BIG);
    assert!(
        fed("dbclient", &with("cat"), &path).stdout == bytes,
        "both ways at once"
    );
}

#[test]
fn puttys_clients() {
    let lab = Lab::new();
    let key = lab.text("alice.ppk");
    program(
        "puttygen",
        &[&lab.text("alice_key"), "-O", "private", "-o", &key],
    )
    .good();
    let (port, host_key) = (lab.port(), lab.host_key());
    let to = ["-batch", "-hostkey", &host_key, "-i", &key, "-P", &port];
    let plink = |line: &'static str| [&to[..], &["-T", "lab@127.0.0.1", line]].concat();
    let run = program("plink", &plink("echo out; exit 7"));
    assert_eq!(
        (run.code, run.text().as_str()),
        (7, "out\n"),
        "{}",
        run.stderr
    );
    let (path, bytes) = lab.noise("big", BIG);
    assert!(
        fed("plink", &plink("cat"), &path).stdout == bytes,
        "both ways at once"
    );
    let back = lab.text("back");
    let script = lab.text("psftp");
    std::fs::write(
        &script,
        format!("put {path} /tmp/big\nget /tmp/big {back}\nls /tmp\nquit\n"),
    )
    .unwrap();
    let run = program(
        "psftp",
        &[&to[..], &["-b", &script, "lab@127.0.0.1"]].concat(),
    );
    assert_eq!(run.code, 0, "{}{}", run.text(), run.stderr);
    assert!(std::fs::read(&back).unwrap() == bytes, "psftp");
}

#[test]
fn twenty_sessions_share_a_connection_and_a_stopped_one_holds_up_none() {
    let lab = Lab::new();
    let socket = lab.text("mux");
    let ssh = |words: &[&str], line: &str| {
        let mut all = vec!["-S", socket.as_str(), "-l", "lab"];
        all.extend(words);
        lab.alice().command(&all, line)
    };
    let master = ssh(&["-f", "-N", "-M", "-o", "ControlPersist=yes"], "");
    let mut master = master;
    assert!(
        master
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    // One that nobody reads, and one that reads nothing.
    let mut flood = ssh(&["-T"], "yes").spawn().unwrap();
    let mut deaf = ssh(&["-T"], "sleep 600")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = deaf.stdin.take().unwrap();
    let stuffing = std::thread::spawn(move || {
        let block = vec![0; 1 << 20];
        // Until the session is ended below.
        while std::io::Write::write_all(&mut input, &block).is_ok() {}
    });
    let sessions: Vec<_> = (0..20)
        .map(|number| {
            ssh(&["-T"], &format!("echo {number}; exit {number}"))
                .spawn()
                .unwrap()
        })
        .collect();
    for (number, session) in (0..).zip(sessions) {
        let run: Run = session.wait_with_output().unwrap().into();
        assert_eq!(
            (run.code, run.text()),
            (number, format!("{number}\n")),
            "{}",
            run.stderr
        );
    }
    for child in [&mut flood, &mut deaf] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    stuffing.join().unwrap();
    assert!(ssh(&["-O", "exit"], "").status().unwrap().success());
}

#[test]
fn new_keys_on_the_way_lose_nothing() {
    let lab = Lab::new();
    let (path, bytes) = lab.noise("big", BIG);
    let mut cat = lab
        .alice()
        .command(&["-T", "-o", "RekeyLimit=1M", "-l", "lab"], "cat");
    let run = cat
        .stdin(std::fs::File::open(path).unwrap())
        .output()
        .unwrap();
    assert!(run.stdout == bytes);
}

#[test]
fn sockets_and_socks_lead_into_the_box() {
    let lab = Lab::new();
    let serve = "(while true; do echo inside | nc -l -p 8080; done) > /dev/null 2>&1 < /dev/null &";
    lab.alice().ssh_as("lab", serve).good();
    let (socket, port) = (lab.text("in.sock"), free_port());
    let (there, socks) = (
        format!("{socket}:localhost:8080"),
        format!("127.0.0.1:{port}"),
    );
    let words = [
        "-N",
        "-L",
        &there,
        "-D",
        &socks,
        "-R",
        "/tmp/out.sock:localhost:1",
        "-l",
        "lab",
    ];
    let mut forward = lab.alice().start(&words, "");
    let ask = |words: &[&str]| program("curl", words).text();
    // It is no HTTP: curl shows what comes.
    let tcp = [
        "-s",
        "-m",
        "5",
        "--http0.9",
        "--socks5-hostname",
        &socks,
        "http://localhost:8080/",
    ];
    until("SOCKS", || ask(&tcp) == "inside\n");
    let unix = [
        "-s",
        "-m",
        "5",
        "--http0.9",
        "--unix-socket",
        &socket,
        "http://box/",
    ];
    until("a Unix socket here", || ask(&unix) == "inside\n");
    until("a Unix socket there", || {
        lab.alice().ssh_as("lab", "test -S /tmp/out.sock").code == 0
    });
    forward.kill().unwrap();
    forward.wait().unwrap();
    until("it goes with its client", || {
        lab.alice().ssh_as("lab", "test -S /tmp/out.sock").code == 1
    });
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_terminal_has_the_clients_size_and_language() {
    let lab = Lab::new();
    let line = "stty size; echo $LC_ALL $TERM; tty";
    // `script` gives ssh a terminal, and that terminal a size.
    let ssh = format!(
        "stty rows 33 cols 111; LC_ALL=C.UTF-8 TERM=xterm-256color ssh -F {} -o SendEnv=LC_ALL -t -l lab river '{line}'",
        lab.alice().config.display()
    );
    let run = Command::new("script")
        .args(["-qec", &ssh, "/dev/null"])
        .stdin(Stdio::null())
        .output();
    let run: Run = run.unwrap().into();
    let text = run.text();
    assert!(
        text.contains("33 111") && text.contains("C.UTF-8 xterm-256color"),
        "{text}"
    );
}

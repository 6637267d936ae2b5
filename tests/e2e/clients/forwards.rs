//! Forwards of OpenSSH's client, into the box and out of it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use harness::Run;
use harness::wait::until;

use super::{Lab, bring, free_port, hears, program};

/// Whoever connects to this port here hears this.
fn says(word: &'static str) -> u16 {
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = own.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut socket in own.incoming().flatten() {
            let _ = socket.write_all(word.as_bytes());
        }
    });
    port
}

#[test]
fn ports_sockets_and_socks_lead_into_the_box() {
    let lab = Lab::new();
    lab.serve_inside(8080);
    let (direct, socks) = (free_port(), free_port());
    let socket = lab.text("in.sock");
    let words = [
        "-N",
        "-L",
        &format!("127.0.0.1:{direct}:localhost:8080"),
        "-L",
        &format!("{socket}:localhost:8080"),
        "-D",
        &format!("127.0.0.1:{socks}"),
        "-l",
        "lab",
    ];
    let mut forward = lab.alice().start(&words, "");
    until("-L", || hears(direct));
    // It is no HTTP: curl shows what comes.
    let ask =
        |words: &[&str]| program("curl", &[&["-s", "-m", "5", "--http0.9"], words].concat()).text();
    let socks = format!("127.0.0.1:{socks}");
    until("-D", || {
        ask(&["--socks5-hostname", &socks, "http://localhost:8080/"]) == "inside\n"
    });
    until("a Unix socket here", || {
        ask(&["--unix-socket", &socket, "http://box/"]) == "inside\n"
    });
    forward.kill().unwrap();
    forward.wait().unwrap();
    // By the box's name, on the login that is the shell.
    let port = free_port();
    let there = format!("127.0.0.1:{port}:lab:8080");
    let mut by_name = lab.alice().start(&["-N", "-L", &there], "");
    until("-L by name", || hears(port));
    by_name.kill().unwrap();
    by_name.wait().unwrap();
}

#[test]
fn a_port_in_the_box_may_be_any_and_leads_out() {
    let lab = Lab::new();
    let back = format!("0:127.0.0.1:{}", says("outside\n"));
    let mut ssh = lab.alice().command(&["-N", "-R", &back, "-l", "lab"], "");
    let mut child = ssh.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // `Allocated port 40123 for remote forward to 127.0.0.1:1`
    let port = lines.find_map(|line| {
        line.unwrap()
            .strip_prefix("Allocated port ")?
            .split(' ')
            .next()?
            .parse::<u16>()
            .ok()
    });
    let line = format!("nc 127.0.0.1 {} < /dev/null", port.unwrap());
    let heard = || lab.alice().ssh_as("lab", &line);
    // Who says little and goes at once is heard all the same.
    for _ in 0..20 {
        assert_eq!(heard().good(), "outside\n");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    until("it goes with its client", || heard().code != 0);
}

/// More than the box keeps waiting for all its listeners.
#[test]
fn a_port_of_mine_where_nobody_listens_ends_who_connects_and_uses_nothing_up() {
    let lab = Lab::new();
    let good = format!("9191:127.0.0.1:{}", says("outside\n"));
    let closed = format!("9:127.0.0.1:{}", free_port());
    // One that saw no end would be ended by `timeout`, and counted.
    let line = "stuck=0; for i in $(seq 200); do timeout 30 nc 127.0.0.1 9 < /dev/null
                case $? in 124|143) stuck=$i; break;; esac; done
                echo stuck $stuck; timeout 30 nc 127.0.0.1 9191 < /dev/null";
    let words = ["-R", &closed, "-R", &good, "-l", "lab"];
    let run: Run = lab.alice().command(&words, line).output().unwrap().into();
    assert_eq!(run.text(), "stuck 0\noutside\n", "{}", run.stderr);
}

#[test]
fn a_unix_socket_in_the_box_leads_out_and_in_again() {
    let lab = Lab::new();
    let to = format!("/tmp/out.sock:127.0.0.1:{}", says("inside\n"));
    let port = free_port();
    let round = format!("127.0.0.1:{port}:/tmp/out.sock");
    let socket = lab.text("here.sock");
    let unix = format!("{socket}:/tmp/out.sock");
    let words = ["-N", "-R", &to, "-L", &round, "-L", &unix, "-l", "lab"];
    let mut forward = lab.alice().start(&words, "");
    until("a Unix socket there", || {
        lab.alice().ssh_as("lab", "test -S /tmp/out.sock").code == 0
    });
    until("from a port", || hears(port));
    let curl = [
        "-s",
        "-m",
        "5",
        "--http0.9",
        "--unix-socket",
        &socket,
        "http://box/",
    ];
    until("from a Unix socket", || {
        program("curl", &curl).text() == "inside\n"
    });
    forward.kill().unwrap();
    forward.wait().unwrap();
    until("it goes with its client", || {
        lab.alice().ssh_as("lab", "test -S /tmp/out.sock").code == 1
    });
}

#[test]
fn forwards_come_and_go_on_a_shared_connection() {
    let lab = Lab::new();
    lab.serve_inside(8080);
    let (socket, port) = (lab.text("mux"), free_port());
    let master = |words: &[&str]| {
        let words = [&["-S", &socket, "-l", "lab"], words].concat();
        lab.alice().command(&words, "")
    };
    let mut child = master(&["-N", "-M"]).spawn().unwrap();
    until("the master listens", || lab.path("mux").exists());
    let there = format!("127.0.0.1:{port}:localhost:8080");
    let asked = |verb: &str, words: &[&str]| {
        let status = master(&[&["-O", verb], words].concat()).status();
        assert!(status.unwrap().success(), "{verb} {words:?}");
    };
    asked("forward", &["-L", &there]);
    until("it leads in", || hears(port));
    asked("cancel", &["-L", &there]);
    assert!(!hears(port));
    let listens = || {
        lab.alice()
            .ssh_as("lab", "netstat -ltn")
            .good()
            .contains(":9191 ")
    };
    asked("forward", &["-R", "9191:localhost:1"]);
    assert!(listens());
    asked("cancel", &["-R", "9191:localhost:1"]);
    until("nobody listens", || !listens());
    asked("exit", &[]);
    child.wait().unwrap();
}

/// One connection that stays, with `-R` and an agent, while its box and its node's runner begin again.
#[test]
fn what_the_box_listens_for_comes_back_with_it() {
    let mut lab = Lab::new();
    bring(&lab, &["ssh-add"]);
    let (socket, agent_socket) = (lab.text("mux"), lab.text("agent"));
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a", &agent_socket])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the agent listens", || lab.path("agent").exists());
    let alice = lab.alice().clone();
    let master = |words: &[&str], line: &str| {
        let words = [&["-S", &socket, "-A", "-l", "lab"], words].concat();
        let mut command = alice.command(&words, line);
        command.env("SSH_AUTH_SOCK", &agent_socket);
        command
    };
    let port = format!("9191:127.0.0.1:{}", says("outside\n"));
    let (path, round) = ("/tmp/out.sock", free_port());
    let unix = format!("{path}:127.0.0.1:{}", says("inside\n"));
    let ask = format!("127.0.0.1:{round}:{path}");
    let words = ["-N", "-M", "-R", &port, "-R", &unix, "-L", &ask];
    let log = lab.text("log");
    let mut child = master(&words, "")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    for step in 0..3 {
        match step {
            0 => until("the master listens", || lab.path("mux").exists()),
            1 => drop(alice.ssh("vps restart lab").good()),
            _ => {
                lab.river.kill_runner();
                lab.river.start_runner();
            }
        }
        let line = "nc 127.0.0.1 9191 < /dev/null";
        until("-R of a port", || {
            alice.ssh_as("lab", line).text() == "outside\n"
        });
        until("-R of a Unix socket", || hears(round));
        let run = Run::from(master(&["-T"], "ssh-add -l").output().unwrap());
        assert!(run.text().contains("no identities"), "{step} {run:?}");
        assert!(child.try_wait().unwrap().is_none());
    }
    alice.ssh("vps delete lab").good();
    until("it ends with its box", || {
        child.try_wait().unwrap().is_some()
    });
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("vps-1 is gone"), "{said}");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

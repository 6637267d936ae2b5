//! A box that stays: made, entered, copied to and from, stopped, started again, deleted.

use std::path::Path;
use std::process::{Command, Stdio};

use harness::river::docker;
use harness::wait::until;
use harness::{Engine, Person, River, Run};

/// `program -F CONFIG WORDS…`, for scp, sftp and ssh with options of their own.
fn client(person: &Person, program: &str, words: &[&str]) -> Run {
    let run = Command::new(program)
        .arg("-F")
        .arg(&person.config)
        .args(words)
        .stdin(Stdio::null())
        .output();
    run.unwrap().into()
}

fn noise(dir: &Path, name: &str, size: usize) -> (String, Vec<u8>) {
    let mut bytes = vec![0; size];
    rand::fill(&mut bytes[..]);
    let path = dir.join(name);
    std::fs::write(&path, &bytes).unwrap();
    (path.display().to_string(), bytes)
}

fn with_box(engine: Engine) -> River {
    let river = River::start(engine, 2);
    river.admin.ssh("vps create --name lab").good();
    river
}

fn programs_and_their_ends(engine: Engine) {
    let river = with_box(engine);
    let alice = &river.admin;
    let run = alice.ssh_as("lab", "echo out; echo err >&2; exit 7");
    assert_eq!(
        (run.code, run.text().as_str(), run.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    assert_eq!(
        alice.ssh_as("lab", "kill -9 $$").code,
        255,
        "as OpenSSH's client says of a signal"
    );
    assert_eq!(alice.ssh_as("lab", "no-such-command").code, 127);
    // By its id, too; and what was written stays for the next session.
    alice.ssh_as("vps-1", "echo kept > /tmp/kept-by-vps").good();
    assert_eq!(alice.ssh_as("lab", "cat /tmp/kept-by-vps").good(), "kept\n");
    let pty: Run = alice
        .command(&["-tt", "-l", "lab"], "tty; test -t 0 && echo terminal")
        .output()
        .unwrap()
        .into();
    assert!(
        pty.text().contains("/dev/pts/") && pty.text().contains("terminal"),
        "{}",
        pty.text()
    );
    let shell = alice
        .command(&["-T", "-l", "lab"], "")
        .stdin(Stdio::piped())
        .spawn();
    let mut shell = shell.unwrap();
    std::io::Write::write_all(
        &mut shell.stdin.take().unwrap(),
        b"echo from-a-script\nexit 3\n",
    )
    .unwrap();
    let shell: Run = shell.wait_with_output().unwrap().into();
    assert_eq!((shell.code, shell.text().as_str()), (3, "from-a-script\n"));
}

#[test]
fn programs_and_their_ends_in_docker() {
    programs_and_their_ends(Engine::Docker);
}

#[test]
fn programs_and_their_ends_as_processes() {
    programs_and_their_ends(Engine::Process);
}

#[test]
fn copies_arrive_byte_for_byte_by_sftp_scp_and_pipes() {
    let river = with_box(Engine::Docker);
    let (alice, dir) = (&river.admin, river.dir.path());
    let (big, bytes) = noise(dir, "big", 32 << 20);
    let back = dir.join("back").display().to_string();
    let there = "lab@river:/tmp/big";
    client(alice, "scp", &["-q", &big, there]).good();
    client(alice, "scp", &["-q", there, &back]).good();
    assert!(std::fs::read(&back).unwrap() == bytes, "scp");
    let mut cat = alice.command(&["-T", "-l", "lab"], "cat");
    let cat = cat
        .stdin(std::fs::File::open(&big).unwrap())
        .output()
        .unwrap();
    assert!(cat.stdout == bytes, "both ways at once");
    let script = dir.join("batch");
    let words = "mkdir /tmp/d\nput batch /tmp/d/a\nrename /tmp/d/a /tmp/d/b\nln -s b /tmp/d/c\nls -l /tmp/d\nget /tmp/d/c c\ndf /tmp\nrm /tmp/d/b\n-rm /tmp/d/none\n";
    std::fs::write(&script, words).unwrap();
    let sftp = Command::new("sftp")
        .args(["-q", "-F"])
        .arg(&alice.config)
        .args(["-b", "batch", "lab@river"])
        .current_dir(dir)
        .output();
    let sftp: Run = sftp.unwrap().into();
    assert!(
        sftp.text().contains("lrwxrwxrwx"),
        "{}{}",
        sftp.text(),
        sftp.stderr
    );
    assert!(
        sftp.stderr.contains("none") && sftp.code == 0,
        "{}",
        sftp.stderr
    );
    assert_eq!(std::fs::read_to_string(dir.join("c")).unwrap(), words);
}

#[test]
fn forwards_lead_into_the_box_and_back_out() {
    let river = with_box(Engine::Docker);
    let alice = &river.admin;
    let serve = "(while true; do echo inside | nc -l -p 8080; done) > /dev/null 2>&1 < /dev/null &";
    alice.ssh_as("lab", serve).good();
    until("it listens", || {
        alice.ssh_as("lab", "nc 127.0.0.1 8080 < /dev/null").text() == "inside\n"
    });
    // From the box's own login, from the shell by the box's name, and through it as a jump host.
    let inside = |words: &[&str]| client(alice, "ssh", words).text();
    until("-W", || {
        inside(&["-W", "localhost:8080", "lab@river"]) == "inside\n"
    });
    until("-W by name", || {
        inside(&["-W", "lab:8080", "river"]) == "inside\n"
    });
    let jump = client(alice, "ssh", &["-J", "river", "lab", "hostname"]);
    assert_eq!(jump.text(), "lab\n", "{}", jump.stderr);
    // As `ssh config` writes it: each box at the gateway's own address.
    let own = format!("Port={}", river.port);
    let own = [
        "-J",
        "river",
        "-o",
        "HostName=127.0.0.1",
        "-o",
        &own,
        "-l",
        "vps-1",
    ];
    let jump = client(alice, "ssh", &[&own[..], &["box", "hostname"]].concat());
    assert_eq!(jump.text(), "lab\n", "{}", jump.stderr);
    let none = client(alice, "ssh", &["-W", "localhost:1", "lab@river"]);
    assert!(
        none.code == 255 && none.stderr.contains("connect failed"),
        "{}",
        none.stderr
    );
    // Out of the box: a port of the person's own machine, and their agent.
    let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = own.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || {
        let (mut socket, _) = own.accept().unwrap();
        std::io::Write::write_all(&mut socket, b"outside\n").unwrap();
    });
    let back = format!("9191:127.0.0.1:{port}");
    let out = client(
        alice,
        "ssh",
        &["-R", &back, "lab@river", "nc 127.0.0.1 9191"],
    );
    assert_eq!(out.text(), "outside\n", "{}", out.stderr);
    answering.join().unwrap();
    let socket = river.dir.path().join("agent").display().to_string();
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the agent listens", || Path::new(&socket).exists());
    let seen = alice
        .command(
            &["-T", "-A", "-l", "lab"],
            "test -S $SSH_AUTH_SOCK && echo agent",
        )
        .env("SSH_AUTH_SOCK", &socket)
        .output();
    assert_eq!(String::from_utf8_lossy(&seen.unwrap().stdout), "agent\n");
    agent.kill().unwrap();
    agent.wait().unwrap();
}

#[test]
fn a_stopped_box_starts_again_with_its_disk_and_a_deleted_one_is_gone() {
    let river = with_box(Engine::Docker);
    let alice = &river.admin;
    alice.ssh_as("lab", "echo data > /root/data").good();
    alice.ssh("vps stop lab").good();
    let state = |wanted: &str| alice.ssh("vps list -a").text().contains(wanted);
    until("it is stopped", || state("stopped"));
    for run in [
        alice.ssh_as("lab", "true"),
        client(alice, "scp", &["lab@river:/root/data", "/dev/null"]),
    ] {
        assert!(
            run.code != 0
                && run
                    .stderr
                    .contains("vps-1 is stopped; `ssh river vps restart 1`"),
            "{}",
            run.stderr
        );
    }
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "data\n");
    alice.ssh("vps rename lab den").good();
    assert_eq!(alice.ssh_as("den", "cat /root/data").good(), "data\n");
    let refused = alice.ssh("vps rename den alice");
    assert!(
        refused.code == 1 && refused.stderr.contains("an account has this name"),
        "{}",
        refused.stderr
    );
    let refused = alice.ssh("task kill 1");
    assert!(
        refused.code == 2 && refused.stderr.contains("is a VPS"),
        "{}",
        refused.stderr
    );
    alice.ssh("vps delete den").good();
    until("it is gone", || state("killed"));
    let gone = alice.ssh_as("vps-1", "true");
    assert_eq!(
        (gone.code, gone.stderr.contains("gone")),
        (3, true),
        "{}",
        gone.stderr
    );
    let label = format!("label=river.node=test-{}", river.port);
    until("no container is left", || {
        docker(&["ps", "-aq", "--filter", &label]).is_empty()
    });
}

#[test]
fn a_box_that_starts_again_runs_on_the_cores_that_it_has_now() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    let stopped = |name: &str| {
        alice.ssh(&format!("vps stop {name}")).good();
        until("it is stopped", || {
            let list = alice.ssh("vps list").text();
            let own = list.lines().find(|line| line.contains(name));
            own.is_some_and(|line| line.contains("stopped"))
        });
    };
    let cores = |name: &str| {
        let line = "grep Cpus_allowed_list /proc/self/status; nproc";
        alice.ssh_as(name, line).good()
    };
    for name in ["first", "second"] {
        alice.ssh(&format!("vps create -c 1 --name {name}")).good();
    }
    let (own, other) = (cores("first"), cores("second"));
    assert!(own != other && own.ends_with("\n1\n"), "{own} {other}");
    // Another takes its core, and it gets the one that the second had.
    stopped("first");
    alice.ssh("vps create -c 1 --name third").good();
    assert_eq!(cores("third"), own);
    stopped("second");
    alice.ssh("vps restart first").good();
    assert_eq!(cores("first"), other);
}

#[test]
fn a_box_opens_to_its_owner_and_its_own_keys_alone() {
    let river = with_box(Engine::Docker);
    let bob = river.person("bob", "user");
    let refused = bob.ssh_as("vps-1", "true");
    assert!(
        refused.code == 4
            && refused
                .stderr
                .contains("vps-1: permission denied, it belongs to alice"),
        "{}",
        refused.stderr
    );
    // A bare name is the shell to whoever may not enter.
    assert!(bob.ssh_as("lab", "auth status").good().contains("bob"));
    assert_ne!(client(&bob, "ssh", &["-W", "lab:22", "river"]).code, 0);
    let carol = Person::new(river.dir.path(), river.port, "carol");
    let key = std::fs::read_to_string(river.dir.path().join("carol_key.pub")).unwrap();
    river
        .admin
        .ssh_with(
            "vps create --name guests --public-key-file -",
            key.as_bytes(),
        )
        .good();
    assert_eq!(carol.ssh_as("guests", "echo in").good(), "in\n");
    // A key that the gateway makes: its private half is all of standard output, once.
    let made = river
        .admin
        .ssh("vps create -c 0 --name robots --gen-ssh-key");
    assert!(made.stderr.contains("vps-3 robots"), "{}", made.stderr);
    let path = river.dir.path().join("dave_key");
    let dave = Person::new(river.dir.path(), river.port, "dave");
    std::fs::write(&path, made.good()).unwrap();
    std::fs::remove_file(path.with_extension("pub")).unwrap();
    assert_eq!(dave.ssh_as("robots", "echo in").good(), "in\n");
    assert_eq!(dave.ssh_as("guests", "true").code, 255);
    assert_eq!(
        carol.ssh_as("lab", "true").code,
        255,
        "her key opens the one box"
    );
    assert_eq!(carol.ssh("task list").code, 255);
}

#[test]
fn a_shell_beside_a_running_task() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice
        .ssh("task submit -C /tmp --env COLOUR=red -- sleep 600")
        .good();
    assert_eq!(
        alice.ssh_as("task-1", "pwd; echo $COLOUR").good(),
        "/tmp\nred\n"
    );
    alice.ssh("task kill 1").good();
    until("it has ended", || {
        alice.ssh("task list -a").text().contains("killed")
    });
    assert_eq!(alice.ssh_as("task-1", "true").code, 3);
}

#[test]
fn a_box_whose_container_dies_is_started_again_and_one_whose_disk_is_gone_says_so() {
    let river = with_box(Engine::Docker);
    let alice = &river.admin;
    alice.ssh_as("lab", "echo data > /root/data").good();
    let label = format!("label=river.node=test-{}", river.port);
    let id = docker(&["ps", "-q", "--filter", &label]);
    docker(&["kill", &id]);
    until("another attempt", || {
        alice.ssh("vps status lab").text().contains("attempt    2")
    });
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "data\n");
    alice.ssh("vps stop lab").good();
    let list = || alice.ssh("vps list").text();
    until("it is stopped", || list().contains("stopped"));
    docker(&["rm", "-f", &id]);
    alice.ssh("vps restart lab").good();
    until("it is stopped again", || list().contains("stopped"));
    let gone = alice.ssh_as("lab", "true");
    assert!(
        gone.code == 1 && gone.stderr.contains("its disk is gone"),
        "{}",
        gone.stderr
    );
    alice.ssh("vps snapshot restore lab stop-2").good();
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "data\n");
}

//! A box that means harm: only that box suffers, and nothing of river's is found from inside.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::river::docker;
use harness::wait::until;
use harness::{Engine, Person, River};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};

/// Two boxes: one is hostile, and one must not notice.
struct Neighbours {
    river: River,
}

impl Neighbours {
    fn new() -> Self {
        let river = River::start_with(Engine::Docker, 2, "output_cap_mib = 32\n");
        for name in ["bad", "good"] {
            let line = format!("vps create -m 1G --name {name}");
            river.admin.ssh(&line).good();
            river.admin.ssh_as(name, "true").good();
        }
        Self { river }
    }

    fn alice(&self) -> &Person {
        &self.river.admin
    }

    fn still_good(&self) {
        assert_eq!(self.alice().ssh_as("good", "echo fine").good(), "fine\n");
    }
}

/// A forward of a port here to a Unix socket inside the box, by its root.
struct Way {
    port: u16,
    client: Child,
}

impl Way {
    fn to(alice: &Person, path: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let there = format!("127.0.0.1:{port}:{path}");
        let client = alice
            .command(&["-N", "-L", &there, "-l", "bad"], "")
            .spawn()
            .unwrap();
        until("the way is open", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { port, client }
    }

    /// What comes back, to its end.
    fn say(&self, bytes: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // It may be hung up on before all of it is said.
        let _ = socket.write_all(bytes);
        let mut heard = Vec::new();
        let _ = socket.read_to_end(&mut heard);
        heard
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

#[test]
fn nonsense_on_the_guests_socket_is_hung_up_on() {
    let both = Neighbours::new();
    let way = Way::to(both.alice(), "/.river/run/sock");
    let framed = |json: &str| {
        let length = u32::try_from(json.len()).unwrap();
        [&length.to_be_bytes()[..], json.as_bytes()].concat()
    };
    let lies = [
        vec![0xff; 64 << 10],
        b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        framed("{\"id\": 1}"),
        framed("{\"hello\": {\"protocol\": 1, \"attempt\": \"2.1\"}}"),
        framed("[[[[[["),
        Vec::new(),
    ];
    for lie in &lies {
        // Each is closed without a word, the silent one after a while.
        assert_eq!(way.say(lie), b"", "{:?}", &lie[..lie.len().min(40)]);
    }
    both.still_good();
    assert_eq!(both.alice().ssh_as("bad", "echo fine").good(), "fine\n");
}

#[test]
fn a_box_that_floods_forks_or_never_reads_is_alone_with_it() {
    let both = Neighbours::new();
    let alice = both.alice();
    // Output that nobody takes, and input that nobody reads.
    let mut flood = alice.start(&["-T", "-l", "bad"], "cat /dev/zero");
    let mut flooded = flood.stdout.take().unwrap();
    flooded.read_exact(&mut [0]).unwrap();
    let mut deaf = alice
        .command(&["-T", "-l", "bad"], "exec sleep 1000")
        .stdin(std::fs::File::open("/dev/zero").unwrap())
        .spawn()
        .unwrap();
    both.still_good();
    // As many processes as it may have, and memory above its limit. A shell gives up at the first that it cannot begin.
    let bomb = "(while :; do sleep 1000 & done) > /dev/null 2>&1 < /dev/null &";
    let many = "cat /dev/null | cat | cat | cat";
    until("its processes are used up", || {
        let _ = alice.ssh_as("bad", bomb);
        !alice.ssh_as("bad", many).stderr.is_empty()
    });
    both.still_good();
    alice.ssh("vps restart bad").good();
    until("it is well again", || alice.ssh_as("bad", many).code == 0);
    // tail keeps all of it, looking for the end of a line.
    let eaten = alice.ssh_as("bad", "tail -n 1 < /dev/zero");
    assert_ne!(eaten.code, 0);
    both.still_good();
    for child in [&mut flood, &mut deaf] {
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[test]
fn who_fills_the_folder_of_their_output_is_ended_for_it() {
    let both = Neighbours::new();
    let alice = both.alice();
    let fill = "mkdir /.river/out/d && cat /dev/zero > /.river/out/d/junk";
    let small = "vps status bad";
    let mut filling = alice.start(&["-T", "-l", "bad"], fill);
    until("it is ended, and started anew", || {
        alice.ssh(small).text().contains("attempt    2")
    });
    let _ = filling.kill();
    let _ = filling.wait();
    // What it left there is gone.
    assert_eq!(alice.ssh_as("bad", "ls -d /.river/out/d").code, 1);
    both.still_good();
}

/// Folders in one another, as a box's root may make them: no path could name the last.
fn nest(folder: &Path) {
    let mut at = std::fs::File::open(folder).unwrap();
    for _ in 0..14_000 {
        mkdirat(&at, c"d", Mode::S_IRWXU).unwrap();
        let inner = openat(&at, c"d", OFlag::O_DIRECTORY, Mode::empty());
        at = inner.unwrap().into();
    }
}

#[test]
fn folders_nested_without_end_hold_up_no_restart_and_no_delete() {
    let both = Neighbours::new();
    let alice = both.alice();
    let runner = both.river.pids().1;
    let own = both.river.dir.path().join("r/a/1.0");
    let stopped = || {
        alice.ssh("vps stop bad").good();
        until("it is stopped", || {
            alice.ssh("vps list").text().contains("stopped")
        });
    };
    stopped();
    nest(&own.join("out"));
    alice.ssh("vps restart bad").good();
    assert_eq!(alice.ssh_as("bad", "ls -d /.river/out/d").code, 1);
    stopped();
    nest(&own.join("out"));
    alice.ssh("vps delete bad").good();
    until("its folder is gone", || !own.exists());
    assert_eq!(both.river.pids().1, runner);
    both.still_good();
}

#[test]
fn links_that_a_box_plants_lead_nowhere() {
    let both = Neighbours::new();
    let alice = both.alice();
    let secret = both.river.dir.path().join("secret");
    std::fs::write(&secret, "not for you\n").unwrap();
    let secret = secret.display();
    // Where its output, its mark and its last word are looked for.
    let plant = format!(
        "cd /.river/out && for f in out.0 err.0 failed exit.json; do rm -f $f; ln -s {secret} $f; done; ls"
    );
    assert!(alice.ssh_as("bad", &plant).good().contains("exit.json"));
    for line in ["task logs 1", "vps status bad", "vps stop bad"] {
        let seen = alice.ssh(line);
        let all = seen.text() + &seen.stderr;
        assert!(!all.contains("not for you"), "{line}: {all}");
    }
    until("it is stopped all the same", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    alice.ssh("vps restart bad").good();
    let own = alice.ssh_as("bad", "ls /.river/out").good();
    assert_eq!(own, "begun\nexit.part\nfailed\n", "what is made anew");
    assert_eq!(
        std::fs::read_to_string(both.river.dir.path().join("secret")).unwrap(),
        "not for you\n"
    );
}

#[test]
fn from_inside_there_is_no_door_but_the_public_one() {
    let both = Neighbours::new();
    let alice = both.alice();
    // Its own guest, its own output, and nothing of the node or of others.
    let seen = alice
        .ssh_as(
            "bad",
            "find / -xdev -type s 2>/dev/null; ls /.river /.river/run",
        )
        .good();
    assert!(!seen.contains("docker.sock"), "{seen}");
    let mounts = alice.ssh_as("bad", "cat /proc/mounts").good();
    let own = mounts.lines().filter(|line| line.contains("/.river/"));
    let mut own: Vec<&str> = own.map(|line| line.split(' ').nth(1).unwrap()).collect();
    own.sort_unstable();
    assert_eq!(own, ["/.river/guest", "/.river/out", "/.river/run"]);
    for path in ["/.river/run/x", "/.river/guest"] {
        assert_ne!(alice.ssh_as("bad", &format!("echo x > {path}")).code, 0);
    }
    // A device of the node's disk cannot be made, nor anything mounted, nor another's processes be seen.
    for line in [
        "mknod /tmp/d b 254 0",
        "mount -t tmpfs none /mnt",
        "unshare -m true",
        "test -e /proc/1/root/etc/shadow",
    ] {
        assert_ne!(alice.ssh_as("bad", line).code, 0, "{line}");
    }
    // Nothing of river's listens on the node, but the gateway's port; there the box is a stranger.
    let (gateway, runner) = both.river.pids();
    let listens = |pid: u32| {
        let shown = Command::new("ss").args(["-Hltnp"]).output().unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let own = format!("pid={pid},");
        shown.lines().filter(|line| line.contains(&own)).count()
    };
    assert_eq!((listens(gateway), listens(runner)), (1, 0));
    // The other box's network, by its address, has no port open, and its folders are not here.
    let address = docker(&[
        "ps",
        "-q",
        "--filter",
        &format!("label=river.node=test-{}", both.river.port),
    ]);
    assert_eq!(address.split_whitespace().count(), 2, "{address}");
    both.still_good();
}

#[test]
fn every_client_is_told_why_a_box_does_not_open() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    let bob = river.person("bob", "user");
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "true").good();
    let config = |person: &Person| person.config.display().to_string();
    let told = |person: &Person, login: &str, code: i32, words: &str| {
        let run = person.ssh_as(login, "true");
        assert!(
            run.code == code && run.stderr.contains(words),
            "ssh: {} {}",
            run.code,
            run.stderr
        );
        let there = format!("{login}@river:/x");
        let batch = river.dir.path().join("nothing");
        std::fs::write(&batch, "ls\n").unwrap();
        let batch = batch.display().to_string();
        let others = [
            ("scp", vec!["-F", "CONFIG", &there, "/dev/null"]),
            ("scp", vec!["-O", "-F", "CONFIG", &there, "/dev/null"]),
            ("sftp", vec!["-F", "CONFIG", "-b", &batch, &there]),
        ];
        for (client, words_of) in others {
            let config = config(person);
            let run = Command::new(client)
                .args(words_of.iter().map(|word| match *word {
                    "CONFIG" => config.as_str(),
                    word => word,
                }))
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(
                !run.status.success() && said.contains(words),
                "{client} {words_of:?}: {said}"
            );
        }
    };
    told(&bob, "vps-1", 4, "permission denied, it belongs to alice");
    told(alice, "vps-9", 3, "no such box");
    alice.ssh("vps pause lab").good();
    until("it is paused", || {
        alice.ssh("vps list").text().contains("paused")
    });
    told(alice, "lab", 1, "is paused; `ssh river vps resume 1`");
    alice.ssh("vps resume lab").good();
    alice.ssh("vps stop lab").good();
    until("it is stopped", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    told(alice, "lab", 1, "is stopped; `ssh river vps restart 1`");
    alice.ssh("vps restart lab").good();
    alice.ssh_as("lab", "true").good();
    let mut river = river;
    river.kill_runner();
    let alice = &river.admin;
    until("its node is gone", || {
        alice.ssh("vps list").text().contains("unreachable")
    });
    let run = alice.ssh_as("lab", "true");
    assert!(
        run.code == 75 && run.stderr.contains("its node n1 is unreachable now"),
        "{} {}",
        run.code,
        run.stderr
    );
}

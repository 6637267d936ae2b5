//! Disks of boxes, kept and brought back.

use harness::river::docker;
use harness::wait::until;
use harness::{Engine, River};

#[test]
fn a_disk_is_kept_and_brought_back() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "echo one > /root/data").good();
    assert!(
        alice
            .ssh("vps snapshot create lab --name first")
            .good()
            .contains("first")
    );
    let again = alice.ssh("vps snapshot create lab --name first");
    assert!(
        again.code == 1 && again.stderr.contains("that name already"),
        "{}",
        again.stderr
    );
    alice.ssh_as("lab", "echo two > /root/data").good();
    let busy = alice.ssh("vps snapshot restore lab first");
    assert!(
        busy.code == 1 && busy.stderr.contains("it runs: stop it first"),
        "{}",
        busy.stderr
    );
    alice.ssh("vps stop lab").good();
    // The stop keeps what was there.
    until("the stop's own", || {
        alice.ssh("vps snapshot list lab").text().contains("stop-1")
    });
    let none = alice.ssh("vps snapshot restore lab none");
    assert!(
        none.code == 1 && none.stderr.contains("none: no such snapshot"),
        "{}",
        none.stderr
    );
    alice.ssh("vps snapshot restore lab first").good();
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    alice.ssh("vps snapshot delete lab stop-1").good();
    assert_eq!(alice.ssh("vps snapshot list -q lab").good(), "first\n");
    let bob = river.person("bob", "user");
    assert_eq!(bob.ssh("vps snapshot list lab").code, 4);
    let label = format!("label=river.node=test-{}", river.port);
    let name = docker(&["ps", "--filter", &label, "--format", "{{.Names}}"]);
    let name = name.trim_start_matches("river-").trim_end_matches("-0");
    let images = format!("river-snapshots/{name}");
    assert!(!docker(&["images", "-q", &images]).is_empty());
    alice.ssh("vps delete lab").good();
    until("no image is left", || {
        docker(&["images", "-q", &images]).is_empty()
    });
}

#[test]
fn a_restart_may_bring_a_disk_back() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "echo one > /root/data").good();
    alice.ssh("vps snapshot create lab --name first").good();
    alice.ssh_as("lab", "echo two > /root/data").good();
    // Nothing is stopped for a snapshot that is not there.
    let none = alice.ssh("vps restart lab --restore none");
    assert!(
        none.code == 3 && none.stderr.contains("no snapshot none"),
        "{}",
        none.stderr
    );
    let still = alice.ssh("vps status lab").good();
    assert!(
        still.contains("running") && !still.contains("attempt"),
        "{still}"
    );
    assert_eq!(alice.ssh("vps restart lab other --restore first").code, 2);
    alice.ssh("vps restart lab --restore first").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    // What it had before is the snapshot of its stop.
    alice.ssh("vps restart lab --restore stop-1").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "two\n");
    let bob = river.person("bob", "user");
    assert_eq!(bob.ssh("vps restart lab --restore first").code, 4);
}

/// Everything that the engine has of this gateway's boxes and their disks.
fn left(river: &River) -> String {
    let label = format!("label=river.node=test-{}", river.port);
    let boxes = docker(&["ps", "-a", "-q", "--filter", &label]);
    let images = docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let own = format!("river-snapshots/test-{}-", river.port);
    let images: Vec<&str> = images
        .lines()
        .filter(|line| line.starts_with(&own))
        .collect();
    boxes + &images.join("\n")
}

/// As the guide has it: each line as soon as the one before is answered.
#[test]
fn a_restore_waits_for_the_stop_that_was_just_asked_for() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "echo one > /root/data").good();
    alice.ssh("vps snapshot create lab --name first").good();
    alice.ssh_as("lab", "echo two > /root/data").good();
    // A shell that takes no TERM: its end takes the whole grace.
    let mut shell = alice
        .command(
            &["-l", "lab", "-T"],
            "trap '' TERM; echo ready; sleep 1000; sleep 1000",
        )
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut byte = [0];
    std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut byte).unwrap();
    alice.ssh("vps stop lab").good();
    alice.ssh("vps snapshot restore lab first").good();
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    let _ = shell.kill();
    let _ = shell.wait();
    // What the stop kept is of before the restore.
    alice.ssh("vps restart lab --restore stop-1").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "two\n");
}

/// Typed again after Ctrl-C, while the first one goes on; and a deletion right behind a stop, or a snapshot.
#[test]
fn errands_of_one_box_come_one_after_the_other() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    alice
        .ssh_as(
            "lab",
            "head -c 50000000 /dev/urandom > /root/much; echo one > /root/data",
        )
        .good();
    alice.ssh("vps snapshot create lab --name first").good();
    alice.ssh("vps stop lab").good();
    std::thread::scope(|scope| {
        let restore = || alice.ssh("vps snapshot restore lab first");
        let two = [scope.spawn(restore), scope.spawn(restore)];
        for one in two {
            one.join().unwrap().good();
        }
    });
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    // Nobody sees it stand still while it is copied.
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| alice.ssh("vps snapshot create lab --name second").good());
        while !copying.is_finished() {
            let seen = alice.ssh("vps status lab").good();
            assert!(seen.contains("running"), "{seen}");
        }
    });
    alice.ssh("vps stop lab").good();
    alice.ssh("vps delete lab").good();
    until("nothing is left of it", || left(&river).is_empty());
    alice.ssh("vps create --name den").good();
    alice
        .ssh_as("den", "head -c 50000000 /dev/urandom > /root/much")
        .good();
    std::thread::scope(|scope| {
        let copying = scope.spawn(|| alice.ssh("vps snapshot create den"));
        alice.ssh("vps delete den").good();
        let _ = copying.join().unwrap();
    });
    until("nothing is left of it", || left(&river).is_empty());
}

#[test]
fn no_stop_displaces_what_a_person_named_or_what_the_stop_is_for() {
    let river = River::start_with(Engine::Docker, 2, "keep_stops = 1\n");
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    let refused = alice.ssh("vps snapshot create lab --name stop-before-upgrade");
    assert!(
        refused.code == 2 && refused.stderr.contains("are of a stop's own snapshots"),
        "{} {}",
        refused.code,
        refused.stderr
    );
    alice.ssh_as("lab", "echo one > /root/data").good();
    alice.ssh("vps stop lab").good();
    until("the stop's own", || {
        alice.ssh("vps snapshot list lab").text().contains("stop-1")
    });
    alice.ssh("vps restart lab").good();
    alice.ssh_as("lab", "echo two > /root/data").good();
    // Its own stop makes one more than are kept.
    alice.ssh("vps restart lab --restore stop-1").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    alice.ssh("vps restart lab --restore stop-2").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "two\n");
    // The box stands on the second, and the third is the newest.
    until("the first is displaced", || {
        alice.ssh("vps snapshot list -q lab").text() == "stop-3\nstop-2\n"
    });
}

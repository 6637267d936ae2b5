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
        none.code == 3 && none.stderr.contains("vps-1: no snapshot none"),
        "{}",
        none.stderr
    );
    assert_eq!(alice.ssh("vps snapshot delete lab none").code, 3);
    alice.ssh("vps snapshot restore lab first").good();
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    alice.ssh("vps snapshot delete lab stop-1").good();
    let under = alice.ssh("vps snapshot delete lab first");
    assert!(
        under.code == 1 && under.stderr.contains("the box's disk was made from it"),
        "{}",
        under.stderr
    );
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

/// The images of the only box.
fn images(river: &River) -> String {
    let label = format!("label=river.node=test-{}", river.port);
    let name = docker(&["ps", "-a", "--filter", &label, "--format", "{{.Names}}"]);
    let name = name.trim_start_matches("river-").trim_end_matches("-0");
    format!("river-snapshots/{name}")
}

#[test]
fn restores_at_once_come_one_after_the_other() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "echo one > /root/data").good();
    alice.ssh("vps snapshot create lab --name first").good();
    alice.ssh("vps stop lab").good();
    until("it is stopped", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    let restores: Vec<_> = (0..4)
        .map(|_| alice.start(&["-T"], "vps snapshot restore lab first"))
        .collect();
    for restore in restores {
        let run: harness::Run = restore.wait_with_output().unwrap().into();
        run.good();
    }
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    let label = format!("label=river.node=test-{}", river.port);
    let all = docker(&["ps", "-aq", "--filter", &label]);
    assert_eq!(all.lines().count(), 1, "{all}");
}

#[test]
fn a_box_deleted_right_after_its_stop_leaves_no_image() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    // Enough that the copy of its stop takes a while.
    let fill = "dd if=/dev/urandom of=/root/data bs=1M count=100 2> /dev/null";
    alice.ssh_as("lab", fill).good();
    let images = images(&river);
    alice.ssh("vps stop lab").good();
    until("it is stopped", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    alice.ssh("vps delete lab").good();
    let folder = river.dir.path().join("r/a/1.0");
    until("its folder is gone", || !folder.exists());
    // The copy was over before, and went with the rest.
    let label = format!("label=river.node=test-{}", river.port);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let until = (now.unwrap().as_secs() + 1).to_string();
    let events = ["events", "--since", "0", "--until", &until];
    let of = ["--filter", &label, "--format", "{{.Action}}"];
    let events = docker(&[&events[..], &of[..]].concat());
    let at = |what: &str| events.lines().position(|action| action == what);
    assert!(at("commit").is_some(), "{events}");
    assert!(at("commit") < at("destroy"), "{events}");
    assert_eq!(docker(&["images", "-q", &images]), "");
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

#[test]
fn a_restore_right_after_a_stop_waits_for_its_end() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create -c 2 --name lab").good();
    alice.ssh_as("lab", "echo one > /root/data").good();
    alice.ssh("vps snapshot create lab --name first").good();
    // It does not end at once: something in there takes no TERM.
    let deaf = "echo two > /root/data; (trap '' TERM; while :; do sleep 1; done) > /dev/null 2>&1 < /dev/null &";
    alice.ssh_as("lab", deaf).good();
    alice.ssh("vps stop lab").good();
    alice.ssh("vps snapshot restore lab first").good();
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    // The stop kept what was there before.
    alice.ssh("vps restart lab --restore stop-1").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "two\n");
    // One whose cores others have waits, and so do its disks.
    alice.ssh("vps create -c 2 --name other").good();
    for line in ["list", "create", "restore", "delete"] {
        let name = if matches!(line, "list" | "create") {
            ""
        } else {
            "first"
        };
        let run = alice.ssh(&format!("vps snapshot {line} other {name}"));
        assert!(
            run.code == 75 && run.stderr.contains("vps-2 waits for its start"),
            "{line}: {} {}",
            run.code,
            run.stderr
        );
    }
}

#[test]
fn a_running_box_stands_still_while_its_disk_is_copied() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    // Copied in the order of their names: what is counted in `a` and `z` differs by what ran in between.
    let fill = "dd if=/dev/urandom of=/root/m bs=1M count=200 2> /dev/null";
    alice.ssh_as("lab", fill).good();
    let count = "(i=0; while :; do i=$((i+1)); echo $i >> /root/a; echo $i >> /root/z; done) > /dev/null 2>&1 < /dev/null &";
    alice.ssh_as("lab", count).good();
    // Another's events make the runner look at all boxes again and again.
    let label = format!("river.node=test-{}", river.port);
    let filter = format!("label={label}");
    let image = docker(&["ps", "--filter", &filter, "--format", "{{.Image}}"]);
    let other = docker(&["run", "-d", "--label", &label, &image, "sleep", "1000"]);
    let mut copying = alice.start(&["-T"], "vps snapshot create lab --name first");
    let entering = alice.start(&["-T", "-l", "lab"], "echo in");
    while copying.try_wait().unwrap().is_none() {
        for event in ["pause", "unpause"] {
            docker(&[event, &other]);
        }
        // Nobody is told that it is paused.
        let list = alice.ssh("vps list").good();
        assert!(list.contains("running"), "{list}");
    }
    docker(&["rm", "-f", &other]);
    let copied: harness::Run = copying.wait_with_output().unwrap().into();
    copied.good();
    let entered: harness::Run = entering.wait_with_output().unwrap().into();
    assert_eq!(entered.good(), "in\n");
    alice.ssh("vps restart lab --restore first").good();
    let last = |name: &str| -> u64 {
        let line = format!("tail -n 1 /root/{name}");
        alice.ssh_as("lab", &line).good().trim().parse().unwrap()
    };
    let (first, then) = (last("a"), last("z"));
    assert!(then == first || then + 1 == first, "{first} {then}");
    // A pause and a copy do not undo each other.
    alice.ssh("vps pause lab").good();
    let is = |state: &str| alice.ssh("vps list").text().contains(state);
    until("it is paused", || is("paused"));
    alice.ssh("vps snapshot create lab --name second").good();
    assert!(is("paused"));
    alice.ssh("vps resume lab").good();
    until("it goes on", || is("running"));
    assert_eq!(alice.ssh_as("lab", "echo in").good(), "in\n");
}

#[test]
fn what_an_interrupted_restore_made_is_not_taken_for_the_box() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "echo one > /root/data").good();
    alice.ssh("vps stop lab").good();
    until("it is stopped", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    let node = format!("river.node=test-{}", river.port);
    let label = format!("label={node}");
    let all = |format: &str| docker(&["ps", "-a", "--filter", &label, "--format", format]);
    let (name, image) = (all("{{.Names}}"), all("{{.Image}}"));
    let next = format!("{name}-next");
    let labels = ["--label", &node, "--label", "river.attempt=1.0"];
    docker(&[&["create", "--name", &next], &labels[..], &[&image, "true"]].concat());
    assert!(all("{{.Names}}").contains(&next));
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "one\n");
    assert_eq!(all("{{.Names}}"), name);
}

#[test]
fn a_disk_is_nobodys_image() {
    let river = River::start(Engine::Docker, 2);
    let alice = &river.admin;
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "echo secret > /root/data").good();
    alice.ssh("vps snapshot create lab --name first").good();
    let repository = images(&river);
    let id = docker(&["images", "-q", "--no-trunc", &repository]);
    let hex = id.trim_start_matches("sha256:");
    let tag = format!("{repository}:first");
    let bob = river.person("bob", "user");
    for asked in [&tag, &id, hex, &hex[..12], &format!("docker.io/{tag}")] {
        for option in ["--container", "--image"] {
            let run = bob.ssh(&format!("task run {option} {asked} -- cat /root/data"));
            let told = (run.code, run.text(), run.stderr.contains("no such"));
            assert_eq!(told, (125, String::new(), true), "{asked}: {}", run.stderr);
        }
    }
    let refused = bob.ssh(&format!("vps create --name own --container {tag}"));
    let entered = bob.ssh_as("own", "cat /root/data");
    assert_eq!(entered.text(), "", "{}", refused.text());
    // Its owner has it back all the same.
    alice.ssh("vps restart lab --restore first").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "secret\n");
}

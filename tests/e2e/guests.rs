//! The guest's program is replaced on a node, and each box goes on with the one it was made with.

use std::collections::BTreeSet;

use harness::river::docker;
use harness::wait::until;
use harness::{Engine, River};

/// Names of the programs that the runner keeps.
fn kept(river: &River) -> BTreeSet<String> {
    let folder = river.dir.path().join("r/guests");
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

fn restart_with_other_guest(river: &mut River) -> String {
    let before = kept(river);
    river.install_other_guest();
    river.kill_runner();
    river.start_runner();
    let now = kept(river);
    now.difference(&before).next().unwrap().clone()
}

#[test]
fn a_box_keeps_the_guest_that_it_was_made_with_until_it_is_gone() {
    let mut river = River::start(Engine::Docker, 4);
    let alice = river.admin.clone();
    alice.ssh("vps create --name lab").good();
    alice.ssh_as("lab", "echo data > /root/data").good();
    let first = kept(&river).pop_first().unwrap();
    alice.ssh("vps stop lab").good();
    until("it is stopped", || {
        alice.ssh("vps list").text().contains("stopped")
    });
    let second = restart_with_other_guest(&mut river);
    let both = BTreeSet::from([first.clone(), second.clone()]);
    assert_eq!(
        kept(&river),
        both,
        "a stopped box still stands on the first"
    );
    alice.ssh("vps restart lab").good();
    assert_eq!(alice.ssh_as("lab", "cat /root/data").good(), "data\n");
    alice.ssh("vps create --name new").good();
    assert_eq!(alice.ssh_as("new", "echo in").good(), "in\n");
    let label = format!("label=river.node=test-{}", river.port);
    let format = "{{.Config.Hostname}} {{range .Mounts}}{{.Source}} {{end}}";
    let ids = docker(&["ps", "-q", "--filter", &label]);
    let words: Vec<&str> = ["inspect", "-f", format]
        .into_iter()
        .chain(ids.split_whitespace())
        .collect();
    for line in docker(&words).lines() {
        let guest = if line.starts_with("lab ") {
            &first
        } else {
            &second
        };
        assert!(
            line.contains(&format!("guests/{guest}/river-guest")),
            "{line}"
        );
    }
    // What nothing stands on any more goes at the next start.
    alice.ssh("vps delete lab").good();
    until("one container is left", || {
        docker(&["ps", "-aq", "--filter", &label]).lines().count() == 1
    });
    river.kill_runner();
    river.start_runner();
    assert_eq!(kept(&river), BTreeSet::from([second]));
    assert_eq!(alice.ssh_as("new", "echo in").good(), "in\n");
}

#[test]
fn a_process_keeps_its_guest_while_it_runs() {
    let mut river = River::start(Engine::Process, 2);
    let alice = river.admin.clone();
    let go = river.data.join("go");
    let line = format!(
        "task submit -q -- sh -c 'while [ ! -e {} ]; do sleep 0.1; done; exit 5'",
        go.display()
    );
    let id = alice.ssh(&line).good().trim().to_owned();
    let running = || {
        alice
            .ssh(&format!("task status {id}"))
            .text()
            .contains("running")
    };
    until("it runs", running);
    let first = kept(&river).pop_first().unwrap();
    let second = restart_with_other_guest(&mut river);
    assert_eq!(kept(&river), BTreeSet::from([first, second.clone()]));
    let beside = alice.ssh_as(&format!("task-{id}"), &format!("touch {}", go.display()));
    assert_eq!(beside.code, 0, "{}", beside.stderr);
    assert_eq!(alice.ssh(&format!("task wait {id}")).code, 5);
    river.kill_runner();
    river.start_runner();
    assert_eq!(kept(&river), BTreeSet::from([second]));
}

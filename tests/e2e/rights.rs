//! What a second account of role `user` may not do.

use harness::wait::until;
use harness::{Engine, River};

#[test]
fn a_task_belongs_to_its_owner() {
    let river = River::start(Engine::Process, 2);
    let bob = river.person("bob", "user");
    let id = river
        .admin
        .ssh("task submit -q --name secret -- sh -c 'echo hidden; sleep 1000'")
        .good();
    let id = id.trim();
    until("it runs", || {
        river.admin.ssh("task list").text().contains("running")
    });
    let refused = [
        format!("task status {id}"),
        format!("task logs {id}"),
        "task logs secret".to_owned(),
        format!("task attach {id}"),
        format!("task kill {id}"),
        format!("task pause {id}"),
        format!("task wait {id}"),
        format!("task why {id}"),
        format!("task watch {id}"),
        "task list -A".to_owned(),
        "task submit --mount /tmp:/x -- true".to_owned(),
        "task run --privileged -- true".to_owned(),
        "task submit --priority 5 -- true".to_owned(),
        "node invite n2".to_owned(),
        "node drain n1".to_owned(),
        "node remove n1".to_owned(),
        "auth invite --role user".to_owned(),
        "auth user role bob admin".to_owned(),
        "auth key list --account alice".to_owned(),
        "audit".to_owned(),
        "config show".to_owned(),
    ];
    for line in &refused {
        let run = bob.ssh(line);
        assert_eq!(run.code, 4, "{line}: {}{}", run.text(), run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{line}: {}", run.stderr);
        assert!(run.stdout.is_empty(), "{line}: {}", run.text());
    }
    assert_eq!(bob.ssh("task list").good(), "no tasks\n");
    assert_eq!(bob.ssh("task run -- echo mine").good(), "mine\n");
    let audit = river.admin.ssh("audit --account bob -n 500").good();
    assert!(
        audit.contains("task kill") && audit.contains("permission denied"),
        "{audit}"
    );
    assert!(
        river
            .admin
            .ssh(&format!("task status {id}"))
            .good()
            .contains("running")
    );
}

/// They went on for as long as the connection did.
#[test]
fn what_lives_by_a_key_ends_with_the_right_to_it() {
    let river = River::start(Engine::Process, 2);
    let bob = river.person("bob", "user");
    let line = "task submit -q -- sh -c 'echo begun; sleep 1000'";
    let id = bob.ssh(line).good().trim().to_owned();
    let follow = || {
        let mut following = bob.start(&["-T"], &format!("task logs -f {id}"));
        let mut first = [0; 5];
        let said = following.stdout.as_mut().unwrap();
        std::io::Read::read_exact(said, &mut first).unwrap();
        assert_eq!(&first, b"begun");
        following
    };
    let mut following = follow();
    // What changes nothing of his ends nothing of his.
    let _ = river.person("carol", "user");
    river.admin.ssh("auth user role bob operator").good();
    assert_eq!(following.try_wait().unwrap(), None);
    let _ = following.kill();
    following.wait().unwrap();
    for line in ["auth user role bob user", "auth user disable bob"] {
        let mut following = follow();
        river.admin.ssh(line).good();
        until("his connection ends", || {
            following.try_wait().unwrap().is_some()
        });
        let said = following.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("may not do this any more"), "{line}: {said}");
    }
    assert_ne!(bob.ssh("task list").code, 0);
    river.admin.ssh(&format!("task kill {id}")).good();
}

/// A box that was named as an admin's laptop calls its user caught what the admin typed after `ssh river`.
#[test]
fn nobody_elses_box_stands_where_a_login_leads() {
    let river = River::start(Engine::Docker, 2);
    let bob = river.person("bob", "user");
    bob.ssh("vps create -c 0 --name jdoe").good();
    let line = "echo in the box";
    assert_eq!(bob.ssh_as("jdoe", line).good(), "in the box\n");
    let shell = river.admin.ssh_as("jdoe", "auth status").good();
    assert!(shell.contains("alice"), "{shell}");
    assert_eq!(river.admin.ssh_as("vps-1", line).good(), "in the box\n");
}

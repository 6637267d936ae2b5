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

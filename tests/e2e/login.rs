//! Keys, invitations and joins.

use std::process::Command;

use harness::{Engine, Person, River};

#[test]
fn an_invitation_is_used_once_and_an_unknown_key_is_named() {
    let river = River::start(Engine::Process, 1);
    let code = river.admin.ssh("auth invite -q --role user").good();
    let login = format!("invite-{}", code.trim());
    let bob = Person::new(river.dir.path(), river.port, "bob");
    let stranger = bob.ssh("version");
    assert_eq!(stranger.code, 255);
    assert!(
        stranger.stderr.contains("SHA256:") && stranger.stderr.contains("invitation"),
        "{}",
        stranger.stderr
    );
    assert!(bob.ssh_as(&login, "bob").good().contains("welcome, bob"));
    assert!(bob.ssh("auth status").good().contains("bob"));
    let carol = Person::new(river.dir.path(), river.port, "carol");
    assert_eq!(carol.ssh_as(&login, "carol").code, 255, "used before");
    let audit = river.admin.ssh("audit -n 100").good();
    assert!(
        audit.contains("enrol") && !audit.contains(code.trim()),
        "{audit}"
    );
    assert!(!river.log().contains(code.trim()), "a secret is in a log");
}

#[test]
fn a_join_token_is_used_once_and_a_removed_node_stays_out() {
    let mut river = River::start(Engine::Process, 1);
    let token = river.admin.ssh("node invite -q n2").good();
    let path = river.dir.path().join("again");
    std::fs::write(&path, token).unwrap();
    let join = |dir: &str| {
        let config = std::fs::read_to_string(river.dir.path().join("r.toml")).unwrap();
        let config = config.replace("/r\"", &format!("/{dir}\""));
        std::fs::write(river.dir.path().join("r2.toml"), config).unwrap();
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        program.pop();
        Command::new(program.join("river-runner"))
            .args(["--config", "r2.toml", "join", "--token-file", "again"])
            .current_dir(river.dir.path())
            .output()
            .unwrap()
    };
    assert!(join("r2").status.success());
    let second = join("r3");
    assert!(!second.status.success());
    assert!(
        String::from_utf8_lossy(&second.stderr).contains("used or expired"),
        "{second:?}"
    );
    river.kill_runner();
    harness::wait::until("the gateway saw it go", || {
        river.admin.ssh("node list").text().contains("unreachable")
    });
    assert_eq!(river.admin.ssh("node remove n1").code, 0);
    river.start_runner_alone();
    harness::wait::until("it is refused", || {
        river.log().contains("refuses the login")
    });
    assert!(!river.admin.ssh("node list").text().contains("ready"));
}

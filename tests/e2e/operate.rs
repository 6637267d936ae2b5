//! An operator's eyes and hands: `doctor`, `status`, logs as JSON, and what only a node knows after a restore.

use std::process::Command;

use harness::river::{MISTAKE, program};
use harness::wait::until;
use harness::{Engine, Person, River};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// `doctor` as JSON, with its code.
fn doctor(who: &Person, line: &str) -> (i32, Value) {
    let run = who.ssh(&format!("doctor {line} --json"));
    let value = serde_json::from_slice(&run.stdout);
    (run.code, value.unwrap_or_else(|_| panic!("{run:?}")))
}

/// One of its hops.
fn hop(found: &Value, place: &str, what: &str) -> Value {
    let hops = found["hops"].as_array().unwrap();
    let hop = hops
        .iter()
        .find(|hop| hop["place"] == place && hop["what"] == what);
    hop.unwrap_or_else(|| panic!("no {what} of {place} in {found}"))
        .clone()
}

#[test]
fn doctor_sees_each_hop_and_tells_a_node_that_stands_still_from_one_that_is_away() {
    let mut river = River::start(Engine::Process, 2);
    let bob = river.person("bob", "user");
    let (_, well) = doctor(&river.admin, "");
    for (place, what) in [
        ("gateway", "version"),
        ("gateway", "store"),
        ("gateway", "door"),
        ("alice", "you"),
        ("n1", "link"),
        ("n1", "bulk"),
        ("n1", "clock"),
        ("n1", "engine"),
        ("n1", "versions"),
    ] {
        assert_eq!(hop(&well, place, what)["verdict"], "ok", "{well}");
    }
    let link = hop(&well, "n1", "link");
    assert!(
        link["seen"].as_str().unwrap().contains("round trip"),
        "{link}"
    );
    let disk = hop(&well, "n1", "disk");
    let dir = river.dir.path().join("r").display().to_string();
    assert!(disk["seen"].as_str().unwrap().starts_with(&dir), "{disk}");
    let text = bob.ssh("doctor").text();
    let seen = text.contains("bob") && text.contains("link");
    assert!(
        seen && !text.contains("disk") && !text.contains("door"),
        "{text}"
    );
    assert_eq!(river.admin.ssh("doctor n7").code, 3);

    let runner = Pid::from_raw(river.pids().1.try_into().unwrap());
    kill(runner, Signal::SIGSTOP).unwrap();
    let (code, still) = doctor(&river.admin, "n1");
    until("the list says so too, before the link is given up", || {
        river
            .admin
            .ssh("node list")
            .good()
            .contains("ready (silent)")
    });
    kill(runner, Signal::SIGCONT).unwrap();
    let link = hop(&still, "n1", "link");
    assert_eq!((code, &link["verdict"]), (1, &"bad".into()), "{still}");
    let seen = link["seen"].as_str().unwrap();
    assert!(seen.contains("does not answer within 2.0 s"), "{seen}");
    until("it goes on", || {
        hop(&doctor(&river.admin, "n1").1, "n1", "link")["verdict"] == "ok"
    });

    river.kill_runner();
    until("its end is known", || {
        let (code, gone) = doctor(&river.admin, "n1");
        let seen = hop(&gone, "n1", "link")["seen"].to_string();
        code == 1 && seen.contains("no connection for")
    });
    let status = river.admin.ssh("status").good();
    let told = status.contains("1 unreachable") && status.contains("look: doctor n1");
    assert!(told, "{status}");
    assert!(
        status.lines().all(|line| line.chars().count() <= 80),
        "{status}"
    );
}

#[test]
fn a_log_of_objects_has_one_on_each_line_whatever_strangers_say() {
    let river = River::gateway_alone("log = \"json\"\n");
    river.admin.ssh("version").good();
    // What it says of this comes from the client, with an escape in it.
    let hostile = "x\u{1b}[2J\nforged";
    assert_ne!(river.admin.ssh_as(hostile, "version").code, 0);
    assert_ne!(river.admin.ssh(MISTAKE).code, 0);
    let log = || std::fs::read_to_string(river.dir.path().join("g.toml.log")).unwrap();
    until("all of it is told", || {
        log().contains("a mistake in this program: please")
    });
    let mut signed_in = false;
    for line in log().lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
        assert_eq!(object["program"], "river-gateway", "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        for name in ["time", "level", "target", "message"] {
            assert!(object[name].is_string(), "{name} of {line}");
        }
        let source = object["source"].as_str().unwrap_or_default();
        signed_in |= object["account"] == "alice" && source.starts_with("127.0.0.1:");
    }
    assert!(signed_in, "{}", log());
}

/// `river-gateway`, with this configuration.
fn gateway(river: &River, words: &[&str]) -> String {
    let output = Command::new(program("river-gateway"))
        .args(["--config", "g.toml"])
        .args(words)
        .current_dir(river.dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn after_a_restore_what_ended_begins_not_again_and_what_is_unknown_is_shown_until_it_is_ended() {
    let mut river = River::start(Engine::Process, 4);
    let starts = river.data.join("starts");
    let submit = |name: &str, seconds: u32| {
        let path = starts.display();
        let line = format!(
            "task submit -q --name {name} -- sh -c 'echo {name} >> {path}; exec sleep {seconds}'"
        );
        let id = river.admin.ssh(&line).good().trim().to_owned();
        until("it runs", || {
            let begun = std::fs::read_to_string(&starts).unwrap_or_default();
            begun.lines().any(|line| line == name)
        });
        until("its gateway knows", || {
            river
                .admin
                .ssh(&format!("task status {id}"))
                .good()
                .contains("running")
        });
        id
    };
    let (long, short) = (submit("long", 1000), submit("short", 1000));
    gateway(&river, &["backup", "copy.db"]);
    river.admin.ssh(&format!("task kill {short}")).good();
    assert_eq!(river.admin.ssh(&format!("task wait {short}")).code, 137);
    let later = submit("later", 1000);
    let folder = river.dir.path().join("r/a").join(format!("{short}.1"));
    until("its node has forgotten it", || !folder.exists());
    river.end_gateway();
    let told = gateway(&river, &["restore", "copy.db"]);
    assert!(told.contains("node status"), "{told}");
    river.start_gateway();

    let status = || river.admin.ssh("node status n1").text();
    let unknown = format!("unknown to this gateway, left alone: {later}.1 (running)");
    until("its node says what it has", || status().contains(&unknown));
    assert!(
        river
            .admin
            .ssh("doctor n1")
            .text()
            .contains("1 thing there")
    );
    let of = |id: &str| river.admin.ssh(&format!("task status {id}")).text();
    assert!(of(&long).contains("running"), "{}", of(&long));
    until("what is gone is known to be", || {
        of(&short).contains("lost")
    });
    let begun = std::fs::read_to_string(&starts).unwrap();
    assert_eq!(begun, "long\nshort\nlater\n", "nothing began again");

    let bob = river.person("bob", "user");
    assert_eq!(bob.ssh(&format!("node forget n1 {later}.1")).code, 4);
    let known = river.admin.ssh(&format!("node forget n1 {long}.1"));
    assert!(
        known.code == 3 && known.stderr.contains("task kill"),
        "{known:?}"
    );
    river.admin.ssh(&format!("node forget n1 {later}.1")).good();
    until("it is gone", || !status().contains("unknown"));
    let folder = river.dir.path().join("r/a").join(format!("{later}.1"));
    until("its folder too", || !folder.exists());
    assert!(of(&long).contains("running"), "{}", of(&long));
    let audit = river.admin.ssh("audit").good();
    assert!(audit.contains("node forget"), "{audit}");
    let check = gateway(&river, &["check"]);
    assert!(check.starts_with("good:"), "{check}");
}

#[test]
fn whoever_has_the_gateways_machine_lets_an_admin_in_again_and_is_in_the_audit_log() {
    let mut river = River::gateway_alone("");
    let refused = Command::new(program("river-gateway"))
        .args(["--config", "g.toml", "invite"])
        .current_dir(river.dir.path())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && words.contains("stop it first"),
        "{words}"
    );
    assert!(refused.stdout.is_empty());
    river.end_gateway();
    let told = gateway(&river, &["invite"]);
    river.start_gateway();
    let login = told
        .split([' ', '@'])
        .find(|word| word.starts_with("invite-"));
    let rescuer = Person::new(river.dir.path(), river.port, "rescuer");
    let welcome = rescuer.ssh_as(login.unwrap(), "rescuer").good();
    assert!(welcome.contains("as admin"), "{welcome}");
    // The key of an account that lost its own.
    let other = Person::new(river.dir.path(), river.port, "other");
    let key = std::fs::read_to_string(river.dir.path().join("other_key.pub")).unwrap();
    let line = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
    rescuer
        .ssh(&format!("auth key add --account alice {line}"))
        .good();
    assert!(other.ssh("auth status").good().contains("alice"));
    let log = rescuer.ssh("audit --json").good();
    assert!(log.contains("admin, on the gateway's machine"), "{log}");
}

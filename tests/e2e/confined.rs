//! The gateway's process from outside: what the kernel holds it to, and what it refuses to begin with.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use harness::river::program;
use harness::{Engine, River};

#[test]
fn every_thread_of_a_gateway_is_confined_and_it_does_all_its_work() {
    let river = River::start(Engine::Process, 2);
    assert_eq!(river.admin.ssh("task run -- echo out").good(), "out\n");
    let (gateway, _) = river.pids();
    let threads = std::fs::read_dir(format!("/proc/{gateway}/task")).unwrap();
    let mut count = 0;
    for thread in threads {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{line}\n{status}");
        }
        count += 1;
    }
    assert!(count > 1, "{count} threads");
    let log = river.log();
    assert!(
        log.contains("opens no file outside of its own, dials nobody, starts no program"),
        "{log}"
    );
    for path in ["river.db", "host_key", "authority_key", "output", "spool"] {
        let mode = river
            .dir
            .path()
            .join("g")
            .join(path)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{path}: {mode:o}");
    }
}

#[test]
fn a_gateway_whose_keys_others_can_read_does_not_begin() {
    let mut river = River::start(Engine::Process, 1);
    river.kill_gateway();
    let key = river.dir.path().join("g/host_key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    let refused = Command::new(program("river-gateway"))
        .args(["--config", "g.toml"])
        .current_dir(river.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    let remedy = format!("is open to others (mode 0640): chmod 600 {}", key.display());
    assert!(
        refused.status.code() == Some(1) && said.contains(&remedy),
        "{said}"
    );
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    river.start_gateway();
}

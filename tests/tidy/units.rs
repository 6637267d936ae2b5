//! The systemd units in `packaging/`: what the programs print, and what each must hold to.

use crate::root;

fn unit(name: &str) -> String {
    std::fs::read_to_string(root().join("packaging").join(name)).unwrap()
}

fn has(unit: &str, line: &str) -> bool {
    unit.lines().any(|one| one == line)
}

#[test]
fn units_are_what_the_programs_print() {
    let gateway = unit("river-gateway.service");
    assert_eq!(gateway::config::Config::default().service(), gateway);
    assert_eq!(runner::config::SERVICE, unit("river-runner.service"));
    for program in ["gateway", "runner"] {
        let start = format!("ExecStart=river-{program} --config /etc/river/{program}.toml");
        assert!(has(&unit(&format!("river-{program}.service")), &start));
    }
    let users = unit("river.sysusers");
    assert!(
        has(&gateway, "User=river") && users.contains("\nu river "),
        "{users}"
    );
    let port = gateway::config::Config::default().listen.port();
    assert!(has(
        &unit("river-gateway.socket"),
        &format!("ListenStream={port}")
    ));
}

#[test]
fn the_gateway_has_no_rights_and_the_runner_those_that_it_needs() {
    let gateway = unit("river-gateway.service");
    for line in [
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6",
        "MemoryDenyWriteExecute=yes",
        "LockPersonality=yes",
        "UMask=0077",
        "StateDirectory=river-gateway",
        "StateDirectoryMode=0700",
    ] {
        assert!(has(&gateway, line), "river-gateway.service: {line}");
    }
    assert!(
        gateway.contains("SystemCallFilter=@system-service "),
        "{gateway}"
    );
    let runner = unit("river-runner.service");
    for line in [
        "KillMode=process",
        "Delegate=yes",
        "OOMPolicy=continue",
        "TasksMax=infinity",
    ] {
        assert!(has(&runner, line), "river-runner.service: {line}");
    }
    // Each of these would hide the runner's mounts from Docker (systemd.exec(5), MountFlags).
    for key in [
        "Protect",
        "Private",
        "ReadOnlyPaths",
        "InaccessiblePaths",
        "TemporaryFileSystem",
        "BindPaths",
        "RootDirectory",
    ] {
        let found = runner.lines().find(|line| line.starts_with(key));
        assert_eq!(found, None, "river-runner.service");
    }
    for unit in [gateway, runner] {
        for line in [
            "Restart=always",
            "OOMScoreAdjust=-900",
            "LimitNOFILE=65536",
            "TimeoutStopSec=20",
            "StartLimitIntervalSec=0",
        ] {
            assert!(has(&unit, line), "{line}\n{unit}");
        }
    }
}

//! ansible, with Python in the box.

use std::process::{Command, Stdio};

use harness::Run;

use super::Lab;
use super::copies::{bring, bring_tree};

#[test]
fn ansible_pings_and_copies() {
    let lab = Lab::new();
    bring(&lab, &["/usr/bin/python3"]);
    bring_tree(&lab, "/usr/lib/python3.11");
    let (file, bytes) = lab.noise("file", 1 << 20);
    let inventory = lab.text("hosts");
    let host = "lab ansible_python_interpreter=/usr/bin/python3\n";
    std::fs::write(&inventory, host).unwrap();
    // The login belongs into ~/.ssh/config: of `ansible_user` ansible makes `~lab`, whom no box knows.
    let own = std::fs::read_to_string(&lab.alice().config).unwrap();
    let host = format!(
        "Host lab\n  HostName 127.0.0.1\n  Port {}\n  User lab\n{own}",
        lab.port()
    );
    let config = lab.text("config");
    std::fs::write(&config, host).unwrap();
    let socket = lab.text("mux");
    let ssh =
        format!("-F {config} -o ControlMaster=auto -o ControlPersist=60s -o ControlPath={socket}");
    let ansible = |module: &[&str], way: &str| {
        let run = Command::new("ansible")
            .args(["-i", &inventory, "lab"])
            .args(module)
            .current_dir(lab.river.dir.path())
            .env("ANSIBLE_HOME", lab.path("ansible"))
            .env("ANSIBLE_PIPELINING", "1")
            .env("ANSIBLE_SSH_ARGS", &ssh)
            .env("ANSIBLE_SSH_TRANSFER_METHOD", way)
            .env("ANSIBLE_SCP_EXTRA_ARGS", "-O")
            .stdin(Stdio::null())
            .output();
        let run: Run = run.expect("scripts/clients.sh installs it").into();
        assert_eq!(
            run.code,
            0,
            "{module:?} {way}: {}{}",
            run.text(),
            run.stderr
        );
        run.text()
    };
    assert!(ansible(&["-m", "ping"], "sftp").contains("pong"));
    for way in ["sftp", "scp", "piped"] {
        let words = format!("src={file} dest=/root/{way} mode=0640");
        let said = ansible(&["-m", "copy", "-a", &words], way);
        assert!(said.contains("CHANGED"), "{said}");
        let line = format!("cat {way}");
        assert!(lab.alice().ssh_as("lab", &line).stdout == bytes, "{way}");
        let line = format!("stat -c %a {way}");
        assert_eq!(lab.alice().ssh_as("lab", &line).good(), "640\n");
    }
    let mut exit = lab
        .alice()
        .command(&["-O", "exit", "-S", &socket, "-l", "lab"], "");
    assert!(exit.status().unwrap().success());
}

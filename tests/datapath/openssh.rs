//! Runs the real `ssh` against a [`Door`].

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;

use crate::door::{Door, new_key};

pub(crate) struct OpenSsh {
    dir: TempDir,
    port: u16,
}

impl OpenSsh {
    pub(crate) fn for_door(door: &Door) -> Self {
        let dir = TempDir::new().unwrap();
        let line_ending = russh::keys::ssh_key::LineEnding::LF;
        new_key()
            .write_openssh_file(dir.path().join("key"), line_ending)
            .unwrap();
        Self {
            dir,
            port: door.address.port(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `ssh`, all sessions on one connection; the first to start holds it.
    pub(crate) fn shared(&self, command: &str) -> Command {
        let control = self.path("control");
        self.ssh(
            &[
                "ControlMaster=auto",
                &format!("ControlPath={}", control.display()),
            ],
            command,
        )
    }

    pub(crate) fn ssh(&self, options: &[&str], command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-T", "-q", "-p", &self.port.to_string(), "-i"])
            .arg(self.path("key"));
        let fixed = [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
        ];
        for option in fixed.iter().chain(options) {
            ssh.args(["-o", option]);
        }
        ssh.args(["alice@127.0.0.1", command])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        ssh
    }
}

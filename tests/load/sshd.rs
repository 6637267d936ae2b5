//! OpenSSH's own server, for what it costs to be let in there.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use harness::openssh::Person;
use harness::wait::until;
use tempfile::TempDir;

pub(crate) struct Sshd {
    child: Child,
    pub(crate) port: u16,
    dir: TempDir,
}

impl Sshd {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let person = Person::new(dir.path(), port, "peer");
        // Its host key: a second person's.
        let _ = Person::new(dir.path(), port, "host");
        let path = dir.path().display();
        // Nothing of it may be what limits it.
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host_key\nAuthorizedKeysFile {path}/peer_key.pub\n\
             StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\nMaxSessions 1000\n\
             MaxStartups 1000\n"
        );
        std::fs::write(dir.path().join("sshd_config"), config).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f"])
            .arg(dir.path().join("sshd_config"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("sshd answers", || person.ssh_as("root", "true").code == 0);
        Self { child, port, dir }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Of root.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("peer_key")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

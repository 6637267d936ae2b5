//! Real `ssh` with throwaway keys.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Somebody with a key of their own.
#[derive(Clone, Debug)]
pub struct Person {
    pub config: PathBuf,
}

/// What a command came to.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    /// This command to its end, with this on standard input; it need not read it all.
    #[must_use]
    pub fn of(command: &mut Command, input: &[u8]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap().into()
        })
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard output, if it went well.
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.text(), self.stderr);
        self.text()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Person {
    /// With a fresh key in `dir`.
    #[must_use]
    pub fn new(dir: &Path, port: u16, name: &str) -> Self {
        Self::at(dir, ("127.0.0.1", port), name)
    }

    /// … for a gateway that is there.
    #[must_use]
    pub fn at(dir: &Path, (host, port): (&str, u16), name: &str) -> Self {
        let key = dir.join(format!("{name}_key"));
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key)
            .status();
        assert!(made.unwrap().success());
        let config = dir.join(format!("{name}_config"));
        let text = format!(
            "Host river\n  HostName {host}\n  Port {port}\nHost *\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             HostKeyAlias river\n  UserKnownHostsFile {}\n  StrictHostKeyChecking accept-new\n\n",
            key.display(),
            dir.join("known_hosts").display()
        );
        std::fs::write(&config, text).unwrap();
        Self { config }
    }

    #[must_use]
    pub fn command(&self, options: &[&str], line: &str) -> Command {
        let mut command = Command::new("ssh");
        command
            .arg("-F")
            .arg(&self.config)
            .args(options)
            .arg("river");
        if !line.is_empty() {
            command.arg(line);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `ssh river LINE`
    #[must_use]
    pub fn ssh(&self, line: &str) -> Run {
        self.run(&["-T"], line)
    }

    /// `ssh LOGIN@river LINE`
    #[must_use]
    pub fn ssh_as(&self, login: &str, line: &str) -> Run {
        self.run(&["-T", "-l", login], line)
    }

    /// With these options of ssh, to its end.
    #[must_use]
    pub fn run(&self, options: &[&str], line: &str) -> Run {
        self.command(options, line).output().unwrap().into()
    }

    /// With this on standard input.
    #[must_use]
    pub fn ssh_with(&self, line: &str, input: &[u8]) -> Run {
        self.run_with(&["-T"], line, input)
    }

    /// With these options of ssh, and this on standard input.
    #[must_use]
    pub fn run_with(&self, options: &[&str], line: &str, input: &[u8]) -> Run {
        Run::of(&mut self.command(options, line), input)
    }

    /// Begun, not waited for.
    #[must_use]
    pub fn start(&self, options: &[&str], line: &str) -> Child {
        self.command(options, line).spawn().unwrap()
    }
}

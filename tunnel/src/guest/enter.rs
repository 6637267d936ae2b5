//! The step between guest and a session's program: a process that becomes the program.
//!
//! `river-guest enter` finds an [`Entry`] at the beginning of its standard input: the kernel bounds each string of an
//! environment (128 KiB, execve(2)), and a command's line alone may be as long. What goes wrong is said on standard
//! error, and the exit code is 127, as by a shell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{AccessFlags, access, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use serde::{Deserialize, Serialize};

use super::user::User;
use super::{launch, own, scp};
use crate::wire::guest::GuestRights;

/// What to become.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// `None`: stay who we are.
    pub(super) user: Option<User>,
    pub(super) rights: GuestRights,
    pub(super) env: BTreeMap<String, String>,
    /// Tried in turn.
    pub(super) workdirs: Vec<String>,
    pub(super) affinity: Vec<usize>,
    pub(super) program: Program,
    /// Opened as standard input, output, error, and controlling terminal.
    pub(super) terminal: Option<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Program {
    LoginShell,
    /// For the box's shell; without one, split into words here.
    Line(Vec<u8>),
    Sftp,
}

/// Returns only when nothing could be started, with the exit code.
#[must_use]
pub fn enter() -> i32 {
    let Ok(entry) = hear() else {
        return 126;
    };
    let why = become_program(entry);
    eprintln!("river: {why}");
    127
}

/// For the process's standard input: a big-endian `u32`, and so many bytes of JSON.
pub(super) fn told(entry: &Entry) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(entry)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], &body].concat())
}

/// A standard input of [`told`] alone, for a program that takes its own from elsewhere.
pub(super) fn told_alone(entry: &Entry) -> io::Result<Stdio> {
    let memory = rustix::fs::memfd_create("entry", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(&told(entry)?)?;
    file.rewind()?;
    Ok(file.into())
}

/// Without a byte of what follows: that is the program's.
fn hear() -> io::Result<Entry> {
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut length = [0; 4];
    input.read_exact(&mut length)?;
    let mut body = Vec::new();
    let length = u32::from_be_bytes(length);
    input.take(length.into()).read_to_end(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

fn become_program(entry: Entry) -> String {
    let _ = setsid();
    if let Some(path) = &entry.terminal
        && let Err(error) = take_terminal(path)
    {
        return format!("no terminal: {error}");
    }
    if let Err(why) = launch::confine(&entry.affinity) {
        return why;
    }
    let mut env = entry.env;
    let shell = shell(entry.user.as_ref());
    if let Err(why) = launch::take_user(entry.user.as_ref(), entry.rights, &mut env) {
        return why;
    }
    if let Some(name) = env.get("USER").cloned() {
        env.entry("LOGNAME".to_owned()).or_insert(name);
    }
    if let Some(shell) = &shell {
        env.insert("SHELL".to_owned(), shell.clone());
    }
    let home = env.get("HOME").cloned().unwrap_or_else(|| "/".to_owned());
    let places = entry.workdirs.iter().chain([&home]);
    if !places
        .into_iter()
        .any(|dir| std::env::set_current_dir(dir).is_ok())
    {
        let _ = std::env::set_current_dir("/");
    }
    let program = match entry.program {
        Program::Sftp => {
            // Its stream has both ways.
            if let Err(error) = dup2_stdin(io::stdout()) {
                return format!("no standard input: {error}");
            }
            return super::sftp::run();
        }
        Program::Line(line) => Program::Line(with_scp(line, &env)),
        Program::LoginShell => Program::LoginShell,
    };
    let mut command = match command(program, shell.as_deref()) {
        Ok(command) => command,
        Err(why) => return why,
    };
    let error = command.env_clear().envs(&env).exec();
    let name = command.get_program().to_string_lossy().into_owned();
    if error.kind() == io::ErrorKind::NotFound {
        return format!("{name}: no such command in this box");
    }
    format!("{name}: {}", launch::plain(&error))
}

/// `scp -t` and `-f` of a client are ours where the image has no scp: as a program that the user's shell
/// starts, for its names are the shell's to expand.
fn with_scp(line: Vec<u8>, env: &BTreeMap<String, String>) -> Vec<u8> {
    let Some(words) = scp::called(&line) else {
        return line;
    };
    match own::named().map(PathBuf::into_os_string) {
        Some(guest)
            if !scp::in_path(env.get("PATH").map_or("", String::as_str))
                && access(Path::new(&guest), AccessFlags::X_OK).is_ok() =>
        {
            let Ok(guest) = shlex::bytes::try_quote(guest.as_bytes()) else {
                return line;
            };
            [&guest, &b" scp "[..], words].concat()
        }
        Some(_) | None => line,
    }
}

fn command(program: Program, shell: Option<&str>) -> Result<Command, String> {
    match (program, shell) {
        (Program::Line(line), Some(shell)) => {
            let mut command = Command::new(shell);
            command.arg("-c").arg(OsString::from_vec(line));
            if let Some(name) = Path::new(shell).file_name() {
                command.arg0(name);
            }
            Ok(command)
        }
        (Program::LoginShell, Some(shell)) => {
            let mut command = Command::new(shell);
            let name = Path::new(shell).file_name().unwrap_or_default();
            // A dash in front: a login shell (sh(1)).
            let mut login = OsString::from("-");
            login.push(name);
            command.arg0(login);
            Ok(command)
        }
        (Program::Line(line), None) => {
            let words = shlex::bytes::split(&line)
                .ok_or("this box has no shell, and the quotes of the command do not match")?;
            let mut words = words.into_iter().map(OsString::from_vec);
            let mut command = Command::new(words.next().ok_or("the command has no words")?);
            command.args(words);
            Ok(command)
        }
        (Program::LoginShell | Program::Sftp, _) => Err(
            "this box's image has no shell: name a program by its path, as in `ssh BOX@river /bin/program`, or bring a shell: `scp busybox BOX@river:/bin/sh`"
                .into(),
        ),
    }
}

/// The user's own where it can be executed, else one that is usual.
fn shell(user: Option<&User>) -> Option<String> {
    let own = user.and_then(|user| user.shell.clone());
    let usual = ["/bin/bash", "/bin/sh", "/usr/bin/sh"].map(ToOwned::to_owned);
    own.into_iter().chain(usual).find(|path| {
        std::fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// A session leader that opens a terminal gets it as its controlling one (tty(4)).
fn take_terminal(path: &Path) -> io::Result<()> {
    let terminal = OpenOptions::new().read(true).write(true).open(path)?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    Ok(())
}

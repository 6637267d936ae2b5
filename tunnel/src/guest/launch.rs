//! The step between supervisor and command: a process that becomes the command.
//!
//! `river-guest launch RUN_DIR OUT_DIR` changes session, core set, directory, user and rights, and
//! executes. What goes wrong is written to the out directory's `failed`, and the exit code is 127.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Pid, Uid, setgroups, setresgid, setresuid, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::user::User;
use super::{record, user};
use crate::wire::guest::{GuestRights, GuestSpec};

/// Open files of a command at most (`reliability.md` 3.11); fewer where the engine allows fewer.
const FILES: u64 = 65_536;

/// Returns only when the command could not be started, with the exit code.
#[must_use]
pub fn launch(run: &Path, out: &Path) -> i32 {
    // Opened while we may still write there; closed by the exec.
    let Ok(mut failed) = record::open_failed(out) else {
        return 126;
    };
    let why = match record::spec(run) {
        Ok(spec) => become_command(&spec),
        Err(error) => format!("{error:#}"),
    };
    let _ = failed.write_all(why.as_bytes());
    127
}

/// Why not.
fn become_command(spec: &GuestSpec) -> String {
    let user = match user::find(&spec.user) {
        Ok(user) => user,
        Err(why) => return why,
    };
    let _ = setsid();
    if let Err(why) = confine(&spec.affinity) {
        return why;
    }
    let workdir = spec.workdir.as_deref().unwrap_or("/");
    if let Err(error) = std::env::set_current_dir(workdir) {
        return format!("the working directory {workdir}: {}", plain(&error));
    }
    let mut env = spec.env.clone();
    if let Err(why) = take_user(user.as_ref(), spec.rights, &mut env) {
        return why;
    }
    let Some((program, words)) = spec.argv.split_first() else {
        return "the command has no words".to_owned();
    };
    let error = Command::new(program)
        .args(words)
        .env_clear()
        .envs(&env)
        .exec();
    if error.kind() == std::io::ErrorKind::NotFound {
        return format!("{program}: no such command in this environment");
    }
    format!("{program}: {}", plain(&error))
}

/// Becomes the user, for good, and says so in the environment where nobody else did.
pub(super) fn take_user(
    user: Option<&User>,
    rights: GuestRights,
    env: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    if let Some(user) = user {
        let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
        let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
        let changed = setgroups(&groups)
            .and_then(|()| setresgid(gid, gid, gid))
            .and_then(|()| setresuid(uid, uid, uid));
        changed.map_err(|error| format!("cannot become user {}: {error}", user.uid))?;
        env.entry("HOME".to_owned())
            .or_insert_with(|| user.home.clone().unwrap_or_else(|| "/".to_owned()));
        if let Some(name) = &user.name {
            env.entry("USER".to_owned()).or_insert_with(|| name.clone());
        }
    }
    env.entry("PATH".to_owned()).or_insert_with(|| {
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
    });
    // A command gains no rights by set-user-ID files (prctl(2), PR_SET_NO_NEW_PRIVS).
    nix::sys::prctl::set_no_new_privs()
        .map_err(|error| format!("cannot give up rights: {error}"))?;
    if rights == GuestRights::None {
        give_up_capabilities().map_err(|error| format!("cannot give up capabilities: {error}"))?;
    }
    Ok(())
}

/// The guest has some for itself. Root gets none back by an exec: `no_new_privs` comes first.
pub(super) fn give_up_capabilities() -> std::io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, none)?)
}

pub(super) fn confine(affinity: &[usize]) -> Result<(), String> {
    if !affinity.is_empty() {
        let mut cores = CpuSet::new();
        for core in affinity {
            cores
                .set(*core)
                .map_err(|error| format!("core {core}: {error}"))?;
        }
        sched_setaffinity(Pid::from_raw(0), &cores)
            .map_err(|error| format!("cannot stay on its cores: {error}"))?;
    }
    let files = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| {
        let most = hard.min(FILES);
        setrlimit(Resource::RLIMIT_NOFILE, most, most)
    });
    files.map_err(|error| format!("cannot limit open files: {error}"))?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .map_err(|error| format!("cannot limit core files: {error}"))
}

/// `No such file or directory` without the number.
pub(super) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

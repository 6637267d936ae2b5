//! What the gateway's process can no longer do once it serves: open files outside of its own, dial out, start
//! programs. By Landlock (landlock(7)) and seccomp (seccomp(2)), where the kernel has them.
//!
//! To be entered before there is a second thread: Landlock holds for the thread that asks, and for those it starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use nix::errno::Errno;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use tracing::{info, warn};

/// Folders that may still be used, with all below them.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    pub written: Vec<PathBuf>,
    pub read: Vec<PathBuf>,
}

/// Newest Landlock that is asked for; an older kernel does as much of it as it knows.
const NEWEST: ABI = ABI::V6;

/// System calls that no gateway needs: other programs and processes, mounts, namespaces, other users' rights, the
/// kernel itself. The unit's `SystemCallFilter` allows less; this holds also where nobody wrote a unit.
const DENIED: [libc::c_long; 62] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_personality,
];

/// There is no way back. A kernel that has not all of it is named in the log, once.
///
/// # Errors
/// When the kernel has them and refuses: the gateway must not serve then.
pub fn enter(folders: &Folders) -> anyhow::Result<()> {
    let files = files(folders).context("cannot give up files (Landlock)")?;
    let calls = calls().context("cannot give up system calls (seccomp)")?;
    match (files, calls) {
        (RulesetStatus::FullyEnforced, true) => {
            info!("opens no file outside of its own, dials nobody, starts no program");
        }
        (files, calls) => warn!(
            landlock = ?files,
            seccomp = calls,
            "this kernel does not have all that confines a gateway; the rest of it is in force"
        ),
    }
    Ok(())
}

fn files(folders: &Folders) -> anyhow::Result<RulesetStatus> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let written = read
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::ConnectTcp)?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let all = [(&folders.written, written), (&folders.read, read)];
    for (paths, access) in all {
        for path in paths {
            rules = rules.add_rule(beneath(path, access)?)?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

fn beneath(path: &Path, access: BitFlags<AccessFs>) -> anyhow::Result<PathBeneath<PathFd>> {
    let folder = PathFd::new(path).with_context(|| path.display().to_string())?;
    Ok(PathBeneath::new(folder, access))
}

/// `false`: this kernel has no seccomp.
fn calls() -> anyhow::Result<bool> {
    let denied = DENIED.into_iter().map(|call| (call, Vec::new()));
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> = denied.collect();
    // A process of its own, no; a thread, yes.
    let is_process = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::MaskedEq(u64::try_from(libc::CLONE_THREAD)?),
        0,
    )?;
    refused.insert(libc::SYS_clone, vec![SeccompRule::new(vec![is_process])?]);
    // Its flags cannot be looked at, so it is not there: the C library takes clone(2) then.
    let absent = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok(apply(refused, Errno::EPERM)? && apply(absent, Errno::ENOSYS)?)
}

fn apply(calls: BTreeMap<i64, Vec<SeccompRule>>, answer: Errno) -> anyhow::Result<bool> {
    let filter = SeccompFilter::new(
        calls,
        SeccompAction::Allow,
        SeccompAction::Errno(u32::try_from(answer as i32)?),
        std::env::consts::ARCH.try_into()?,
    )?;
    let program: BpfProgram = filter.try_into()?;
    match seccompiler::apply_filter(&program) {
        Ok(()) => Ok(true),
        Err(seccompiler::Error::Seccomp(error))
            if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) =>
        {
            Ok(false)
        }
        Err(error) => bail!(error),
    }
}

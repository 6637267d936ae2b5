//! What this node has: from /proc, /etc and uname(2), unless the configuration says otherwise.

use std::fs;
use std::path::Path;

use anyhow::Context;
use cluster::NodeFacts;

use crate::config::{Config, Cores};

/// # Errors
/// When the machine does not say its own memory or boot id.
pub fn gather(config: &Config, engine_version: String) -> anyhow::Result<NodeFacts> {
    let uname = nix::sys::utsname::uname().context("uname")?;
    let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
    Ok(NodeFacts {
        cores: cores(config),
        memory: match config.memory_mib {
            Some(mib) => mib << 20,
            None => memory()?,
        },
        engine: config.engine,
        engine_version,
        open_to: config.role(),
        kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
        arch: text(uname.machine()),
        runner_version: env!("CARGO_PKG_VERSION").to_owned(),
        machine_id: machine_id(config)?,
        boot_id: boot_id(config)?,
    })
}

fn cores(config: &Config) -> Vec<u32> {
    match &config.cores {
        Some(Cores::List(list)) => {
            let mut list = list.clone();
            list.sort_unstable();
            list.dedup();
            list
        }
        Some(Cores::Count(count)) => (0..*count).collect(),
        None => (0..physical()).collect(),
    }
}

/// Cores of the machine.
#[must_use]
pub fn physical() -> u32 {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Numbers that exist here: a node may offer more cores than its machine has (several nodes on one).
#[must_use]
pub fn real_cores(numbers: &[u32]) -> Vec<u32> {
    let mut real: Vec<u32> = numbers.iter().map(|number| number % physical()).collect();
    real.sort_unstable();
    real.dedup();
    real
}

fn memory() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .context("MemTotal")?;
    let kib: u64 = line
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .context("MemTotal")?;
    Ok(kib << 10)
}

/// # Errors
/// When neither the configuration nor the machine has one.
pub fn machine_id(config: &Config) -> anyhow::Result<String> {
    if let Some(id) = &config.machine_id {
        return Ok(id.clone());
    }
    let read = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
    };
    read("/etc/machine-id")
        .or_else(|| read("/var/lib/dbus/machine-id"))
        .context("this machine has no /etc/machine-id: set machine_id in the configuration")
}

/// # Errors
/// When neither the configuration nor the kernel has one.
pub fn boot_id(config: &Config) -> anyhow::Result<String> {
    if let Some(id) = &config.boot_id {
        return Ok(id.clone());
    }
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    Ok(fs::read_to_string(path)
        .context("boot_id")?
        .trim()
        .to_owned())
}

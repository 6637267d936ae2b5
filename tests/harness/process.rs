//! What the kernel tells of a process.

/// Of proc(5), status; kibibytes there, bytes here. `None`: it has ended.
#[must_use]
pub fn status(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib = line.split_whitespace().nth(1)?;
    Some(kib.parse::<u64>().ok()? << 10)
}

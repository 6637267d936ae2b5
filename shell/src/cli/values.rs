//! Reads `4`, `16G`, `2h`, `SRC:DST:ro` from words.

use cluster::task::{STOP_SNAPSHOT, limits};
use cluster::{AttemptId, Mount, TaskName};

use crate::command::{Format, Transport};

/// `512M`, `8G`, `1.5G`, or bytes; binary multiples. 0 is "no limit".
///
/// # Errors
/// Says what a size looks like, or the range.
pub fn size(text: &str) -> Result<u64, String> {
    let spelling = || "a size is a number with K, M, G or T, such as 512M".to_owned();
    let text = text
        .strip_suffix("iB")
        .or_else(|| text.strip_suffix('B'))
        .unwrap_or(text);
    let split = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(spelling()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if !whole
        .bytes()
        .chain(part.bytes())
        .all(|b| b.is_ascii_digit())
        || part.len() > 6
        || whole.is_empty()
    {
        return Err(spelling());
    }
    let whole: u64 = whole.parse().map_err(|_| spelling())?;
    let unit = 1_u64 << shift;
    let fraction = part.bytes().fold((0_u64, 1_u64), |(n, d), b| {
        (n * 10 + u64::from(b - b'0'), d * 10)
    });
    let bytes = whole.checked_mul(unit).ok_or_else(spelling)?;
    bytes
        .checked_add(unit / fraction.1 * fraction.0 + unit % fraction.1 * fraction.0 / fraction.1)
        .ok_or_else(spelling)
}

/// A name for a snapshot that somebody makes.
///
/// # Errors
/// As of any name, or it is as those that a stop makes, which go by themselves.
pub fn snapshot(text: &str) -> Result<TaskName, String> {
    if text.starts_with(STOP_SNAPSHOT) {
        return Err(format!(
            "names that begin with {STOP_SNAPSHOT} are of a stop's own snapshots"
        ));
    }
    text.parse::<TaskName>().map_err(|error| error.to_string())
}

/// A memory limit within the range of a task.
///
/// # Errors
/// As [`size`], or out of range.
pub fn memory(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Ok(0),
        bytes if (limits::LEAST_MEMORY..=limits::MEMORY).contains(&bytes) => Ok(bytes),
        _ => Err("memory is 0 (no limit), or from 8M to 64T".to_owned()),
    }
}

/// `90`, `90s`, `15m`, `2h`, `1d`, `1h30m`: milliseconds.
///
/// An absolute path that means the same in every shell, and in TOML.
///
/// # Errors
/// Says what such a path is of.
pub fn plain_path(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let well = text.starts_with('/') && text.len() > 1 && text.chars().all(plain);
    if well && text.len() <= 200 && !text.split('/').any(|part| part == "..") {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err("a path here begins with / and is of letters, digits, and . _ - /".to_owned())
}

/// A host or address, and a port.
///
/// # Errors
/// Says what it looks like.
pub fn place(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty()
                && text.len() <= 253
                && host.chars().all(plain)
                && port.parse::<u16>().is_ok() =>
        {
            Ok(text.to_owned())
        }
        _ => Err("a place is HOST:PORT, such as gateway.example:2222".to_owned()),
    }
}

/// # Errors
/// Says how an attempt is spelt.
pub fn attempt(text: &str) -> Result<AttemptId, String> {
    let spelling = |_| "an attempt is such as 17.1, as `node status` names it".to_owned();
    text.parse().map_err(spelling)
}

/// # Errors
/// Says what a duration looks like, or the range.
pub fn duration(text: &str) -> Result<u64, String> {
    let spelling = || "a time is such as 90s, 15m, 2h, 1d or 1h30m".to_owned();
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let split = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(split);
        let number: u64 = number.parse().map_err(|_| spelling())?;
        let (seconds, used) = match after.chars().next() {
            None if number > 0 || total == 0 => (1, 0),
            Some('s') => (1, 1),
            Some('m') => (60, 1),
            Some('h') => (3600, 1),
            Some('d') => (86_400, 1),
            _ => return Err(spelling()),
        };
        let part = number.checked_mul(seconds * 1000).ok_or_else(spelling)?;
        total = total.checked_add(part).ok_or_else(spelling)?;
        rest = after.get(used..).unwrap_or_default();
    }
    if total == 0 || total > limits::TIME_LIMIT_MS {
        return Err("a time is from 1s to 366d".to_owned());
    }
    Ok(total)
}

/// `K=V`.
///
/// # Errors
/// Says what a variable looks like.
pub fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a variable is NAME=VALUE")?;
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty()
        || !plain
        || name.starts_with(|c: char| c.is_ascii_digit())
        || value.contains('\0')
    {
        return Err(
            "a variable's name is of A-Z, a-z, 0-9 and _, and begins with no digit".to_owned(),
        );
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `SRC:DST[:ro]`, both absolute.
///
/// # Errors
/// Says what a mount looks like.
pub fn mount(text: &str) -> Result<Mount, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, read_only) = match parts[..] {
        [source, target] | [source, target, "rw"] => (source, target, false),
        [source, target, "ro"] => (source, target, true),
        _ => return Err("a mount is SOURCE:TARGET or SOURCE:TARGET:ro".to_owned()),
    };
    for path in [source, target] {
        path_is_plain(path)?;
    }
    Ok(Mount {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    })
}

/// An absolute path without `..` and control characters.
///
/// # Errors
/// Says which rule is broken.
pub fn path(text: &str) -> Result<String, String> {
    path_is_plain(text)?;
    Ok(text.to_owned())
}

fn path_is_plain(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err("a path begins with /".to_owned());
    }
    if path.split('/').any(|part| part == "..")
        || path.chars().any(char::is_control)
        || path.len() > 4096
    {
        return Err(
            "a path has no `..` and no control characters, and at most 4096 bytes".to_owned(),
        );
    }
    Ok(())
}

/// An image reference or the name of an environment.
///
/// # Errors
/// Says what it is made of.
pub fn image(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    let good = (1..=255).contains(&text.len()) && text.bytes().all(plain);
    if good && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    Err("an image is such as debian:12 or registry.example/team/image:tag".to_owned())
}

/// Only standard input can be read.
///
/// # Errors
/// For everything but `-`.
pub fn dash(text: &str) -> Result<String, String> {
    match text {
        "-" => Ok(text.to_owned()),
        _ => Err(
            "the gateway cannot read your files; give `-` and send the key on standard input"
                .into(),
        ),
    }
}

/// Name of a terminal: 1 to 32 of a-z, A-Z, 0-9, `-` and `_`.
///
/// # Errors
/// What a terminal's name is.
pub fn terminal(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err("a terminal's name is 1 to 32 of a-z, A-Z, 0-9, '-' and '_'".into())
}

/// An idempotency key.
///
/// # Errors
/// Says how long it may be.
pub fn key(text: &str) -> Result<String, String> {
    if (1..=limits::KEY).contains(&text.len()) && !text.chars().any(char::is_control) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a key is 1 to {} bytes without control characters",
        limits::KEY
    ))
}

/// `-t NODE`.
///
/// # Errors
/// Says that GPUs and NUMA nodes cannot be named yet, or what a node's name is.
pub fn target(text: &str) -> Result<keys::NodeName, String> {
    if text.contains(':') {
        return Err(
            "this version of river places by node only, not by NUMA node or GPU".to_owned(),
        );
    }
    text.parse().map_err(|bad: keys::BadName| bad.to_string())
}

/// # Errors
/// Says which formats there are.
pub fn format(text: &str) -> Result<Format, String> {
    match text {
        "text" | "plain" | "table" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("a format is text or json".to_owned()),
    }
}

/// # Errors
/// Says which there are.
pub fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        _ => Err("a protocol is tcp or udp".to_owned()),
    }
}

/// # Errors
/// Says what the states are called.
pub fn state(text: &str) -> Result<cluster::TaskState, String> {
    cluster::TaskState::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = cluster::TaskState::ALL
            .iter()
            .map(|state| state.name())
            .collect();
        format!("a state is one of {}", names.join(", "))
    })
}

/// # Errors
/// Says which engines there are.
pub fn backend(text: &str) -> Result<cluster::EngineKind, String> {
    match text {
        "docker" => Ok(cluster::EngineKind::Docker),
        "process" => Ok(cluster::EngineKind::Process),
        _ => Err("a backend is docker or process".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("1.5G"), Ok(1536 << 20));
        assert_eq!(size("8GiB"), Ok(8 << 30));
        assert_eq!(memory("0"), Ok(0));
        for bad in ["", "M", "-1G", "1X", "1..5G", "99999999999999T", "1e9"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["1K", "65T"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("90"), Ok(90_000));
        assert_eq!(duration("1h30m"), Ok(5_400_000));
        for bad in ["", "0", "0s", "h", "1y", "367d", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mount_is_plain() {
        assert!(mount("/data:/data:ro").unwrap().read_only);
        for bad in ["/a", "a:/b", "/a:b", "/a/../b:/c", "/a:/b:rx", "/a:/b\x1b"] {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}

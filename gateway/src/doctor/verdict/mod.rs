//! Facts become hops: ok, warn or bad, what was seen, and the remedy. Pure.

pub mod gateway;
pub mod node;
#[cfg(test)]
mod tests;

use shell::render::units::bytes;
use shell::reply::{Hop, Verdict};
use tunnel::wire::examine::Room;

/// Bytes of a disk below which it is soon full, and below which nothing goes on.
const LITTLE: u64 = 1 << 30;
const NOTHING: u64 = 100 << 20;
/// As [`LITTLE`], of files that may still be made.
const FEW_FILES: u64 = 1_000;

/// Characters of what was seen.
const LONGEST: usize = 300;

/// What the caller may see (`permission::judge_doctor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Nodes as in `node status`, and their own things.
    Own,
    /// Store, door, and disks too.
    All,
}

/// A hop that is well.
fn ok(place: &str, what: &'static str, seen: String) -> Hop {
    Hop {
        place: place.to_owned(),
        what,
        verdict: Verdict::Ok,
        // A node's words may be long.
        seen: seen.chars().take(LONGEST).collect(),
        remedy: None,
    }
}

/// A hop that is not.
fn not(
    verdict: Verdict,
    (place, what): (&str, &'static str),
    seen: String,
    remedy: impl Into<String>,
) -> Hop {
    Hop {
        verdict,
        remedy: Some(remedy.into()),
        ..ok(place, what, seen)
    }
}

/// Room of a disk. `machine`: on which there is room to be made.
fn disk(at: (&str, &'static str), room: Option<&Room>, machine: &str) -> Hop {
    let Some(room) = room else {
        let seen = "the disk does not answer".to_owned();
        let remedy = format!("on {machine}: `df`, `dmesg`");
        return not(Verdict::Bad, at, seen, remedy);
    };
    let (path, free, size) = (&room.path, bytes(room.free), bytes(room.size));
    let seen = format!("{path}: {free} free of {size}");
    let make_room = format!("on {machine}: make room on the disk of {path}");
    if room.read_only {
        let remedy = format!("on {machine}: `dmesg` says why; repair it, mount it again");
        return not(Verdict::Bad, at, format!("{path}: read-only"), remedy);
    }
    let few = room.files_free.filter(|free| *free < FEW_FILES);
    match (room.free, few) {
        (..NOTHING, _) => not(Verdict::Bad, at, seen, make_room),
        (_, Some(0)) => {
            let seen = format!("{path}: no file more can be made");
            let remedy = format!("on {machine}: remove files there (`df -i`)");
            not(Verdict::Bad, at, seen, remedy)
        }
        (_, Some(files)) => {
            let seen = format!("{path}: {files} files more can be made");
            let remedy = format!("on {machine}: remove files there (`df -i`)");
            not(Verdict::Warn, at, seen, remedy)
        }
        (..LITTLE, None) => not(Verdict::Warn, at, seen, make_room),
        (_, None) => ok(at.0, at.1, seen),
    }
}

/// `0.4 ms`, `12 ms`, `1.2 s`.
fn short(time: std::time::Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

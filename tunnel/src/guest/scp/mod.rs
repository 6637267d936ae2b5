//! `scp -t` and `scp -f`: the far end of `scp -O`, for boxes whose image has no scp.
//!
//! The protocol is rcp's, as OpenSSH's scp.c speaks it: records of one line each ([`record`]), each answered by a
//! byte 0, or by 1 and a line of words. It runs as the box's user, started by the user's shell, which expands the
//! names; the far end of an older client can count on no less.

mod peer;
mod record;
mod sink;
mod source;

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use nix::unistd::{AccessFlags, access};

use peer::Peer;

/// Letters of options that a client sends; `v` and `q` mean nothing here.
const LETTERS: &[u8] = b"tfrpdvq";

/// What the client wants of this end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    sink: bool,
    source: bool,
    recursive: bool,
    /// Times and modes as they were.
    preserve: bool,
    /// The target must be a folder.
    into_folder: bool,
    paths: Vec<PathBuf>,
}

/// The line without its first word, if it is a client's call of the far end.
pub(super) fn called(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"scp ")?;
    let mut end = false;
    for word in rest.split(|byte| *byte == b' ').filter(|w| !w.is_empty()) {
        match word {
            [b'-', letters @ ..] if !letters.is_empty() && of_ours(letters) => {
                end |= letters.iter().any(|letter| b"tf".contains(letter));
            }
            _ => break,
        }
    }
    end.then_some(rest)
}

fn of_ours(letters: &[u8]) -> bool {
    letters.iter().all(|letter| LETTERS.contains(letter))
}

/// Does a search of this `PATH` find scp?
pub(super) fn in_path(path: &str) -> bool {
    path.split(':').any(|dir| {
        let file = Path::new(if dir.is_empty() { "." } else { dir }).join("scp");
        file.is_file() && access(&file, AccessFlags::X_OK).is_ok()
    })
}

/// With the words behind `scp`, on standard input and output; returns the exit code.
#[must_use]
pub fn run(words: impl Iterator<Item = OsString>) -> i32 {
    let Some(wanted) = wanted(words) else {
        eprintln!("river: this scp is the far end of `scp -O` alone: scp -t|-f [-rpd] PATH…");
        return 1;
    };
    let ends = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|input| Ok((input, io::stdout().as_fd().try_clone_to_owned()?)));
    let Ok((input, output)) = ends else { return 1 };
    let mut peer = Peer::new(std::fs::File::from(input), std::fs::File::from(output));
    let mask = umask(Mode::empty());
    umask(mask);
    i32::from(!serve(&wanted, mask.bits(), &mut peer))
}

/// Did all go well?
fn serve<R: io::Read, W: io::Write>(wanted: &Wanted, mask: u32, peer: &mut Peer<R, W>) -> bool {
    let done = if wanted.sink {
        sink::serve(wanted, mask, peer)
    } else {
        source::serve(wanted, peer)
    };
    done.is_ok() && peer.errors == 0
}

/// `None`: not a call of the far end.
fn wanted(words: impl Iterator<Item = OsString>) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    let mut options = true;
    for word in words {
        match word.as_bytes() {
            b"--" if options => options = false,
            [b'-', letters @ ..] if options && !letters.is_empty() => {
                if !of_ours(letters) {
                    return None;
                }
                let has = |letter| letters.contains(&letter);
                wanted.sink |= has(b't');
                wanted.source |= has(b'f');
                wanted.recursive |= has(b'r');
                wanted.preserve |= has(b'p');
                wanted.into_folder |= has(b'd');
            }
            _ => {
                options = false;
                wanted.paths.push(word.into());
            }
        }
    }
    let one_end = wanted.sink != wanted.source;
    let paths = if wanted.sink { 1..=1 } else { 1..=usize::MAX };
    (one_end && paths.contains(&wanted.paths.len())).then_some(wanted)
}

#[cfg(test)]
mod tests;

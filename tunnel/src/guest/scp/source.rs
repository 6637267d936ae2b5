//! The end that reads files.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use super::Wanted;
use super::peer::{PIECE, Peer};

/// What a mode tells of rights.
const RIGHTS: u32 = 0o7777;

pub(super) fn serve<R: Read, W: Write>(wanted: &Wanted, peer: &mut Peer<R, W>) -> io::Result<()> {
    // The client's first byte says that it listens.
    peer.agrees()?;
    for path in &wanted.paths {
        send(path, wanted, peer)?;
    }
    Ok(())
}

fn send<R: Read, W: Write>(path: &Path, wanted: &Wanted, peer: &mut Peer<R, W>) -> io::Result<()> {
    // A pipe without a writer must not hold us up.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)
        .and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((meta, file)) if meta.is_file() => send_file(path, file, &meta, wanted, peer),
        Ok((meta, _)) if meta.is_dir() && wanted.recursive => {
            send_folder(path, &meta, wanted, peer)
        }
        Ok(_) => peer.complain(path, &io::Error::other("not a regular file")),
        Err(error) => peer.complain(path, &error),
    }
}

fn send_file<R: Read, W: Write>(
    path: &Path,
    mut file: File,
    meta: &Metadata,
    wanted: &Wanted,
    peer: &mut Peer<R, W>,
) -> io::Result<()> {
    if !announced(b'C', path, meta, wanted, peer)? {
        return Ok(());
    }
    let mut buffer = vec![0; PIECE];
    let (mut left, mut broken) = (meta.len(), None);
    while left > 0 {
        let most = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
        let count = match &broken {
            None => file.read(&mut buffer[..most]),
            Some(_) => Ok(0),
        };
        let count = match count {
            Ok(count @ 1..) => count,
            // So many bytes were promised: the rest is padded, and then said to be broken.
            ended => {
                let why = ended.err();
                broken = broken.or(why).or_else(|| Some(short()));
                buffer[..most].fill(0);
                most
            }
        };
        peer.send(&buffer[..count])?;
        left -= count as u64;
    }
    match broken {
        None => peer.ok()?,
        Some(error) => peer.complain(path, &error)?,
    }
    peer.agrees().map(|_| ())
}

fn short() -> io::Error {
    io::Error::other("it became shorter meanwhile")
}

fn send_folder<R: Read, W: Write>(
    path: &Path,
    meta: &Metadata,
    wanted: &Wanted,
    peer: &mut Peer<R, W>,
) -> io::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return peer.complain(path, &error),
    };
    if !announced(b'D', path, meta, wanted, peer)? {
        return Ok(());
    }
    for entry in entries {
        match entry {
            Ok(entry) => send(&entry.path(), wanted, peer)?,
            Err(error) => peer.complain(path, &error)?,
        }
    }
    peer.send(b"E\n")?;
    peer.agrees().map(|_| ())
}

/// Its times where they are wanted, and its record; does the client take it?
fn announced<R: Read, W: Write>(
    kind: u8,
    path: &Path,
    meta: &Metadata,
    wanted: &Wanted,
    peer: &mut Peer<R, W>,
) -> io::Result<bool> {
    if wanted.preserve {
        let (modified, accessed) = (meta.mtime().max(0), meta.atime().max(0));
        peer.send(format!("T{modified} 0 {accessed} 0\n").as_bytes())?;
        if !peer.agrees()? {
            return Ok(false);
        }
    }
    let size = if kind == b'C' { meta.len() } else { 0 };
    let mut record = vec![kind];
    record.extend(format!("{:04o} {size} ", meta.mode() & RIGHTS).into_bytes());
    record.extend(name(path));
    record.push(b'\n');
    peer.send(&record)?;
    peer.agrees()
}

/// The last part; of `.` and `..`, the folder's own. The end of a line is told as vis(3) does.
fn name(path: &Path) -> Vec<u8> {
    let own = path.file_name().map(ToOwned::to_owned).or_else(|| {
        let real = path.canonicalize().ok()?;
        real.file_name().map(ToOwned::to_owned)
    });
    let own = own.unwrap_or_else(|| ".".into());
    let told = own.as_bytes().iter().map(|byte| match byte {
        b'\n' => &b"\\^J"[..],
        byte => std::slice::from_ref(byte),
    });
    told.collect::<Vec<_>>().concat()
}

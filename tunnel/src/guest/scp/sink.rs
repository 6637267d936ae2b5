//! The end that writes files.

use std::ffi::OsStr;
use std::fs::{File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::Wanted;
use super::peer::{PIECE, Peer};
use super::record::{Record, parse};

/// The owner may write a file, and do all with a folder, until it is whole.
const WRITE: u32 = 0o200;
const ALL: u32 = 0o700;

/// A folder that is being filled.
struct Open {
    path: PathBuf,
    /// What it gets at its end.
    mode: Option<u32>,
    times: Option<FileTimes>,
}

/// One transfer.
struct Sink<'a> {
    wanted: &'a Wanted,
    mask: u32,
    folders: Vec<Open>,
    /// Of what comes next.
    times: Option<FileTimes>,
}

/// `mask`: umask(2).
pub(super) fn serve<R: Read, W: Write>(
    wanted: &Wanted,
    mask: u32,
    peer: &mut Peer<R, W>,
) -> io::Result<()> {
    let mut sink = Sink {
        wanted,
        mask,
        folders: Vec::new(),
        times: None,
    };
    let target = &wanted.paths[0];
    if wanted.into_folder && !target.is_dir() {
        return peer.complain(target, &io::ErrorKind::NotADirectory.into());
    }
    peer.ok()?;
    while let Some(line) = peer.line()? {
        let Some(record) = parse(&line) else {
            return Err(peer.refuse("that is no record of scp"));
        };
        sink.take(record, peer)?;
    }
    if sink.folders.is_empty() {
        return Ok(());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

impl Sink<'_> {
    fn take<R: Read, W: Write>(
        &mut self,
        record: Record<'_>,
        peer: &mut Peer<R, W>,
    ) -> io::Result<()> {
        match record {
            Record::Times { modified, accessed } => {
                let at = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
                if let (Some(modified), Some(accessed)) = (at(modified), at(accessed)) {
                    let times = FileTimes::new().set_modified(modified);
                    self.times = Some(times.set_accessed(accessed));
                }
                peer.ok()
            }
            Record::File { mode, size, name } => {
                let (path, times) = (self.place(name), self.times.take());
                match self.open(&path, mode) {
                    Ok(opened) => fill(opened, &path, size, times, peer),
                    Err(error) => peer.complain(&path, &error),
                }
            }
            Record::Folder { .. } if !self.wanted.recursive => {
                Err(peer.refuse("a folder, and nobody said -r"))
            }
            Record::Folder { mode, name } => {
                let (path, times) = (self.place(name), self.times.take());
                match self.enter(path.clone(), mode, times) {
                    Ok(()) => peer.ok(),
                    Err(error) => peer.complain(&path, &error),
                }
            }
            Record::End => match self.folders.pop() {
                Some(folder) => match leave(&folder) {
                    Ok(()) => peer.ok(),
                    Err(error) => peer.complain(&folder.path, &error),
                },
                None => Err(peer.refuse("the end of a folder that never began")),
            },
            Record::Complaint { last } => {
                peer.errors += 1;
                if last {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                Ok(())
            }
        }
    }

    /// In the folder that is open; else in the target, or as the target.
    fn place(&self, name: &[u8]) -> PathBuf {
        let target = &self.wanted.paths[0];
        let name = OsStr::from_bytes(name);
        match self.folders.last() {
            Some(folder) => folder.path.join(name),
            None if target.is_dir() => target.join(name),
            None => target.clone(),
        }
    }

    /// Of the sender's mode.
    fn allowed(&self, mode: u32) -> u32 {
        if self.wanted.preserve {
            mode
        } else {
            mode & !self.mask
        }
    }

    /// The file, and the mode that it gets at its end.
    fn open(&self, path: &Path, mode: u32) -> io::Result<(File, Option<u32>)> {
        let there = path.exists();
        let mode = self.allowed(mode);
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode | WRITE)
            .open(path)?;
        let changed = self.wanted.preserve || (!there && mode & WRITE == 0);
        Ok((file, changed.then_some(mode)))
    }

    fn enter(&mut self, path: PathBuf, mode: u32, times: Option<FileTimes>) -> io::Result<()> {
        let mode = self.allowed(mode);
        let there = path.is_dir();
        if !there {
            std::fs::DirBuilder::new().mode(mode | ALL).create(&path)?;
        }
        let changed = self.wanted.preserve || (!there && mode & ALL != ALL);
        self.folders.push(Open {
            path,
            mode: changed.then_some(mode),
            times,
        });
        Ok(())
    }
}

fn leave(folder: &Open) -> io::Result<()> {
    if let Some(times) = folder.times {
        File::open(&folder.path)?.set_times(times)?;
    }
    match folder.mode {
        Some(mode) => std::fs::set_permissions(&folder.path, Permissions::from_mode(mode)),
        None => Ok(()),
    }
}

/// The bytes of one file. What cannot be written is read to its end all the same, or nothing after it would
/// be understood.
fn fill<R: Read, W: Write>(
    (mut file, mode): (File, Option<u32>),
    path: &Path,
    size: u64,
    times: Option<FileTimes>,
    peer: &mut Peer<R, W>,
) -> io::Result<()> {
    peer.ok()?;
    let mut buffer = vec![0; PIECE];
    let (mut left, mut written) = (size, Ok(()));
    while left > 0 {
        let count = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
        peer.read(&mut buffer[..count])?;
        if written.is_ok() {
            written = file.write_all(&buffer[..count]);
        }
        left -= count as u64;
    }
    let finished = written.and_then(|()| {
        if file.metadata()?.is_file() {
            file.set_len(size)?;
        }
        match mode {
            Some(mode) => file.set_permissions(Permissions::from_mode(mode)),
            None => Ok(()),
        }
    });
    let whole = peer.agrees()?;
    let finished = finished.and_then(|()| match times {
        Some(times) if whole => file.set_times(times),
        _ => Ok(()),
    });
    match finished {
        Ok(()) => peer.ok(),
        Err(error) => peer.complain(path, &error),
    }
}

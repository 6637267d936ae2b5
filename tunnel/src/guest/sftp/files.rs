//! Open files and folders of one client.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, ReadDir};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Handles of one client; more are refused.
pub(super) const MOST: usize = 1024;

const READ: u32 = 1;
const WRITE: u32 = 2;
const APPEND: u32 = 4;
const CREATE: u32 = 8;
const TRUNCATE: u32 = 16;
const EXCLUSIVE: u32 = 32;

pub(super) enum Handle {
    File(File),
    Folder {
        path: PathBuf,
        rest: ReadDir,
        dots: bool,
    },
}

#[derive(Default)]
pub(super) struct Handles {
    open: HashMap<u32, Handle>,
    next: u32,
}

impl Handles {
    pub(super) fn add(&mut self, handle: Handle) -> io::Result<[u8; 4]> {
        if self.open.len() >= MOST {
            return Err(io::Error::other("too many files are open"));
        }
        let name = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(name, handle);
        Ok(name.to_be_bytes())
    }

    pub(super) fn get(&mut self, name: &[u8]) -> io::Result<&mut Handle> {
        let found = number(name).and_then(|number| self.open.get_mut(&number));
        found.ok_or_else(|| io::Error::other("no such handle"))
    }

    pub(super) fn file(&mut self, name: &[u8]) -> io::Result<&File> {
        match self.get(name)? {
            Handle::File(file) => Ok(file),
            Handle::Folder { .. } => Err(io::Error::other("that handle is a folder's")),
        }
    }

    pub(super) fn close(&mut self, name: &[u8]) -> io::Result<()> {
        let found = number(name).and_then(|number| self.open.remove(&number));
        found
            .map(drop)
            .ok_or_else(|| io::Error::other("no such handle"))
    }
}

fn number(name: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(name.try_into().ok()?))
}

pub(super) fn open(path: &Path, flags: u32, mode: Option<u32>) -> io::Result<File> {
    let has = |flag| flags & flag != 0;
    let mut options = OpenOptions::new();
    options
        .read(has(READ) || !has(WRITE))
        .write(has(WRITE))
        .mode(mode.unwrap_or(0o666));
    // As sftp-server(8): append is for the kernel, so that writers at its end do not meet.
    if has(APPEND) {
        options.append(true);
    }
    if has(CREATE) {
        if has(EXCLUSIVE) {
            options.create_new(true);
        } else {
            options.create(true);
        }
    }
    if has(TRUNCATE) && has(WRITE) && !has(APPEND) {
        options.truncate(true);
    }
    let file = options.open(path)?;
    if has(TRUNCATE) && has(APPEND) {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Without replacing anything, as version 3 wants it.
pub(super) fn rename(old: &Path, new: &Path) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(old)?;
    if meta.is_file() {
        match std::fs::hard_link(old, new) {
            Ok(()) => return std::fs::remove_file(old),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // A file system without links.
            Err(_) => {}
        }
    }
    match std::fs::symlink_metadata(new) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => std::fs::rename(old, new),
    }
}

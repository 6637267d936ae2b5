//! Where the database lies: a disk that keeps what it is told to keep, and a file that stays the one we opened.

use std::fs::OpenOptions;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nix::sys::statfs::{FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};
use rusqlite::{Connection, ErrorCode};

use super::schema::Newer;

/// A database up to so many bytes is looked through at each start; a larger one afterwards, while it serves.
const SMALL: u64 = 64 << 20;

/// SQLite's locks and its shared memory need a disk of this machine (sqlite.org/wal.html): NFS, SMB in its three
/// numbers, and 9p are not (linux/magic.h).
const REMOTE: [FsType; 5] = [
    NFS_SUPER_MAGIC,
    SMB_SUPER_MAGIC,
    FsType(0xff53_4d42),
    FsType(0xfe53_4d42),
    FsType(0x0102_1997),
];

/// The copy that a restore makes ready, and how the names of what it replaced begin.
pub(super) const RESTORING: &str = "river.part";
pub(super) const REPLACED: &str = "replaced-";

pub(super) fn database(dir: &Path) -> PathBuf {
    dir.join("river.db")
}

/// Before anything is opened.
///
/// # Errors
/// When the folder cannot be written, or is not of this machine.
pub(super) fn check(dir: &Path) -> anyhow::Result<()> {
    let kind = statfs(dir)
        .with_context(|| format!("cannot look at {}", dir.display()))?
        .filesystem_type();
    if REMOTE.contains(&kind) {
        bail!(
            "{} lies on a network's disk: give a state_dir on a disk of this machine",
            dir.display()
        );
    }
    let probe = dir.join(".writable");
    let made = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&probe);
    match made {
        Ok(_) => {
            let _ = std::fs::remove_file(probe);
            Ok(())
        }
        // The store itself says more of a full disk.
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => Ok(()),
        Err(error) => Err(error).with_context(|| {
            format!(
                "{} cannot be written: mount it writable, or give its owner the right to",
                dir.display()
            )
        }),
    }
}

/// A restore that was cut off between the old database and the copy left neither: an empty one in their place would
/// look like a new cluster.
///
/// # Errors
/// When the database is missing, and what a restore keeps or makes is there.
pub(super) fn complete(dir: &Path) -> anyhow::Result<()> {
    let cut_off = |name: &str| {
        name == RESTORING || (name.starts_with(REPLACED) && name.ends_with("river.db"))
    };
    if database(dir).exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str().filter(|name| cut_off(name)) {
            bail!(
                "{} has {name}, and no river.db: a restore was cut off; run `river-gateway restore FILE` again",
                dir.display()
            );
        }
    }
    Ok(())
}

/// The file that was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    identity: (u64, u64),
}

impl Place {
    /// # Errors
    /// When it is not there.
    pub(super) fn of(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path)?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// SQLite would go on writing to a file that has no name any more, and all of it would be lost.
    ///
    /// # Errors
    /// When another file is there now, or none.
    pub(super) fn unchanged(&self) -> anyhow::Result<()> {
        match identity(&self.path) {
            Ok(identity) if identity == self.identity => Ok(()),
            Ok(_) | Err(_) => bail!(
                "{} was replaced while it was in use: stop the gateway first, then `river-gateway restore FILE`",
                self.path.display()
            ),
        }
    }
}

fn identity(path: &Path) -> anyhow::Result<(u64, u64)> {
    let meta =
        std::fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok((meta.dev(), meta.ino()))
}

/// Looks a small database through.
///
/// # Errors
/// What is wrong with it.
pub(super) fn quick_check(db: &Connection, path: &Path) -> anyhow::Result<()> {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if size > SMALL {
        return Ok(());
    }
    sound(db, path)
}

/// # Errors
/// What is wrong with it.
pub(super) fn sound(db: &Connection, path: &Path) -> anyhow::Result<()> {
    let check: String = db
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| explain(error.into(), path))?;
    if check != "ok" {
        bail!("{}: {check}", damaged(path));
    }
    Ok(())
}

/// For [`SMALL`]'s sake: a large database that is damaged must not serve for long.
///
/// # Errors
/// What is wrong with it, or that it cannot be read.
pub fn look_through(dir: &Path) -> anyhow::Result<()> {
    let path = database(dir);
    if std::fs::metadata(&path).map_or(0, |meta| meta.len()) <= SMALL {
        return Ok(());
    }
    let flags =
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    sound(&Connection::open_with_flags(&path, flags)?, &path)
}

/// The failure of a store in a sentence that says what to do.
pub(super) fn explain(error: anyhow::Error, path: &Path) -> anyhow::Error {
    if error.is::<Newer>() {
        return error;
    }
    let database = error.downcast_ref::<rusqlite::Error>();
    let code = if database.is_some_and(is_full) {
        Some(ErrorCode::DiskFull)
    } else {
        database.and_then(rusqlite::Error::sqlite_error_code)
    };
    let sentence = match code {
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => format!(
            "{} cannot be written: mount its disk writable, or give its owner the right to",
            path.display()
        ),
        Some(ErrorCode::DiskFull) => {
            format!(
                "the disk of {} is full: make room, and start again",
                path.display()
            )
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => format!(
            "{} is in use by another program: end it, and start again",
            path.display()
        ),
        Some(ErrorCode::SystemIoFailure) => format!(
            "the disk of {} fails: look at the kernel's log; `river-gateway restore FILE` puts a copy back",
            path.display()
        ),
        Some(_) | None => damaged(path),
    };
    error.context(sentence)
}

/// Nothing was written for want of room: in the database, its log, or the log's index.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let index = error
        .sqlite_error()
        .is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE);
    index || error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

pub(super) fn damaged(path: &Path) -> String {
    format!(
        "{} is damaged: `river-gateway restore FILE` puts a copy back, and keeps this file",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn want_of_room_is_told_from_a_disk_that_fails() {
        let told = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            format!("{:#}", explain(error.into(), Path::new("/x/river.db")))
        };
        for full in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            assert!(told(full).contains("is full: make room"), "{}", told(full));
        }
        for broken in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_WRITE] {
            assert!(told(broken).contains("fails: look"), "{}", told(broken));
        }
    }
}

//! Accounts, keys, invitations and joined nodes once more, beside the database: a copy that is put back must not
//! bring back a key that was removed since, nor forget a node that joined.
//!
//! One line of JSON for each turn that changed any of them, on the disk before its commit: one that was not committed
//! after all is known by where in the audit log it follows. They are few: people and machines, not tasks.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{audit, rows};
use crate::state::Record;

const NAME: &str = "directory.log";

/// Bytes of the disk that are taken in advance, so that what was committed can always be noted.
const RESERVE: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct DirectoryLog {
    file: File,
    length: u64,
    /// Bytes of the last line that was written.
    last: u64,
    reserved: u64,
}

/// One turn.
#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    /// The audit log's newest row before it, as [`audit::Head::text`]: of two lives after the same copy, the rows bear
    /// the same numbers and other hashes. Lines of before 2026-11-25 have none.
    #[serde(default)]
    follows: Option<String>,
    /// Number of the audit log's newest row after it.
    audit: i64,
    records: Vec<Record>,
}

/// A line: the turn as text, and its sum.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    turn: String,
    sum: i64,
}

impl DirectoryLog {
    /// Of a database whose audit log ends so: a last line that was never committed goes.
    ///
    /// # Errors
    /// When the file cannot be opened or made.
    pub(super) fn open(dir: &Path, head: &audit::Head) -> anyhow::Result<Self> {
        let path = dir.join(NAME);
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| Ok((whole(&file, head)?, file)));
        let (length, file) = opened.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            file,
            length,
            last: 0,
            reserved: length,
        })
    }

    /// Notes what of a turn belongs here, before the turn is committed; on the disk when this returns. It follows this
    /// row of the audit log, and adds so many.
    ///
    /// # Errors
    /// When the disk is full: nothing was written. Or when it fails.
    pub(super) fn append(
        &mut self,
        head: &audit::Head,
        rows: usize,
        records: &[Record],
    ) -> anyhow::Result<()> {
        self.last = 0;
        let joins = records
            .iter()
            .any(|record| matches!(record, Record::JoinTokenRemoved { .. }));
        let kept = records.iter().filter(|record| belongs(record, joins));
        let records: Vec<Record> = kept.cloned().collect();
        if records.is_empty() {
            return Ok(());
        }
        let turn = serde_json::to_string(&Turn {
            follows: Some(head.text()),
            audit: head.number + i64::try_from(rows)?,
            records,
        })?;
        let sum = rows::sum(&turn);
        let mut line = serde_json::to_vec(&Line { turn, sum })?;
        line.push(b'\n');
        let wanted = self.length + line.len() as u64;
        if wanted > self.reserved {
            let more = (wanted - self.reserved).max(RESERVE);
            self.reserve(more)?;
        }
        let written = self.file.write_all(&line);
        self.last = line.len() as u64;
        self.length += self.last;
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            // The next line must not be glued to a part of this one.
            self.take_back()?;
            return Err(error).context("cannot write the directory's log");
        }
        Ok(())
    }

    /// The turn of the last line was refused.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn take_back(&mut self) -> anyhow::Result<()> {
        if self.last == 0 {
            return Ok(());
        }
        self.length -= std::mem::take(&mut self.last);
        self.file
            .set_len(self.length)
            .and_then(|()| self.file.sync_data())
            .context("cannot write the directory's log")?;
        // What was taken of the disk beyond the end went with it.
        self.reserved = self.length;
        Ok(())
    }

    fn reserve(&mut self, more: u64) -> anyhow::Result<()> {
        let (from, length) = (i64::try_from(self.reserved)?, i64::try_from(more)?);
        let flags = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        match fallocate(&self.file, flags, from, length) {
            Ok(()) => self.reserved += more,
            // A disk that takes nothing in advance.
            Err(Errno::EOPNOTSUPP) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        Ok(())
    }
}

/// A last line that was cut, or whose turn this database has not seen, was told to nobody. The length that is left.
fn whole(mut file: &File, head: &audit::Head) -> std::io::Result<u64> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let begin_of_line = |bytes: &[u8]| {
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        end.map_or(0, |end| end + 1)
    };
    let mut kept = begin_of_line(&bytes);
    let last = begin_of_line(&bytes[..kept.saturating_sub(1)]);
    if read(&bytes[last..kept]).is_ok_and(|turn| turn.is_next(head)) {
        kept = last;
    }
    if kept < bytes.len() {
        file.set_len(kept as u64)?;
        file.sync_all()?;
    }
    Ok(kept as u64)
}

impl Turn {
    /// It adds rows to an audit log that ends so.
    fn is_next(&self, head: &audit::Head) -> bool {
        self.audit > head.number && self.follows.as_ref() == Some(&head.text())
    }

    /// A database whose audit log ends so has seen it.
    fn is_in(&self, db: &Connection, head: &audit::Head) -> anyhow::Result<bool> {
        // Turns that add no row share a number: the last ones may be missing.
        if self.audit >= head.number {
            return Ok(false);
        }
        let Some(follows) = &self.follows else {
            return Ok(true);
        };
        let number = follows.split_once(' ').map(|(number, _)| number.parse());
        let Some(Ok(number)) = number else {
            anyhow::bail!("what it follows is no row");
        };
        // Before the first row, and before the chain, there is nothing to compare.
        let row = audit::row(db, number)?;
        Ok(row.is_none_or(|row| row.text() == *follows))
    }
}

/// A node's record changes with every connection; only its joining counts.
fn belongs(record: &Record, joins: bool) -> bool {
    match record {
        Record::Account(_)
        | Record::Key(_)
        | Record::KeyRemoved { .. }
        | Record::Invitation(_)
        | Record::InvitationRemoved { .. }
        | Record::JoinToken(_)
        | Record::JoinTokenRemoved { .. }
        | Record::NodeRemoved(_) => true,
        Record::Node(_) => joins,
        Record::Task(_) | Record::Counters(_) => false,
    }
}

/// What changed since a copy whose audit log ends so: all from the first turn that it has not seen and after which it
/// saw no other, in order. Done twice is done once. A last line that is cut was never told to anybody.
///
/// # Errors
/// When the file or the copy cannot be read, or a line before the last is damaged.
pub(super) fn since(
    dir: &Path,
    copy: &Connection,
    head: &audit::Head,
) -> anyhow::Result<Vec<Record>> {
    let path = dir.join(NAME);
    let mut records = Vec::new();
    for turn in turns(&path)? {
        if turn.is_in(copy, head)? {
            // An earlier one that is not was done again by the restore that the copy's life began with.
            records.clear();
        } else {
            records.extend(turn.records);
        }
    }
    Ok(records)
}

/// Is every line whole, but for a last one that was cut?
///
/// # Errors
/// The first one that is not.
pub(super) fn verify(dir: &Path) -> anyhow::Result<()> {
    turns(&dir.join(NAME)).map(drop)
}

fn turns(path: &Path) -> anyhow::Result<Vec<Turn>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut turns = Vec::new();
    // What comes after the last end of a line was cut.
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let whole = lines.filter(|line| line.ends_with(b"\n"));
    for (number, line) in (1..).zip(whole) {
        let turn = read(line).with_context(|| {
            format!(
                "line {number} of {} is damaged: moved away, accounts, keys and nodes are as in the copy that is put back",
                path.display()
            )
        });
        turns.push(turn?);
    }
    Ok(turns)
}

fn read(text: &[u8]) -> anyhow::Result<Turn> {
    let line: Line = serde_json::from_slice(text)?;
    anyhow::ensure!(rows::sum(&line.turn) == line.sum, "its sum is wrong");
    Ok(serde_json::from_str(&line.turn)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_does_not_spoil_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let gone = |name: &str| Record::NodeRemoved(name.parse().unwrap());
        let head = |number| audit::Head {
            number,
            ..audit::Head::default()
        };
        let note = |name: &str, number| {
            let mut log = DirectoryLog::open(dir.path(), &head(number)).unwrap();
            log.append(&head(number - 1), 1, &[gone(name)]).unwrap();
            log.length
        };
        let first = note("n1", 1);
        let path = dir.path().join(NAME);
        note("n2", 2);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(first + 9).unwrap();
        note("n3", 3);
        let db = Connection::open_in_memory().unwrap();
        let names = since(dir.path(), &db, &head(0)).unwrap();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}

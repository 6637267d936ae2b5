//! Accounts, keys, invitations and joined nodes once more, beside the database: a copy that is put back must not
//! bring back a key that was removed since, nor forget a node that joined.
//!
//! One line of JSON for each turn that changed any of them, written after its commit and before anybody is told.
//! They are few: people and machines, not tasks.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use super::rows;
use crate::state::Record;

const NAME: &str = "directory.log";

/// Bytes of the disk that are taken in advance, so that what was committed can always be noted.
const RESERVE: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct DirectoryLog {
    file: File,
    length: u64,
    reserved: u64,
}

/// One turn.
#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    /// Newest row of the audit log after it.
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
    /// # Errors
    /// When the file cannot be opened or made.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(NAME);
        let opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| Ok((whole(&file)?, file)));
        let (length, file) = opened.with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            file,
            length,
            reserved: length,
        })
    }

    /// What of a turn belongs here, with room for it on the disk; before the turn is committed.
    ///
    /// # Errors
    /// When the disk is full.
    pub(super) fn prepare(&mut self, audit: i64, records: &[Record]) -> anyhow::Result<Vec<u8>> {
        let joins = records
            .iter()
            .any(|record| matches!(record, Record::JoinTokenRemoved { .. }));
        let kept = records.iter().filter(|record| belongs(record, joins));
        let records: Vec<Record> = kept.cloned().collect();
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let turn = serde_json::to_string(&Turn { audit, records })?;
        let sum = rows::sum(&turn);
        let mut line = serde_json::to_vec(&Line { turn, sum })?;
        line.push(b'\n');
        let wanted = self.length + line.len() as u64;
        if wanted > self.reserved {
            let more = (wanted - self.reserved).max(RESERVE);
            self.reserve(more)?;
        }
        Ok(line)
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

    /// What was prepared is on the disk when this returns.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn append(&mut self, line: &[u8]) -> anyhow::Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        self.file
            .write_all(line)
            .and_then(|()| self.file.sync_data())
            .context("cannot write the directory's log")?;
        self.length += line.len() as u64;
        Ok(())
    }
}

/// A last line that was cut was told to nobody; the next one must not be glued to it. The length that is left.
fn whole(mut file: &File) -> std::io::Result<u64> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    let kept = end.map_or(0, |end| end + 1);
    if kept < bytes.len() {
        file.set_len(kept as u64)?;
        file.sync_all()?;
    }
    Ok(kept as u64)
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

/// What changed since a database whose audit log ends with this row, in order. Done twice is done once. A last line
/// that is cut was never told to anybody.
///
/// # Errors
/// When the file cannot be read, or a line before the last is damaged.
pub(super) fn since(dir: &Path, audit: i64) -> anyhow::Result<Vec<Record>> {
    let path = dir.join(NAME);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let lines: Vec<String> = BufReader::new(file).lines().collect::<Result<_, _>>()?;
    let mut records = Vec::new();
    for (number, text) in (1..).zip(&lines) {
        let turn = match read(text) {
            Ok(turn) => turn,
            Err(_) if number == lines.len() => break,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{}: line {number} is damaged", path.display()));
            }
        };
        if turn.audit >= audit {
            records.extend(turn.records);
        }
    }
    Ok(records)
}

fn read(text: &str) -> anyhow::Result<Turn> {
    let line: Line = serde_json::from_str(text)?;
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
        let note = |name: &str, audit| {
            let mut log = DirectoryLog::open(dir.path()).unwrap();
            let line = log.prepare(audit, &[gone(name)]).unwrap();
            log.append(&line).unwrap();
            line.len() as u64
        };
        let first = note("n1", 1);
        let path = dir.path().join(NAME);
        note("n2", 2);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(first + 9).unwrap();
        note("n3", 3);
        let names = since(dir.path(), 0).unwrap();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}

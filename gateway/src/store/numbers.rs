//! The highest numbers ever given, beside the database: a database that was put back from a copy knows less, and
//! a number that somebody was told must not be given twice.
//!
//! Written after each commit, before anybody is told. Not forced to the disk: it outlives the process, which is
//! what a copy is put back after. A power failure may leave it some seconds behind, hence [`MARGIN`].

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;

use crate::state::Counters;

/// Numbers left out where the database has gone back: more than could be given in the seconds that a power failure
/// takes away.
const MARGIN: u64 = 100_000;
/// Left out where nothing at all is known of what came after the copy.
const UNKNOWN: u64 = 1_000_000;
const NAME: &str = "numbers";
const LENGTH: usize = 24;

#[derive(Debug)]
pub(super) struct Numbers {
    file: File,
    kept: Counters,
}

impl Numbers {
    /// # Errors
    /// When the file cannot be opened or made.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(NAME);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let mut bytes = [0; LENGTH];
        // A file that was just made is short: nothing was given yet.
        let kept = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(&bytes),
            Err(_) => Counters::default(),
        };
        // The room is there before it is needed.
        file.write_all_at(&encode(kept), 0)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file, kept })
    }

    /// What this life may begin with, by what the database says: its own numbers, unless they went back. `true`:
    /// they did.
    pub(super) fn begin(&self, stored: Counters) -> (Counters, bool) {
        let kept = &self.kept;
        let back =
            stored.task < kept.task || stored.epoch < kept.epoch || stored.serial < kept.serial;
        if !back {
            return (stored, false);
        }
        let beyond = |stored: u64, kept: u64| stored.max(kept) + MARGIN;
        let counters = Counters {
            task: beyond(stored.task, kept.task),
            epoch: stored.epoch.max(kept.epoch),
            serial: beyond(stored.serial, kept.serial),
            restored: stored.restored,
            restored_task: stored.restored_task,
        };
        (counters, true)
    }

    /// # Errors
    /// When the disk fails.
    pub(super) fn keep(&mut self, counters: Counters) -> anyhow::Result<()> {
        if counters != self.kept {
            self.file
                .write_all_at(&encode(counters), 0)
                .context("cannot write the highest numbers")?;
            self.kept = counters;
        }
        Ok(())
    }

    /// A copy is put back: where no database was, what was given after it is known to nobody; else a power failure
    /// may have left this file as it was when the copy was made.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn leave_room(&mut self, stored: Counters) -> anyhow::Result<()> {
        let kept = &self.kept;
        let room = if *kept == Counters::default() {
            UNKNOWN
        } else {
            MARGIN
        };
        self.keep(Counters {
            task: stored.task.max(kept.task) + room,
            epoch: stored.epoch.max(kept.epoch) + 1,
            serial: stored.serial.max(kept.serial) + room,
            restored: stored.restored,
            restored_task: stored.restored_task,
        })?;
        self.file
            .sync_all()
            .context("cannot write the highest numbers")
    }
}

fn encode(counters: Counters) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..8].copy_from_slice(&counters.task.to_be_bytes());
    bytes[8..16].copy_from_slice(&counters.epoch.to_be_bytes());
    bytes[16..].copy_from_slice(&counters.serial.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; LENGTH]) -> Counters {
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&bytes[at..at + 8]);
        u64::from_be_bytes(eight)
    };
    Counters {
        task: number(0),
        epoch: number(8),
        serial: number(16),
        // The database alone knows it.
        restored: 0,
        restored_task: 0,
    }
}

//! The connection, and one transaction a turn.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Context;
use cluster::{Node, Task};
use keys::Directory;
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use serde::de::DeserializeOwned;

use super::directory_log::DirectoryLog;
use super::lock::Lock;
use super::numbers::Numbers;
use super::place::Place;
use super::{audit, place, rows, schema};
use crate::state::{AuditEntry, Counters, Record};

/// Bytes that the write-ahead log may keep of the disk between two checkpoints.
const LARGEST_LOG: i64 = 16 << 20;
/// Pages of that log after which it is taken into the database.
const CHECKPOINT: i32 = 1000;
/// Pages given back to the disk at a time, after rows were retired.
const GIVEN_BACK: u32 = 256;

/// The only writer of the store.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    place: Place,
    numbers: Numbers,
    directory_log: DirectoryLog,
    audit: audit::Head,
    /// Pages in the write-ahead log.
    log: Arc<AtomicI32>,
    _lock: Lock,
}

/// Everything that the gateway keeps in memory.
#[derive(Debug)]
pub struct Loaded {
    /// The epoch is already this life's, and committed.
    pub counters: Counters,
    pub directory: Directory,
    pub nodes: Vec<Arc<Node>>,
    /// All that are not over and done, and the latest that are.
    pub tasks: Vec<Arc<Task>>,
    /// The database knows less than was told: it was put back from a copy. Numbers jump past what was given.
    pub went_back: bool,
}

/// Why a turn is not durable. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The disk is full: the turn is refused, the gateway goes on.
    #[error("the disk of the gateway's store is full")]
    Full,
    /// Anything else: nobody knows what the disk holds, so the gateway must stop.
    #[error("the store failed: {0:#}")]
    Broken(anyhow::Error),
}

impl Store {
    /// Opens or makes the store in `dir`, and begins a new life of the gateway.
    ///
    /// # Errors
    /// When another gateway holds it, it is damaged, cannot be written, lies on a network's disk, or a newer river
    /// wrote it: each by name, with the remedy.
    pub fn open(dir: &Path, keep_ended: usize) -> anyhow::Result<(Self, Loaded)> {
        place::check(dir)?;
        let lock = Lock::take(dir)?;
        place::complete(dir)?;
        let path = place::database(dir);
        let mut db =
            Connection::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let opened = |error: rusqlite::Error| place::explain(error.into(), &path);
        db.pragma_update(None, "foreign_keys", true)
            .map_err(opened)?;
        // Before the log is chosen: an empty database still can choose how it gives room back.
        schema::version(&db).map_err(|error| place::explain(error, &path))?;
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(opened)?;
        db.pragma_update(None, "journal_mode", "WAL")
            .map_err(opened)?;
        db.pragma_update(None, "synchronous", "FULL")
            .map_err(opened)?;
        db.pragma_update(None, "journal_size_limit", LARGEST_LOG)
            .map_err(opened)?;
        // Nowhere but in the state folder may it write.
        db.pragma_update(None, "temp_store", "MEMORY")
            .map_err(opened)?;
        let log = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&log);
        let count = move |_: &mut Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        };
        db.wal_hook(Some(count)).map_err(opened)?;
        place::quick_check(&db, &path)?;
        schema::migrate(&mut db, dir).map_err(|error| place::explain(error, &path))?;
        let audit = audit::head(&db).map_err(|error| place::explain(error, &path))?;
        let mut store = Self {
            place: Place::of(&path)?,
            numbers: Numbers::open(dir)?,
            directory_log: DirectoryLog::open(dir, &audit)?,
            audit,
            log,
            db,
            _lock: lock,
        };
        let loaded = store.load(keep_ended);
        let mut loaded = loaded.map_err(|error| place::explain(error, &path))?;
        loaded.counters.epoch += 1;
        store
            .commit(&[Record::Counters(loaded.counters)], &[])
            .map_err(|error| match error {
                CommitError::Full => anyhow::anyhow!(
                    "the disk of {} is full: make room, and start again",
                    dir.display()
                ),
                CommitError::Broken(error) => place::explain(error, &path),
            })?;
        Ok((store, loaded))
    }

    /// One transaction, on the disk when this returns. Blocks: not for an async thread.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was written.
    pub fn commit(&mut self, records: &[Record], audit: &[AuditEntry]) -> Result<(), CommitError> {
        if let Err(error) = self.place.unchanged() {
            return Err(CommitError::Broken(error));
        }
        let path = self.place.path().to_owned();
        let failure = |error| failure(error, &path);
        self.directory_log
            .append(&self.audit, audit.len(), records)
            .map_err(failure)?;
        match self.write(records, audit) {
            Ok(head) => self.audit = head,
            Err(error) => {
                let error = failure(error);
                // Of one that broke nobody knows whether it is on the disk: the next start sees.
                if matches!(error, CommitError::Full) {
                    self.directory_log.take_back().map_err(failure)?;
                }
                return Err(error);
            }
        }
        self.keep_numbers(records).map_err(CommitError::Broken)
    }

    fn write(&mut self, records: &[Record], audit: &[AuditEntry]) -> anyhow::Result<audit::Head> {
        let turn = self.db.transaction()?;
        for record in records {
            rows::write(&turn, record)?;
        }
        let mut head = self.audit.clone();
        for entry in audit {
            head = audit::append(&turn, &head, entry)?;
        }
        turn.commit()?;
        self.checkpoint()?;
        Ok(head)
    }

    /// Takes the log into the database, as SQLite would do by itself; but that tells nobody when it fails, and a disk
    /// that has lost a page once is not written to again.
    fn checkpoint(&self) -> anyhow::Result<()> {
        if self.log.load(Ordering::Relaxed) < CHECKPOINT {
            return Ok(());
        }
        let done = self
            .db
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        match done {
            // The log stays, and is taken in once there is room.
            Err(error) if place::is_full(&error) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Committed, and told to nobody yet.
    fn keep_numbers(&mut self, records: &[Record]) -> anyhow::Result<()> {
        for record in records {
            if let Record::Counters(counters) = record {
                self.numbers.keep(*counters)?;
            }
        }
        Ok(())
    }

    /// Removes so many ended tasks at most that ended before this, and gives some of their room back to the disk.
    /// Returns how many went. Their numbers are not given again.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn retire(&mut self, before: cluster::Timestamp, most: u32) -> Result<usize, CommitError> {
        let gone = self.remove_ended(before, most);
        gone.map_err(|error| failure(error, self.place.path()))
    }

    fn remove_ended(&mut self, before: cluster::Timestamp, most: u32) -> anyhow::Result<usize> {
        let gone = self.db.execute(
            "DELETE FROM tasks WHERE id IN (SELECT id FROM tasks WHERE live = 0 AND ended < ?1 LIMIT ?2)",
            rusqlite::params![i64::try_from(before.0)?, most],
        )?;
        if gone > 0 {
            // Each step gives one page back.
            let pragma = format!("PRAGMA incremental_vacuum({GIVEN_BACK})");
            let mut vacuum = self.db.prepare(&pragma)?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
            self.checkpoint()?;
        }
        Ok(gone)
    }

    /// `number hash` of the newest row of the audit log: noted elsewhere, it anchors the chain.
    #[must_use]
    pub fn audit_head(&self) -> String {
        self.audit.text()
    }

    fn load(&self, keep_ended: usize) -> anyhow::Result<Loaded> {
        let mut directory = Directory::default();
        self.documents("SELECT document, sum FROM accounts", |it| {
            directory.put_account(it)
        })?;
        self.documents("SELECT document, sum FROM keys", |it| directory.put_key(it))?;
        self.documents("SELECT document, sum FROM invitations", |it| {
            directory.put_invitation(it)
        })?;
        self.documents("SELECT document, sum FROM join_tokens", |it| {
            directory.put_join_token(it)
        })?;
        let mut nodes = Vec::new();
        self.documents("SELECT document, sum FROM nodes", |node: Node| {
            nodes.push(Arc::new(node))
        })?;
        let mut tasks: Vec<Arc<Task>> = Vec::new();
        self.documents(
            "SELECT document, sum FROM tasks WHERE live = 1 ORDER BY id",
            |task: Task| {
                tasks.push(Arc::new(task));
            },
        )?;
        let sql = format!(
            "SELECT document, sum FROM tasks WHERE live = 0 ORDER BY id DESC LIMIT {keep_ended}"
        );
        self.documents(&sql, |task: Task| tasks.push(Arc::new(task)))?;
        let mut counters = Counters::default();
        self.documents("SELECT document, sum FROM counters", |it: Counters| {
            counters = it
        })?;
        // A counter behind its rows would give a number twice.
        let highest: Option<i64> = self
            .db
            .query_row("SELECT max(id) FROM tasks", [], |row| row.get(0))?;
        counters.task = counters
            .task
            .max(u64::try_from(highest.unwrap_or_default())?);
        let (counters, went_back) = self.numbers.begin(counters);
        Ok(Loaded {
            counters,
            directory,
            nodes,
            tasks,
            went_back,
        })
    }

    fn documents<T: DeserializeOwned>(
        &self,
        sql: &str,
        mut take: impl FnMut(T),
    ) -> anyhow::Result<()> {
        let mut statement = self.db.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            take(rows::read(row).with_context(|| format!("a row of `{sql}`"))?);
        }
        Ok(())
    }
}

fn failure(error: anyhow::Error, path: &Path) -> CommitError {
    let file = error
        .downcast_ref::<std::io::Error>()
        .map(std::io::Error::kind);
    match error.downcast_ref::<rusqlite::Error>() {
        Some(error) if place::is_full(error) => CommitError::Full,
        Some(_) => CommitError::Broken(place::explain(error, path)),
        None if file == Some(std::io::ErrorKind::StorageFull)
            || file == Some(std::io::ErrorKind::QuotaExceeded) =>
        {
            CommitError::Full
        }
        None => CommitError::Broken(error),
    }
}

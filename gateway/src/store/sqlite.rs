//! The connection, and one transaction a turn.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use cluster::{Node, Task};
use keys::Directory;
use rusqlite::{Connection, ErrorCode};
use serde::de::DeserializeOwned;

use super::lock::Lock;
use super::{rows, schema};
use crate::state::{AuditEntry, Counters, Record};

/// The only writer of the store.
#[derive(Debug)]
pub struct Store {
    db: Connection,
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
    /// When another gateway holds it, it is damaged, or a newer river wrote it.
    pub fn open(dir: &Path, keep_ended: usize) -> anyhow::Result<(Self, Loaded)> {
        let lock = Lock::take(dir)?;
        let path = dir.join("river.db");
        let mut db =
            Connection::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let version = schema::version(&db).with_context(|| damaged(&path))?;
        schema::readable(version)?;
        db.pragma_update(None, "journal_mode", "WAL")
            .with_context(|| damaged(&path))?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "foreign_keys", true)?;
        // Nowhere but in the state folder may it write.
        db.pragma_update(None, "temp_store", "MEMORY")?;
        let check: String = db
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .with_context(|| damaged(&path))?;
        if check != "ok" {
            bail!("{}: {check}", damaged(&path));
        }
        schema::migrate(&mut db, dir)?;
        let mut store = Self { db, _lock: lock };
        let mut loaded = store.load(keep_ended).with_context(|| damaged(&path))?;
        loaded.counters.epoch += 1;
        store.commit(&[Record::Counters(loaded.counters)], &[])?;
        Ok((store, loaded))
    }

    /// One transaction, on the disk when this returns. Blocks: not for an async thread.
    ///
    /// # Errors
    /// [`CommitError`]; nothing was written.
    pub fn commit(&mut self, records: &[Record], audit: &[AuditEntry]) -> Result<(), CommitError> {
        self.write(records, audit).map_err(|error| {
            let full = error
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error_code);
            if full == Some(ErrorCode::DiskFull) {
                CommitError::Full
            } else {
                CommitError::Broken(error)
            }
        })
    }

    fn write(&mut self, records: &[Record], audit: &[AuditEntry]) -> anyhow::Result<()> {
        let turn = self.db.transaction()?;
        for record in records {
            rows::write(&turn, record)?;
        }
        for entry in audit {
            rows::audit(&turn, entry)?;
        }
        turn.commit()?;
        Ok(())
    }

    fn load(&self, keep_ended: usize) -> anyhow::Result<Loaded> {
        let mut directory = Directory::default();
        self.documents("SELECT document FROM accounts", |it| {
            directory.put_account(it)
        })?;
        self.documents("SELECT document FROM keys", |it| directory.put_key(it))?;
        self.documents("SELECT document FROM invitations", |it| {
            directory.put_invitation(it)
        })?;
        self.documents("SELECT document FROM join_tokens", |it| {
            directory.put_join_token(it)
        })?;
        let mut nodes = Vec::new();
        self.documents("SELECT document FROM nodes", |node: Node| {
            nodes.push(Arc::new(node))
        })?;
        let mut tasks: Vec<Arc<Task>> = Vec::new();
        self.documents(
            "SELECT document FROM tasks WHERE live = 1 ORDER BY id",
            |task: Task| {
                tasks.push(Arc::new(task));
            },
        )?;
        let sql = format!(
            "SELECT document FROM tasks WHERE live = 0 ORDER BY id DESC LIMIT {keep_ended}"
        );
        self.documents(&sql, |task: Task| tasks.push(Arc::new(task)))?;
        let mut counters = Counters::default();
        self.documents("SELECT document FROM counters", |it: Counters| {
            counters = it
        })?;
        // A counter behind its rows would give a number twice.
        let highest: Option<i64> = self
            .db
            .query_row("SELECT max(id) FROM tasks", [], |row| row.get(0))?;
        counters.task = counters
            .task
            .max(u64::try_from(highest.unwrap_or_default())?);
        Ok(Loaded {
            counters,
            directory,
            nodes,
            tasks,
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
            let document = row.get_ref(0)?.as_str()?;
            take(serde_json::from_str(document).with_context(|| format!("a row of `{sql}`"))?);
        }
        Ok(())
    }

    /// A whole copy of the store, while it is in use (SQLite's online backup).
    ///
    /// # Errors
    /// When the copy cannot be written.
    pub fn backup(dir: &Path, to: &Path) -> anyhow::Result<()> {
        let from = Connection::open_with_flags(
            dir.join("river.db"),
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
        )
        .context("cannot open the store")?;
        let mut copy =
            Connection::open(to).with_context(|| format!("cannot write {}", to.display()))?;
        let backup = rusqlite::backup::Backup::new(&from, &mut copy)?;
        backup.run_to_completion(1000, std::time::Duration::ZERO, None)?;
        Ok(())
    }
}

fn damaged(path: &Path) -> String {
    format!(
        "{} is damaged: put a backup in its place, and keep this file",
        path.display()
    )
}

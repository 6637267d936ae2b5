//! Ended tasks and the audit log, by indexed reads on a connection of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use cluster::{Task, TaskId, Timestamp};
use keys::UserName;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use shell::reply::AuditRow;

use crate::queries::{History, TaskFilter};

/// Reads only; may be used from any thread, one read at a time.
#[derive(Debug)]
pub struct HistoryReader {
    db: Mutex<Connection>,
}

impl HistoryReader {
    /// # Errors
    /// When the store is not there.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(dir.join("river.db"), flags)
            .context("cannot open the store")?;
        db.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(Self { db: Mutex::new(db) })
    }

    fn one(&self, sql: &str, key: &dyn rusqlite::ToSql) -> anyhow::Result<Option<Arc<Task>>> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let document: Option<String> = db
            .prepare_cached(sql)?
            .query_row([key], |row| row.get(0))
            .optional()?;
        document
            .map(|text| serde_json::from_str(&text).map(Arc::new))
            .transpose()
            .context("a task's row")
    }
}

impl History for HistoryReader {
    fn task(&self, id: TaskId) -> anyhow::Result<Option<Arc<Task>>> {
        let Ok(id) = i64::try_from(id.0) else {
            return Ok(None);
        };
        self.one("SELECT document FROM tasks WHERE id = ?1", &id)
    }

    fn tasks(&self, filter: &TaskFilter) -> anyhow::Result<Vec<Arc<Task>>> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = db.prepare_cached(
            "SELECT document FROM tasks WHERE (?1 IS NULL OR owner = ?1) AND (?2 IS NULL OR state = ?2)
             AND (?3 IS NULL OR node = ?3) AND (?4 IS NULL OR substr(name, 1, length(?4)) = ?4)
             AND (json_extract(document, '$.spec.vps') IS NOT NULL) = ?5
             ORDER BY id DESC LIMIT ?6",
        )?;
        let mut rows = statement.query(params![
            filter.owner.as_ref().map(UserName::as_str),
            filter.state.map(cluster::TaskState::name),
            filter.node.as_ref().map(keys::NodeName::as_str),
            filter.name,
            filter.vps,
            filter.limit
        ])?;
        let mut tasks = Vec::new();
        while let Some(row) = rows.next()? {
            tasks.push(Arc::new(serde_json::from_str(row.get_ref(0)?.as_str()?)?));
        }
        Ok(tasks)
    }

    fn by_name(&self, name: &str) -> anyhow::Result<Option<Arc<Task>>> {
        self.one(
            "SELECT document FROM tasks WHERE name = ?1 ORDER BY id DESC LIMIT 1",
            &name,
        )
    }

    fn audit(&self, account: Option<&UserName>, limit: u32) -> anyhow::Result<Vec<AuditRow>> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = db.prepare_cached(
            "SELECT at, account, action, object, verdict FROM audit WHERE (?1 IS NULL OR account = ?1)
             ORDER BY number DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![account.map(UserName::as_str), limit], |row| {
            Ok(AuditRow {
                at: Timestamp(u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default()),
                account: row.get(1)?,
                action: row.get(2)?,
                object: row.get(3)?,
                verdict: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

//! Ended tasks and the audit log, by indexed reads on a connection of its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use cluster::{Task, TaskId, TaskState, Timestamp};
use keys::UserName;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Params, params, params_from_iter};
use shell::reply::AuditRow;

use super::rows;
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

    fn one(&self, sql: &str, keys: impl Params) -> anyhow::Result<Option<Arc<Task>>> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = db.prepare_cached(sql)?;
        let mut found = statement.query(keys)?;
        found.next()?.map(rows::read).transpose()
    }
}

/// Only what is asked for stands in it, so that SQLite finds the index that fits (`schema.rs`): a `+` before a name
/// says that another is better. Of what has ended, which is all that is not in memory.
pub(super) fn listing(filter: &TaskFilter) -> (String, Vec<Value>) {
    let text = |text: &str| Value::from(text.to_owned());
    let state = filter.state.filter(|state| *state != TaskState::Completed);
    let narrow = state.is_some() || filter.node.is_some();
    let vps = if narrow { "+vps = ?" } else { "vps = ?" };
    let mut conditions = vec![vps.to_owned()];
    let mut values = vec![Value::from(i64::from(filter.vps))];
    if narrow {
        conditions.push("ended IS NOT NULL".to_owned());
    }
    if state.is_some() {
        conditions.push("state <> 'completed'".to_owned());
    }
    if let Some(owner) = &filter.owner {
        let better = state.is_none() && filter.node.is_some();
        let owned = if better { "+owner = ?" } else { "owner = ?" };
        conditions.push(owned.to_owned());
        values.push(text(owner.as_str()));
    }
    if let Some(state) = filter.state {
        conditions.push("state = ?".to_owned());
        values.push(text(state.name()));
    }
    if let Some(node) = &filter.node {
        let asked = if state.is_some() {
            "+node = ?"
        } else {
            "node = ?"
        };
        conditions.push(asked.to_owned());
        values.push(text(node.as_str()));
    }
    if let Some(name) = &filter.name {
        // Names are ASCII: whatever begins so lies below the first that does not.
        conditions.push("name >= ? AND name < ?".to_owned());
        values.push(text(name));
        values.push(text(&format!("{name}\u{7f}")));
    }
    values.push(Value::from(i64::from(filter.limit)));
    let sql = format!(
        "SELECT document, sum FROM tasks WHERE {} ORDER BY id DESC LIMIT ?",
        conditions.join(" AND ")
    );
    (sql, values)
}

impl History for HistoryReader {
    fn task(&self, id: TaskId) -> anyhow::Result<Option<Arc<Task>>> {
        let Ok(id) = i64::try_from(id.0) else {
            return Ok(None);
        };
        self.one("SELECT document, sum FROM tasks WHERE id = ?1", [id])
    }

    fn tasks(&self, filter: &TaskFilter) -> anyhow::Result<Vec<Arc<Task>>> {
        let (sql, values) = listing(filter);
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = db.prepare_cached(&sql)?;
        let mut found = statement.query(params_from_iter(values))?;
        let mut tasks = Vec::new();
        while let Some(row) = found.next()? {
            tasks.push(Arc::new(rows::read(row)?));
        }
        Ok(tasks)
    }

    fn by_name(&self, name: &str) -> anyhow::Result<Option<Arc<Task>>> {
        self.one(
            "SELECT document, sum FROM tasks WHERE name = ?1 ORDER BY id DESC LIMIT 1",
            [name],
        )
    }

    fn by_key(&self, owner: &UserName, key: &str) -> anyhow::Result<Option<Arc<Task>>> {
        self.one(
            "SELECT document, sum FROM tasks WHERE owner = ?1 AND key = ?2 ORDER BY id DESC LIMIT 1",
            [owner.as_str(), key],
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

//! Tables and numbered migrations. `PRAGMA user_version` says how far a store has come.

use std::path::Path;

use anyhow::{Context, bail};
use rusqlite::Connection;

/// Each runs once, in order, in one transaction. Never edit one that was released: add the next.
const MIGRATIONS: [&str; 1] = ["
CREATE TABLE counters (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    document TEXT NOT NULL
) STRICT;
CREATE TABLE accounts (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE keys (
    fingerprint TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (name),
    document TEXT NOT NULL
) STRICT;
CREATE TABLE invitations (hash TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE join_tokens (hash TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE nodes (name TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    node TEXT,
    live INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX tasks_live ON tasks (live, id);
CREATE INDEX tasks_owner ON tasks (owner, id);
CREATE INDEX tasks_name ON tasks (name, id);
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    verdict TEXT NOT NULL
) STRICT;
CREATE INDEX audit_account ON audit (account, number);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"];

/// How far a store has come; 0: it is new.
///
/// # Errors
/// When it is no store.
pub(super) fn version(db: &Connection) -> anyhow::Result<usize> {
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(version as usize)
}

/// Looked at before anything else: an older river must not touch what a newer one wrote.
///
/// # Errors
/// When a newer river wrote it.
pub(super) fn readable(version: usize) -> anyhow::Result<()> {
    if version > MIGRATIONS.len() {
        bail!(
            "a newer river wrote this store (schema {version}, this one knows {}): upgrade river, or put the copy \
             river.db.schema-N beside it in its place",
            MIGRATIONS.len()
        );
    }
    Ok(())
}

/// Brings a store up to this version; a copy of it as it was stays beside it.
///
/// # Errors
/// When SQLite fails, or the copy cannot be written.
pub(super) fn migrate(db: &mut Connection, dir: &Path) -> anyhow::Result<()> {
    migrate_by(db, dir, &MIGRATIONS)
}

fn migrate_by(db: &mut Connection, dir: &Path, migrations: &[&str]) -> anyhow::Result<()> {
    let version = version(db)?;
    if (1..migrations.len()).contains(&version) {
        let to = dir.join(format!("river.db.schema-{version}"));
        copy(db, &to).with_context(|| {
            format!(
                "cannot copy the store to {} before its upgrade",
                to.display()
            )
        })?;
    }
    for (number, sql) in migrations.iter().enumerate().skip(version) {
        let turn = db.transaction()?;
        turn.execute_batch(sql)?;
        turn.pragma_update(None, "user_version", u32::try_from(number + 1)?)?;
        turn.commit()?;
    }
    Ok(())
}

/// Whole or not at all.
fn copy(db: &Connection, to: &Path) -> anyhow::Result<()> {
    let part = to.with_extension("part");
    let _ = std::fs::remove_file(&part);
    db.execute("VACUUM INTO ?1", [part.to_string_lossy()])?;
    std::fs::File::open(&part)?.sync_all()?;
    Ok(std::fs::rename(&part, to)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_copied_before_it_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let mut db = Connection::open(dir.path().join("river.db")).unwrap();
        let first = "CREATE TABLE a (n INTEGER) STRICT; INSERT INTO a VALUES (7);";
        migrate_by(&mut db, dir.path(), &[first]).unwrap();
        let copy = dir.path().join("river.db.schema-1");
        assert!(!copy.exists(), "nothing was there to copy");
        let both = [first, "DROP TABLE a;"];
        migrate_by(&mut db, dir.path(), &both).unwrap();
        migrate_by(&mut db, dir.path(), &both).unwrap();
        let before = Connection::open(&copy).unwrap();
        let kept: u32 = before
            .query_row("SELECT n FROM a", [], |row| row.get(0))
            .unwrap();
        assert_eq!((kept, version(&before).unwrap()), (7, 1));
        assert!(
            db.query_row("SELECT n FROM a", [], |row| row.get::<_, u32>(0))
                .is_err()
        );
    }
}

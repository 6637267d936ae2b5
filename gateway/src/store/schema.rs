//! Tables and numbered migrations. `PRAGMA user_version` says how far a store has come.

use std::path::Path;

use anyhow::Context;
use rusqlite::Connection;

/// Each runs once, in order, in one transaction. Never edit one that was released: add the next.
const MIGRATIONS: [&str; 2] = [
    "
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
",
    "
ALTER TABLE counters ADD COLUMN sum INTEGER;
ALTER TABLE accounts ADD COLUMN sum INTEGER;
ALTER TABLE keys ADD COLUMN sum INTEGER;
ALTER TABLE invitations ADD COLUMN sum INTEGER;
ALTER TABLE join_tokens ADD COLUMN sum INTEGER;
ALTER TABLE nodes ADD COLUMN sum INTEGER;
ALTER TABLE tasks ADD COLUMN sum INTEGER;
ALTER TABLE tasks ADD COLUMN vps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN ended INTEGER;
ALTER TABLE tasks ADD COLUMN key TEXT;
UPDATE tasks SET vps = json_extract(document, '$.spec.vps') IS NOT NULL,
    ended = json_extract(document, '$.ended'), key = json_extract(document, '$.spec.key');
DROP INDEX tasks_owner;
CREATE INDEX tasks_owner ON tasks (owner, vps, id);
CREATE INDEX tasks_vps ON tasks (vps, id);
CREATE INDEX tasks_ended ON tasks (ended) WHERE live = 0;
CREATE INDEX tasks_key ON tasks (owner, key) WHERE key IS NOT NULL;
ALTER TABLE audit ADD COLUMN hash BLOB;
",
];

/// For listings of what ended long ago, by state, node or both with an owner: a million rows must not be looked
/// through for the three that failed. No step of the schema: an older river keeps them without knowing of them.
/// What completed is most of all, and is found without.
const INDEXES: &str = "
CREATE INDEX IF NOT EXISTS tasks_state ON tasks (state, id) WHERE ended IS NOT NULL AND state <> 'completed';
CREATE INDEX IF NOT EXISTS tasks_owner_state ON tasks (owner, state, id) WHERE ended IS NOT NULL AND state <> 'completed';
CREATE INDEX IF NOT EXISTS tasks_node ON tasks (node, id) WHERE ended IS NOT NULL;
";

/// It was not touched.
#[derive(Debug, thiserror::Error)]
#[error(
    "a newer river wrote this store (schema {0}, this one knows {1}): upgrade river, or put the copy river.db.schema-N beside it in its place"
)]
pub(super) struct Newer(usize, usize);

/// How far this store has come; 0: it is empty.
///
/// # Errors
/// When a newer river wrote it, or SQLite fails.
pub(super) fn version(db: &Connection) -> anyhow::Result<usize> {
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = version as usize;
    if version > MIGRATIONS.len() {
        return Err(Newer(version, MIGRATIONS.len()).into());
    }
    Ok(version)
}

/// Brings a store up to this version; a copy of it as it was stays beside it.
///
/// # Errors
/// As [`version`], or when the copy cannot be written.
pub(super) fn migrate(db: &mut Connection, dir: &Path) -> anyhow::Result<()> {
    let version = version(db)?;
    migrate_by(db, dir, &MIGRATIONS)?;
    if version == 1 {
        // Takes effect with a rewrite, once.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        db.execute_batch("VACUUM")?;
    }
    db.execute_batch(INDEXES)?;
    Ok(())
}

fn migrate_by(db: &mut Connection, dir: &Path, migrations: &[&str]) -> anyhow::Result<()> {
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = version as usize;
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

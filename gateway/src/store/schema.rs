//! Tables and numbered migrations. `PRAGMA user_version` says how far a store has come.

use anyhow::bail;
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

/// Brings a store up to this version.
///
/// # Errors
/// When a newer river wrote it, or SQLite fails.
pub(super) fn migrate(db: &mut Connection) -> anyhow::Result<()> {
    let version: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = version as usize;
    if version > MIGRATIONS.len() {
        bail!(
            "a newer river wrote this store (schema {version}, this one knows {}): upgrade river",
            MIGRATIONS.len()
        );
    }
    for (number, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let turn = db.transaction()?;
        turn.execute_batch(sql)?;
        turn.pragma_update(None, "user_version", u32::try_from(number + 1)?)?;
        turn.commit()?;
    }
    Ok(())
}

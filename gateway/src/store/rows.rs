//! Records become rows. Documents are JSON: unknown fields of a newer minor version are ignored. Each has a
//! checksum beside it, for SQLite has none: a flipped bit must not be read as something else.

use anyhow::{Context, bail};
use rusqlite::{Row, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state::Record;

pub(super) fn write(turn: &Transaction<'_>, record: &Record) -> anyhow::Result<()> {
    // Tables whose rows are a name and a document.
    let put = |table: &str, name: &str, key: &str, document: String| {
        let sql = format!(
            "INSERT INTO {table} ({name}, document, sum) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET document = ?2, sum = ?3"
        );
        turn.prepare_cached(&sql)?
            .execute(params![key, document, sum(&document)])
    };
    let cut = |sql: &str, key: &str| turn.prepare_cached(sql)?.execute(params![key]);
    match record {
        Record::Task(task) => return write_task(turn, task),
        Record::Node(node) => put("nodes", "name", node.name.as_str(), json(node)?)?,
        Record::NodeRemoved(name) => cut("DELETE FROM nodes WHERE name = ?1", name.as_str())?,
        Record::Account(account) => put("accounts", "name", account.name.as_str(), json(account)?)?,
        Record::Key(key) => {
            let document = json(key)?;
            turn.prepare_cached(
                "INSERT INTO keys (fingerprint, account, document, sum) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET account = ?2, document = ?3, sum = ?4",
            )?
            .execute(params![
                key.fingerprint,
                key.account.as_str(),
                document,
                sum(&document)
            ])?
        }
        Record::KeyRemoved { fingerprint } => {
            cut("DELETE FROM keys WHERE fingerprint = ?1", fingerprint)?
        }
        Record::Invitation(invitation) => {
            put("invitations", "hash", &invitation.hash, json(invitation)?)?
        }
        Record::InvitationRemoved { hash } => cut("DELETE FROM invitations WHERE hash = ?1", hash)?,
        Record::JoinToken(token) => put("join_tokens", "hash", &token.hash, json(token)?)?,
        Record::JoinTokenRemoved { hash } => cut("DELETE FROM join_tokens WHERE hash = ?1", hash)?,
        Record::Counters(counters) => put("counters", "one", "1", json(counters)?)?,
    };
    Ok(())
}

fn write_task(turn: &Transaction<'_>, task: &cluster::Task) -> anyhow::Result<()> {
    let node = task.placement.as_ref().map(|p| p.node.as_str());
    let document = json(task)?;
    turn.prepare_cached(
        "INSERT INTO tasks (id, name, owner, state, node, live, document, sum, vps, ended, key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET name = ?2, state = ?4, node = ?5, live = ?6, document = ?7, sum = ?8, ended = ?10",
    )?
    .execute(params![
        i64::try_from(task.id.0)?,
        task.name.as_str(),
        task.owner.as_str(),
        task.state.name(),
        node,
        is_live(task),
        document,
        sum(&document),
        task.is_vps(),
        task.ended.map(|at| i64::try_from(at.0)).transpose()?,
        task.spec.key,
    ])?;
    Ok(())
}

/// Not over, or not yet done with.
pub(super) fn is_live(task: &cluster::Task) -> bool {
    !task.state.is_final() || !task.collected
}

/// The value of a row whose first columns are `document, sum`.
///
/// # Errors
/// When it is not what was written.
pub(super) fn read<T: DeserializeOwned>(row: &Row<'_>) -> anyhow::Result<T> {
    let document = row.get_ref(0)?.as_str()?;
    // Rows of a store that was written before there were sums have none.
    let stored: Option<i64> = row.get(1)?;
    if stored.is_some_and(|stored| stored != sum(document)) {
        bail!("a row is not as it was written: {}", begin(document));
    }
    serde_json::from_str(document)
        .with_context(|| format!("a row makes no sense: {}", begin(document)))
}

fn begin(document: &str) -> String {
    document.chars().take(80).collect()
}

/// CRC-32 (ISO 3309), as SQLite keeps integers.
pub(super) fn sum(document: &str) -> i64 {
    crc32fast::hash(document.as_bytes()).into()
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    serde_json::to_string(value).context("a record has no JSON form")
}

//! Records become rows. Documents are JSON: unknown fields of a newer minor version are ignored.

use anyhow::Context;
use rusqlite::{Transaction, params};
use serde::Serialize;

use crate::state::{AuditEntry, Record};

pub(super) fn write(turn: &Transaction<'_>, record: &Record) -> anyhow::Result<()> {
    let put = |sql: &str, key: &str, document: String| {
        turn.prepare_cached(sql)?.execute(params![key, document])
    };
    let cut = |sql: &str, key: &str| turn.prepare_cached(sql)?.execute(params![key]);
    match record {
        Record::Task(task) => {
            let node = task.placement.as_ref().map(|p| p.node.as_str());
            let live = !task.state.is_final() || !task.collected;
            turn.prepare_cached(
                "INSERT INTO tasks (id, name, owner, state, node, live, document) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (id) DO UPDATE SET state = ?4, node = ?5, live = ?6, document = ?7",
            )?
            .execute(params![
                i64::try_from(task.id.0)?,
                task.name.as_str(),
                task.owner.as_str(),
                task.state.name(),
                node,
                live,
                json(task)?
            ])?
        }
        Record::Node(node) => put(
            "INSERT INTO nodes VALUES (?1, ?2) ON CONFLICT DO UPDATE SET document = ?2",
            node.name.as_str(),
            json(node)?,
        )?,
        Record::NodeRemoved(name) => cut("DELETE FROM nodes WHERE name = ?1", name.as_str())?,
        Record::Account(account) => put(
            "INSERT INTO accounts VALUES (?1, ?2) ON CONFLICT DO UPDATE SET document = ?2",
            account.name.as_str(),
            json(account)?,
        )?,
        Record::Key(key) => turn
            .prepare_cached(
                "INSERT INTO keys VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET account = ?2, document = ?3",
            )?
            .execute(params![key.fingerprint, key.account.as_str(), json(key)?])?,
        Record::KeyRemoved { fingerprint } => cut("DELETE FROM keys WHERE fingerprint = ?1", fingerprint)?,
        Record::Invitation(invitation) => put(
            "INSERT INTO invitations VALUES (?1, ?2) ON CONFLICT DO UPDATE SET document = ?2",
            &invitation.hash,
            json(invitation)?,
        )?,
        Record::InvitationRemoved { hash } => cut("DELETE FROM invitations WHERE hash = ?1", hash)?,
        Record::JoinToken(token) => put(
            "INSERT INTO join_tokens VALUES (?1, ?2) ON CONFLICT DO UPDATE SET document = ?2",
            &token.hash,
            json(token)?,
        )?,
        Record::JoinTokenRemoved { hash } => cut("DELETE FROM join_tokens WHERE hash = ?1", hash)?,
        Record::Counters(counters) => turn
            .prepare_cached("INSERT INTO counters VALUES (1, ?1) ON CONFLICT DO UPDATE SET document = ?1")?
            .execute(params![json(counters)?])?,
    };
    Ok(())
}

pub(super) fn audit(turn: &Transaction<'_>, entry: &AuditEntry) -> anyhow::Result<()> {
    let sql =
        "INSERT INTO audit (at, account, action, object, verdict) VALUES (?1, ?2, ?3, ?4, ?5)";
    let at = i64::try_from(entry.at.0)?;
    turn.prepare_cached(sql)?.execute(params![
        at,
        entry.account,
        entry.action,
        entry.object,
        entry.verdict
    ])?;
    Ok(())
}

fn json(value: &impl Serialize) -> anyhow::Result<String> {
    serde_json::to_string(value).context("a record has no JSON form")
}

//! Is the store sound: its pages, its rows against each other, its audit log, the files beside it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;
use cluster::Task;
use keys::{Account, AccountKey};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::{audit, directory_log, place, rows, schema};
use crate::state::Counters;

/// Findings that are told; more are counted.
const MOST: usize = 50;
/// Tables of documents, and what names their rows.
const DOCUMENTS: [(&str, &str); 7] = [
    ("counters", "one"),
    ("accounts", "name"),
    ("keys", "fingerprint"),
    ("invitations", "hash"),
    ("join_tokens", "hash"),
    ("nodes", "name"),
    ("tasks", "id"),
];

/// What was looked at, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Findings {
    pub tasks: u64,
    pub audit: u64,
    pub wrong: Vec<String>,
}

impl Findings {
    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        let Self {
            tasks,
            audit,
            wrong,
        } = self;
        if wrong.is_empty() {
            return format!("good: {tasks} tasks, {audit} rows of the audit log\n");
        }
        let lines: String = wrong
            .iter()
            .map(|line| format!("{}\n", shell::Safe(line)))
            .collect();
        format!(
            "{lines}{} wrong; `river-gateway restore FILE` puts a copy back\n",
            wrong.len()
        )
    }

    fn say(&mut self, sentence: String) {
        if self.wrong.len() < MOST {
            self.wrong.push(sentence);
        }
    }
}

/// Reads everything, also while a gateway uses it. Changes nothing.
///
/// # Errors
/// When there is no store, or it cannot be read at all.
pub fn check(dir: &Path) -> anyhow::Result<Findings> {
    let path = place::database(dir);
    let db = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("there is no store in {}", dir.display()))?;
    schema::version(&db).map_err(|error| place::explain(error, &path))?;
    let mut findings = Findings::default();
    let whole: String = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| place::explain(error.into(), &path))?;
    if whole != "ok" {
        findings.say(format!("its pages: {whole}"));
        return Ok(findings);
    }
    // One moment of it, whoever writes meanwhile.
    db.execute_batch("BEGIN")?;
    documents(&db, &mut findings)?;
    accounts(&db, &mut findings)?;
    tasks(&db, &mut findings)?;
    spools(dir, &db, &mut findings)?;
    if let Err(error) = directory_log::verify(dir) {
        findings.say(format!("{error:#}"));
    }
    match audit::verify(&db) {
        Ok(count) => findings.audit = count,
        Err(error) => findings.say(error.to_string()),
    }
    Ok(findings)
}

/// Every document is as it was written.
fn documents(db: &Connection, findings: &mut Findings) -> anyhow::Result<()> {
    for (table, name) in DOCUMENTS {
        let mut statement = db.prepare(&format!("SELECT document, sum, {name} FROM {table}"))?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            if let Err(error) = rows::read::<Value>(row) {
                let name = row.get_ref(2)?;
                findings.say(format!("{table} {name:?}: {error:#}"));
            }
        }
    }
    Ok(())
}

/// Each key signs in an account that there is.
fn accounts(db: &Connection, findings: &mut Findings) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    each(
        db,
        "SELECT document, sum FROM accounts",
        |account: Account| {
            names.insert(account.name);
        },
    )?;
    each(db, "SELECT document, sum FROM keys", |key: AccountKey| {
        if !names.contains(&key.account) {
            findings.say(format!(
                "key {}: there is no account {}",
                key.fingerprint, key.account
            ));
        }
    })
}

/// What the columns say is what the documents say, and the documents make sense.
fn tasks(db: &Connection, findings: &mut Findings) -> anyhow::Result<()> {
    let mut counters = Counters::default();
    each(db, "SELECT document, sum FROM counters", |it| counters = it)?;
    let mut statement = db.prepare(
        "SELECT document, sum, id, name, owner, state, live, vps FROM tasks ORDER BY id",
    )?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let Ok(task) = rows::read::<Task>(row) else {
            // Told of already.
            continue;
        };
        findings.tasks += 1;
        let columns = (
            row.get::<_, i64>(2)?,
            row.get::<_, String>(3)?,
            row.get::<_, String>(4)?,
            row.get::<_, String>(5)?,
            row.get::<_, bool>(6)?,
            row.get::<_, bool>(7)?,
        );
        let document = (
            i64::try_from(task.id.0)?,
            task.name.to_string(),
            task.owner.to_string(),
            task.state.name().to_owned(),
            rows::is_live(&task),
            task.is_vps(),
        );
        if columns != document {
            findings.say(format!(
                "{}: its columns say {columns:?}, its document {document:?}",
                task.id
            ));
        }
        if let Some(why) = senseless(&task, counters) {
            findings.say(format!("{}: {why}", task.id));
        }
    }
    Ok(())
}

/// The state machine's own rules.
fn senseless(task: &Task, counters: Counters) -> Option<&'static str> {
    if task.id.0 > counters.task {
        return Some("its number was never given");
    }
    if task.state.is_final() != task.outcome.is_some() {
        return Some("it has ended without an outcome, or has one and goes on");
    }
    if task
        .outcome
        .as_ref()
        .is_some_and(|outcome| outcome.state != task.state)
    {
        return Some("its outcome is of another state");
    }
    if task.state.holds_resources() && (task.placement.is_none() || task.attempt == 0) {
        return Some("it runs nowhere");
    }
    None
}

/// Input that a waiting task needs is there.
fn spools(dir: &Path, db: &Connection, findings: &mut Findings) -> anyhow::Result<()> {
    each(
        db,
        "SELECT document, sum FROM tasks WHERE live = 1",
        |task: Task| {
            let spool = task.spool.as_ref().filter(|_| !task.state.is_final());
            let Some(spool) = spool else { return };
            let there = std::fs::metadata(dir.join("spool").join(&spool.file));
            if there.map_or(0, |meta| meta.len()) != spool.length {
                findings.say(format!("{}: its input is not there", task.id));
            }
        },
    )
}

fn each<T: serde::de::DeserializeOwned>(
    db: &Connection,
    sql: &str,
    mut take: impl FnMut(T),
) -> anyhow::Result<()> {
    let mut statement = db.prepare(sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        if let Ok(value) = rows::read(row) {
            take(value);
        }
    }
    Ok(())
}

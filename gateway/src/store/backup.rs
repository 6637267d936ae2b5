//! Copies of the store: taken while it is in use, and put back in its place.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use cluster::{Node, Timestamp};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::lock::Lock;
use super::numbers::Numbers;
use super::{audit, directory_log, place, rows, schema};
use crate::state::{AuditEntry, Counters, Record};

/// What a database is, besides its file.
const PARTS: [&str; 3] = ["river.db", "river.db-wal", "river.db-shm"];

/// A whole copy of the store as it is at one moment, while it is in use. `to` bears its name only when it is whole,
/// on the disk, and looked through.
///
/// # Errors
/// When the store is not there, or the copy cannot be written.
pub fn backup(dir: &Path, to: &Path) -> anyhow::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let from = Connection::open_with_flags(place::database(dir), flags)
        .with_context(|| format!("there is no store in {}", dir.display()))?;
    let part = to.with_extension("part");
    private(&part)?;
    let copied = copy(&from, &part);
    if let Err(error) = copied {
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    put(&part, to)
}

/// An empty file of its owner alone.
fn private(part: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_file(part);
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part);
    made.with_context(|| format!("cannot write {}", part.display()))?;
    Ok(())
}

fn copy(from: &Connection, part: &Path) -> anyhow::Result<()> {
    let mut copy =
        Connection::open(part).with_context(|| format!("cannot write {}", part.display()))?;
    // In one step: that is one moment of the store, and whoever writes to it meanwhile does not wait.
    let step = Backup::new(from, &mut copy)?.step(-1)?;
    if step != StepResult::Done {
        bail!("the store was busy: try again");
    }
    place::sound(&copy, part)?;
    drop(copy);
    File::open(part)?.sync_all()?;
    Ok(())
}

fn put(part: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(part, to).with_context(|| format!("cannot write {}", to.display()))?;
    let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(())
}

/// What a restore came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the database lies that was here before.
    pub replaced: Option<PathBuf>,
    /// Tasks that the copy knows.
    pub tasks: u64,
    /// Changes of accounts, keys and nodes since the copy, done again.
    pub redone: usize,
}

impl Restored {
    /// In words, with what comes next.
    #[must_use]
    pub fn told(&self, from: &Path) -> String {
        let Self {
            replaced,
            tasks,
            redone,
        } = self;
        let kept = replaced.as_ref().map_or_else(String::new, |old| {
            format!("what was here is kept as {}\n", old.display())
        });
        format!(
            "restored from {}: {tasks} tasks\n{kept}accounts, keys and nodes: {redone} changes since the copy done again\n\
             numbers that were given since are not given again; what nodes run of that time is shown by `node status`\n\
             next: start the gateway\n",
            from.display()
        )
    }
}

/// Puts a copy in the place of the store, which is kept beside it. Accounts, keys and nodes are brought to where they
/// were; numbers that were given since are not given again.
///
/// # Errors
/// When a gateway uses the store, or the copy is damaged or of a newer river: nothing was changed then.
pub fn restore(dir: &Path, from: &Path, now: Timestamp) -> anyhow::Result<Restored> {
    place::check(dir)?;
    let _lock = Lock::take(dir)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let source = Connection::open_with_flags(from, flags)
        .with_context(|| format!("cannot read {}", from.display()))?;
    let no_store = || format!("{} is no copy of a store", from.display());
    if schema::version(&source).with_context(no_store)? == 0 {
        bail!(no_store());
    }
    place::sound(&source, from)?;
    let part = dir.join(place::RESTORING);
    private(&part)?;
    copy(&source, &part)?;
    let (tasks, redone) = catch_up(dir, &part, from, now)?;
    let replaced = set_aside(dir, now)?;
    put(&part, &place::database(dir))?;
    Ok(Restored {
        replaced,
        tasks,
        redone,
    })
}

/// What happened since, as far as it is known beside the database.
fn catch_up(dir: &Path, part: &Path, from: &Path, now: Timestamp) -> anyhow::Result<(u64, usize)> {
    let mut db = Connection::open(part)?;
    // One file, without a log beside it: it is still to be renamed.
    db.pragma_update(None, "journal_mode", "DELETE")?;
    schema::migrate(&mut db, dir)?;
    let head = audit::head(&db)?;
    let records = directory_log::since(dir, &db, &head)?;
    let counters = counters(&db)?;
    let mut numbers = Numbers::open(dir)?;
    numbers.leave_room(counters)?;
    let turn = db.transaction()?;
    for record in &records {
        rows::write(&turn, record)?;
    }
    // Which nodes were given up is of that time, too: each is waited for again.
    for node in nodes(&turn)?.into_iter().filter(|node| node.lost) {
        let node = Node {
            lost: false,
            ..node
        };
        rows::write(&turn, &Record::Node(Arc::new(node)))?;
    }
    // Each life has a higher epoch than the copy's: what is placed from now on is known.
    let restored = Counters {
        restored: counters.epoch + 1,
        restored_task: counters.task,
        ..counters
    };
    rows::write(&turn, &Record::Counters(restored))?;
    let entry = AuditEntry {
        at: now,
        account: "river".to_owned(),
        action: "store restore".to_owned(),
        object: from.display().to_string(),
        verdict: "done".to_owned(),
    };
    audit::append(&turn, &head, &entry)?;
    turn.commit()?;
    let tasks: i64 = db.query_row("SELECT count(*) FROM tasks", [], |row| row.get(0))?;
    drop(db);
    File::open(part)?.sync_all()?;
    Ok((u64::try_from(tasks)?, records.len()))
}

fn nodes(db: &Connection) -> anyhow::Result<Vec<Node>> {
    let mut statement = db.prepare("SELECT document, sum FROM nodes")?;
    let mut found = statement.query([])?;
    let mut nodes = Vec::new();
    while let Some(row) = found.next()? {
        nodes.push(rows::read(row)?);
    }
    Ok(nodes)
}

fn counters(db: &Connection) -> anyhow::Result<Counters> {
    let mut statement = db.prepare("SELECT document, sum FROM counters")?;
    let mut found = statement.query([])?;
    Ok(match found.next()? {
        Some(row) => rows::read(row)?,
        None => Counters::default(),
    })
}

/// The database that was here, under a name that says when it went; also one that cannot be read.
fn set_aside(dir: &Path, now: Timestamp) -> anyhow::Result<Option<PathBuf>> {
    let mut moved = None;
    for part in PARTS {
        let old = dir.join(part);
        if !old.exists() {
            continue;
        }
        let new = dir.join(format!("{}{}-{part}", place::REPLACED, now.0 / 1000));
        fs::rename(&old, &new).with_context(|| format!("cannot rename {}", old.display()))?;
        moved.get_or_insert(new);
    }
    File::open(dir)?.sync_all()?;
    Ok(moved)
}

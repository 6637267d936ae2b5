//! A store that an older gateway wrote, as `.dump` of sqlite3(1) writes it: today's gateway goes on with it.

use std::path::Path;

use gateway::queries::History;
use gateway::store::{HistoryReader, Store};

use crate::fixtures::folder;

fn laid_out(dir: &Path, version: u32) -> rusqlite::Connection {
    let sql = std::fs::read_to_string(folder(version).join("store.sql")).unwrap();
    let db = rusqlite::Connection::open(dir.join("river.db")).unwrap();
    db.execute_batch(&sql).unwrap();
    db
}

#[test]
fn the_store_of_the_first_version_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    drop(laid_out(dir.path(), 1));
    let (store, loaded) = Store::open(dir.path(), 10).unwrap();
    assert_eq!(loaded.counters.epoch, 2, "a new life");
    assert_eq!(loaded.counters.task, 4);
    let alice = loaded.directory.accounts().next().unwrap();
    assert_eq!(alice.name.as_str(), "alice");
    let [node] = &loaded.nodes[..] else {
        panic!("{:?}", loaded.nodes);
    };
    assert!(node.name.as_str() == "n1" && node.facts.is_some());
    let mut tasks: Vec<String> = loaded
        .tasks
        .iter()
        .map(|task| format!("{} {}", task.label(), task.state))
        .collect();
    tasks.sort();
    assert_eq!(
        tasks,
        [
            "task-1 completed",
            "task-2 failed",
            "task-4 running",
            "vps-3 running"
        ]
    );
    let audit = HistoryReader::open(dir.path()).unwrap();
    assert!(
        audit
            .audit(None, 100)
            .unwrap()
            .iter()
            .any(|row| row.action == "task submit")
    );
    drop(store);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let db = laid_out(dir.path(), 1);
    db.pragma_update(None, "user_version", 9000).unwrap();
    drop(db);
    let path = dir.path().join("river.db");
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(dir.path(), 10).unwrap_err().to_string();
    assert!(
        error.contains("a newer river wrote this store") && error.contains("9000"),
        "{error}"
    );
    assert!(std::fs::read(&path).unwrap() == before, "not touched");
}

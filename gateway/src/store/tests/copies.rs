//! Copies of the store, put back: what was told is not told otherwise.

use cluster::{Task, TaskId, Timestamp};
use keys::AccountKey;

use super::{account, entry};
use crate::state::{Counters, Record};
use crate::store::{Store, backup, check, restore};

fn counters(task: u64, serial: u64) -> Record {
    Record::Counters(Counters {
        task,
        epoch: 1,
        serial,
        ..Counters::default()
    })
}

fn key(name: &str, fingerprint: &str) -> Record {
    Record::Key(AccountKey {
        account: name.parse().unwrap(),
        fingerprint: fingerprint.to_owned(),
        algorithm: "ssh-ed25519".to_owned(),
        line: "ssh-ed25519 AAAA".to_owned(),
        comment: String::new(),
        added: 1,
    })
}

#[test]
fn no_number_is_given_twice_after_a_copy_was_put_back_and_no_key_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    let first = [account("alice"), key("alice", "SHA256:old"), counters(7, 2)];
    store.commit(&first, &[entry(1)]).unwrap();
    backup(dir.path(), &copy).unwrap();
    let later = [
        Record::KeyRemoved {
            fingerprint: "SHA256:old".to_owned(),
        },
        account("bob"),
        key("bob", "SHA256:new"),
        counters(1234, 3),
    ];
    store.commit(&later, &[entry(2)]).unwrap();
    let held = restore(dir.path(), &copy, Timestamp(5)).unwrap_err();
    assert!(held.to_string().contains("another gateway"), "{held}");
    drop(store);
    let restored = restore(dir.path(), &copy, Timestamp(5_000)).unwrap();
    for file in [copy.clone(), dir.path().join("river.db")] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o77, 0, "others can read it: {mode:o}");
    }
    assert_eq!(restored.redone, 5, "the first turn is done again, too");
    assert!(restored.replaced.unwrap().ends_with("replaced-5-river.db"));
    let (mut store, loaded) = Store::open(dir.path(), 10).unwrap();
    assert!(loaded.went_back);
    assert!(loaded.counters.task > 1234 && loaded.counters.serial > 3);
    assert!(loaded.counters.epoch > 1);
    let owner = |print: &str| loaded.directory.actor(print).map(|actor| actor.account);
    assert_eq!(owner("SHA256:old"), None);
    assert_eq!(owner("SHA256:new"), Some("bob".parse().unwrap()));
    assert_eq!(check(dir.path()).unwrap().wrong, [""; 0]);
    // It is told once: the next life goes on from there.
    store
        .commit(&[counters(loaded.counters.task + 1, 9)], &[])
        .unwrap();
    drop(store);
    let (_store, next) = Store::open(dir.path(), 10).unwrap();
    assert_eq!(next.counters.task, loaded.counters.task + 1);
    assert!(!next.went_back);
}

fn removed(fingerprint: &str) -> Record {
    Record::KeyRemoved {
        fingerprint: fingerprint.to_owned(),
    }
}

/// Rows of two lives after the same copy bear the same numbers.
#[test]
fn a_second_restore_does_again_only_what_its_copy_has_not_seen() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |name: &str| dir.path().join(name);
    let open = || Store::open(dir.path(), 10).unwrap();
    let owners = |prints: [&str; 3]| {
        let (_store, loaded) = open();
        prints.map(|print| loaded.directory.actor(print).is_some())
    };
    let (mut store, _) = open();
    let begin = [account("alice"), account("bob"), key("alice", "SHA256:a")];
    store.commit(&begin, &[entry(1)]).unwrap();
    backup(dir.path(), &copy("first")).unwrap();
    for number in 2..10 {
        store.commit(&[], &[entry(number)]).unwrap();
    }
    store.commit(&[removed("SHA256:a")], &[entry(10)]).unwrap();
    drop(store);
    restore(dir.path(), &copy("first"), Timestamp(5_000)).unwrap();
    assert!(!owners(["SHA256:a"; 3])[0], "it was removed after the copy");
    let (mut store, _) = open();
    let again = [key("alice", "SHA256:a"), key("alice", "SHA256:b")];
    store.commit(&again, &[entry(3)]).unwrap();
    store.commit(&[], &[entry(4)]).unwrap();
    backup(dir.path(), &copy("second")).unwrap();
    store.commit(&[removed("SHA256:b")], &[entry(5)]).unwrap();
    let more = [key("bob", "SHA256:c")];
    store.commit(&more, &[entry(6)]).unwrap();
    drop(store);
    let seen = [true, false, true];
    for (at, name) in [(6_000, "second"), (7_000, "first"), (8_000, "second")] {
        restore(dir.path(), &copy(name), Timestamp(at)).unwrap();
        let found = owners(["SHA256:a", "SHA256:b", "SHA256:c"]);
        assert_eq!(found, seen, "after a restore of the {name} copy");
    }
}

/// It is noted before it is committed: a gateway that ended between the two never told it.
#[test]
fn what_was_noted_and_never_committed_is_not_done_by_a_restore() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    let begin = [account("alice"), key("alice", "SHA256:a")];
    store.commit(&begin, &[entry(1)]).unwrap();
    backup(dir.path(), &copy).unwrap();
    let log = dir.path().join("directory.log");
    let database = ["river.db", "river.db-wal"].map(|name| dir.path().join(name));
    let before = database.clone().map(|file| std::fs::read(file).unwrap());
    store.commit(&[removed("SHA256:a")], &[entry(2)]).unwrap();
    let noted = std::fs::read(&log).unwrap();
    drop(store);
    for (file, bytes) in database.iter().zip(&before) {
        std::fs::write(file, bytes).unwrap();
    }
    let _ = std::fs::remove_file(dir.path().join("river.db-shm"));
    drop(Store::open(dir.path(), 10).unwrap());
    assert!(std::fs::read(&log).unwrap().len() < noted.len());
    restore(dir.path(), &copy, Timestamp(5_000)).unwrap();
    let (_store, loaded) = Store::open(dir.path(), 10).unwrap();
    assert!(loaded.directory.actor("SHA256:a").is_some());
}

/// A power failure may leave what is kept beside the database as it was when the copy was made.
#[test]
fn a_restore_leaves_out_numbers_that_nothing_here_knows_of() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    store.commit(&[counters(7, 2)], &[]).unwrap();
    backup(dir.path(), &copy).unwrap();
    drop(store);
    restore(dir.path(), &copy, Timestamp(5)).unwrap();
    let (_store, loaded) = Store::open(dir.path(), 10).unwrap();
    assert!(loaded.counters.task > 100_000 && loaded.counters.serial > 100_000);
}

#[test]
fn a_damaged_line_of_the_directorys_log_is_found_before_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    store.commit(&[account("alice")], &[entry(1)]).unwrap();
    store.commit(&[account("bob")], &[entry(2)]).unwrap();
    backup(dir.path(), &copy).unwrap();
    drop(store);
    let log = dir.path().join("directory.log");
    let good = std::fs::read(&log).unwrap();
    // A last line that was cut in the middle of a letter.
    std::fs::write(&log, [&good[..], b"{\"turn\":\"\xc3"].concat()).unwrap();
    assert_eq!(check(dir.path()).unwrap().wrong, [""; 0]);
    restore(dir.path(), &copy, Timestamp(5)).unwrap();
    let mut bad = good;
    bad[40] ^= 1;
    std::fs::write(&log, bad).unwrap();
    let wrong = check(dir.path()).unwrap().wrong;
    assert!(wrong[0].contains("line 1 of"), "{wrong:?}");
    let error = format!(
        "{:#}",
        restore(dir.path(), &copy, Timestamp(6)).unwrap_err()
    );
    assert!(error.contains("moved away"), "{error}");
}

#[test]
fn a_restore_that_was_cut_off_is_not_taken_for_a_new_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    store.commit(&[account("alice")], &[entry(1)]).unwrap();
    drop(store);
    backup(dir.path(), &copy).unwrap();
    let database = dir.path().join("river.db");
    for left in ["river.part", "replaced-5-river.db"] {
        std::fs::rename(&database, dir.path().join(left)).unwrap();
        let refused = Store::open(dir.path(), 10).unwrap_err().to_string();
        assert!(refused.contains("a restore was cut off"), "{refused}");
        assert!(!database.exists(), "nothing was made");
        restore(dir.path(), &copy, Timestamp(6_000)).unwrap();
        let (_store, loaded) = Store::open(dir.path(), 10).unwrap();
        assert_eq!(loaded.directory.accounts().count(), 1);
    }
}

/// By hand, as people do, with `cp`.
#[test]
fn a_database_that_was_copied_back_without_asking_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    backup(dir.path(), &copy).unwrap();
    store.commit(&[counters(50, 0)], &[]).unwrap();
    drop(store);
    for log in ["river.db-wal", "river.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(log));
    }
    std::fs::copy(&copy, dir.path().join("river.db")).unwrap();
    let (_store, loaded) = Store::open(dir.path(), 10).unwrap();
    assert!(loaded.went_back && loaded.counters.task > 50);
}

#[test]
fn a_copy_alone_on_a_new_machine_leaves_room_for_what_nobody_knows() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = old.path().join("copy");
    let (mut store, _) = Store::open(old.path(), 10).unwrap();
    store.commit(&[counters(7, 2)], &[]).unwrap();
    backup(old.path(), &copy).unwrap();
    let restored = restore(new.path(), &copy, Timestamp(5)).unwrap();
    assert_eq!(restored.replaced, None);
    let (_store, loaded) = Store::open(new.path(), 10).unwrap();
    assert!(loaded.counters.task > 1_000_000 && loaded.counters.serial > 1_000_000);
    assert!(loaded.counters.epoch > 1);
}

#[test]
fn what_is_no_copy_is_not_put_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    store.commit(&[account("alice")], &[]).unwrap();
    drop(store);
    let bad = dir.path().join("bad");
    let newer = dir.path().join("newer");
    backup(dir.path(), &newer).unwrap();
    let db = rusqlite::Connection::open(&newer).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    for (bytes, words) in [
        (b"".to_vec(), "is no copy of a store"),
        (vec![7; 9000], "is no copy of a store"),
        (std::fs::read(&newer).unwrap(), "upgrade river"),
    ] {
        std::fs::write(&bad, &bytes).unwrap();
        let error = format!("{:#}", restore(dir.path(), &bad, Timestamp(5)).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
    let (_store, loaded) = Store::open(dir.path(), 10).unwrap();
    assert!(!loaded.went_back && loaded.directory.accounts().count() == 1);
}

/// Of the first release's schema, with tasks, boxes, nodes, people.
#[test]
fn a_store_of_the_first_schema_is_brought_up_with_everything_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("river.db");
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(include_str!("../fixtures/v1.sql"))
        .unwrap();
    drop(db);
    let (store, loaded) = Store::open(dir.path(), 10).unwrap();
    let states: Vec<(TaskId, &str)> = loaded
        .tasks
        .iter()
        .map(|task: &std::sync::Arc<Task>| (task.id, task.state.name()))
        .collect();
    assert_eq!(states.len(), 6);
    assert!(states.contains(&(TaskId(4), "failed")) && states.contains(&(TaskId(2), "running")));
    assert_eq!(loaded.counters.task, 6);
    assert_eq!(loaded.nodes.len(), 1);
    assert_eq!(check(dir.path()).unwrap().wrong, [""; 0]);
    drop(store);
    // Once is enough, and a copy of the old schema may be put back, too.
    let (store, _) = Store::open(dir.path(), 10).unwrap();
    drop(store);
    let copy = dir.path().join("copy");
    let db = rusqlite::Connection::open(&copy).unwrap();
    db.execute_batch(include_str!("../fixtures/v1.sql"))
        .unwrap();
    drop(db);
    assert_eq!(restore(dir.path(), &copy, Timestamp(5)).unwrap().tasks, 6);
    assert_eq!(check(dir.path()).unwrap().wrong, [""; 0]);
}

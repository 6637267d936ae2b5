//! A store that is not as it was written is never served silently.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;

use super::{account, entry};
use crate::store::{CommitError, Store, check, look_through};

fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    for number in 0..20 {
        store
            .commit(&[account(&format!("u{number}"))], &[entry(number)])
            .unwrap();
    }
    drop(store);
    dir
}

fn refused(dir: &Path) -> String {
    format!("{:#}", Store::open(dir, 10).unwrap_err())
}

fn change(dir: &Path, sql: &str) {
    let db = Connection::open(dir.join("river.db")).unwrap();
    db.execute_batch(sql).unwrap();
}

#[test]
fn each_reason_not_to_start_has_its_name() {
    let dir = filled();
    change(dir.path(), "PRAGMA user_version = 99");
    assert!(refused(dir.path()).contains("upgrade river"));
    let dir = filled();
    std::fs::write(dir.path().join("river.db"), b"no database").unwrap();
    let error = refused(dir.path());
    assert!(
        error.contains("is damaged: `river-gateway restore"),
        "{error}"
    );
    let dir = filled();
    change(
        dir.path(),
        "UPDATE accounts SET document = replace(document, 'user', 'admin')",
    );
    let error = refused(dir.path());
    assert!(error.contains("not as it was written"), "{error}");
    // Root may write anywhere: only others can be shown a folder that they may not.
    if !nix::unistd::geteuid().is_root() {
        let dir = filled();
        let locked = std::fs::Permissions::from_mode(0o500);
        std::fs::set_permissions(dir.path(), locked).unwrap();
        assert!(refused(dir.path()).contains("cannot be written"));
    }
}

#[test]
fn a_flipped_page_is_found() {
    let dir = filled();
    let path = dir.path().join("river.db");
    let whole = std::fs::read(&path).unwrap();
    // Every page in turn: its begin, where SQLite keeps its structure.
    for page in (0..whole.len()).step_by(4096) {
        let mut bytes = whole.clone();
        for byte in &mut bytes[page..page + 64] {
            *byte ^= 0xa5;
        }
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join("river.db"), &bytes).unwrap();
        if let Ok((_, loaded)) = Store::open(copy.path(), 10) {
            // A page that is not in use, then: nothing is missing.
            assert_eq!(
                loaded.directory.accounts().count(),
                20,
                "page {}",
                page / 4096
            );
            assert_eq!(check(copy.path()).unwrap().wrong, [""; 0]);
        }
    }
}

#[test]
fn a_database_that_was_replaced_under_a_running_gateway_ends_it() {
    let dir = filled();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    let path = dir.path().join("river.db");
    let copy = dir.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    let broken = store.commit(&[account("late")], &[]).unwrap_err();
    assert!(
        matches!(&broken, CommitError::Broken(why) if why.to_string().contains("replaced while it was in use")),
        "{broken}"
    );
}

#[test]
fn the_audit_log_tells_of_every_row_that_was_touched() {
    let dir = filled();
    let clean = check(dir.path()).unwrap();
    assert_eq!((clean.wrong.len(), clean.audit), (0, 20));
    let unlock = "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_deleted;";
    for touch in [
        "UPDATE audit SET verdict = 'denied' WHERE number = 7",
        "UPDATE audit SET at = at + 1 WHERE number = 7",
        "UPDATE audit SET account = 'alic', action = 'etask submit' WHERE number = 7",
        "UPDATE audit SET hash = NULL WHERE number = 7",
        "DELETE FROM audit WHERE number = 7",
        "UPDATE audit SET number = 99 WHERE number = 20",
        "INSERT INTO audit (at, account, action, object, verdict) VALUES (1, 'x', 'x', 'x', 'x')",
    ] {
        let dir = filled();
        change(dir.path(), &format!("{unlock}{touch}"));
        assert_ne!(check(dir.path()).unwrap().wrong.len(), 0, "{touch}");
    }
}

#[test]
fn rows_that_contradict_each_other_are_named() {
    let dir = filled();
    change(
        dir.path(),
        "PRAGMA foreign_keys = 0;
         INSERT INTO keys (fingerprint, account, document) VALUES ('SHA256:x', 'nobody',
           '{\"account\":\"nobody\",\"fingerprint\":\"SHA256:x\",\"algorithm\":\"a\",\"line\":\"l\",\"comment\":\"\",\"added\":1}')",
    );
    let wrong = check(dir.path()).unwrap().wrong;
    assert_eq!(wrong, ["key SHA256:x: there is no account nobody"]);
}

/// On a disk of its own, of a size that it soon has no more.
#[test]
fn a_full_disk_refuses_changes_and_takes_them_again_when_there_is_room() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("not run: a tmpfs of its own needs root");
        return;
    };
    let dir = disk.0.path();
    let (mut store, _) = Store::open(dir, 10).unwrap();
    let ballast = dir.join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let mut told = 0;
    let refusal = loop {
        match store.commit(&[account(&format!("a{told}"))], &[entry(told)]) {
            Ok(()) => told += 1,
            Err(refusal) => break refusal,
        }
        assert!(told < 100_000, "the disk is never full");
    };
    assert!(matches!(refusal, CommitError::Full), "{refusal}");
    std::fs::remove_file(ballast).unwrap();
    store.commit(&[account("later")], &[entry(told)]).unwrap();
    drop(store);
    let (_store, loaded) = Store::open(dir, 10).unwrap();
    assert_eq!(loaded.directory.accounts().count() as u64, told + 1);
}

/// Before the start, and under a gateway that runs.
#[test]
fn a_disk_that_is_read_only_is_named_and_nothing_is_taken_for_kept() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("not run: a tmpfs of its own needs root");
        return;
    };
    let dir = disk.0.path();
    let (mut store, _) = Store::open(dir, 10).unwrap();
    store.commit(&[account("a0")], &[entry(1)]).unwrap();
    drop(store);
    disk.read_only(true);
    let error = refused(dir);
    assert!(error.contains("cannot be written"), "{error}");
    disk.read_only(false);
    let (_store, loaded) = Store::open(dir, 10).unwrap();
    assert_eq!(loaded.directory.accounts().count(), 1);
}

/// More than is looked through before the start: it is looked through while it serves.
#[test]
fn a_large_database_is_looked_through_afterwards() {
    let dir = filled();
    assert!(look_through(dir.path()).is_ok(), "a small one was already");
    let db = Connection::open(dir.path().join("river.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE large (bytes BLOB); CREATE INDEX of_large ON large (bytes);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO large SELECT zeroblob(2000000) FROM n; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .unwrap();
    drop(db);
    assert!(look_through(dir.path()).is_ok());
    let path = dir.path().join("river.db");
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 64 << 20);
    // The page of the first table's root, and all that come after the schema.
    for page in 2..12 {
        bytes[page * 4096..page * 4096 + 64].fill(0xff);
    }
    std::fs::write(&path, bytes).unwrap();
    let error = format!("{:#}", look_through(dir.path()).unwrap_err());
    assert!(error.contains("is damaged"), "{error}");
}

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let none = nix::mount::MsFlags::empty();
        let made = nix::mount::mount(
            Some("none"),
            dir.path(),
            Some("tmpfs"),
            none,
            Some("size=3m"),
        );
        made.is_ok().then_some(Self(dir))
    }

    fn read_only(&self, yes: bool) {
        use nix::mount::MsFlags;
        let flags = MsFlags::MS_REMOUNT
            | if yes {
                MsFlags::MS_RDONLY
            } else {
                MsFlags::empty()
            };
        let none: Option<&str> = None;
        nix::mount::mount(none, self.0.path(), none, flags, none).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = nix::mount::umount(self.0.path());
    }
}

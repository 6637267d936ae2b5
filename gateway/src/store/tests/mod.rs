//! What is committed is there again.

use cluster::Timestamp;
use keys::{Account, Role};

use super::*;
use crate::queries::History;
use crate::state::{AuditEntry, Record};

fn account(name: &str) -> Record {
    let name = name.parse().unwrap();
    Record::Account(Account {
        name,
        role: Role::User,
        disabled: false,
        created: 1,
    })
}

fn entry(number: u64) -> AuditEntry {
    let text = |text: &str| text.to_owned();
    AuditEntry {
        at: Timestamp(number),
        account: text("alice"),
        action: text("task submit"),
        object: text("true"),
        verdict: text("done"),
    }
}

#[test]
fn a_new_life_has_a_higher_epoch_and_everything_committed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, first) = Store::open(dir.path(), 10).unwrap();
    store
        .commit(&[account("alice"), account("bob")], &[entry(1)])
        .unwrap();
    drop(store);
    let (_store, second) = Store::open(dir.path(), 10).unwrap();
    assert_eq!(second.counters.epoch, first.counters.epoch + 1);
    assert_eq!(second.directory.accounts().count(), 2);
    let history = HistoryReader::open(dir.path()).unwrap();
    assert_eq!(history.audit(None, 10).unwrap().len(), 1);
}

#[test]
fn a_second_gateway_is_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, _) = Store::open(dir.path(), 10).unwrap();
    let error = Store::open(dir.path(), 10).unwrap_err().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
}

#[test]
fn the_audit_log_only_grows() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    store.commit(&[], &[entry(1)]).unwrap();
    drop(store);
    let db = rusqlite::Connection::open(dir.path().join("river.db")).unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET verdict = 'x'"] {
        assert!(
            db.execute(sql, [])
                .unwrap_err()
                .to_string()
                .contains("append-only"),
            "{sql}"
        );
    }
}

#[test]
fn a_log_cut_anywhere_loses_only_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), 10).unwrap();
    for number in 0..20 {
        store
            .commit(&[account(&format!("u{number}"))], &[entry(number)])
            .unwrap();
    }
    let (db, wal) = (dir.path().join("river.db"), dir.path().join("river.db-wal"));
    let whole = std::fs::read(&wal).unwrap();
    for cut in (0..whole.len()).step_by(whole.len() / 40) {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(&db, copy.path().join("river.db")).unwrap();
        std::fs::write(copy.path().join("river.db-wal"), &whole[..cut]).unwrap();
        // Either it opens with the first so many commits, or it says that it is damaged.
        if let Ok((_, loaded)) = Store::open(copy.path(), 10) {
            let count = loaded.directory.accounts().count();
            let names: Vec<String> = (0..count).map(|n| format!("u{n}")).collect();
            for name in names {
                assert!(
                    loaded.directory.account(&name.parse().unwrap()).is_some(),
                    "a hole at {name}"
                );
            }
        }
    }
}

#[tokio::test]
async fn output_is_whole_or_not_there() {
    use tunnel::wire::output::OutputFrame;
    let dir = tempfile::tempdir().unwrap();
    let outputs = OutputStore::open(dir.path()).unwrap();
    let attempt = "17.1".parse().unwrap();
    let frames = [
        OutputFrame::Stdout(bytes::Bytes::from_static(b"one")),
        OutputFrame::StderrGap(9),
        OutputFrame::Stdout(bytes::Bytes::from_static(b"two")),
        OutputFrame::End,
    ];
    let mut writer = outputs.create(attempt).await.unwrap();
    for frame in &frames {
        writer.write(frame).await.unwrap();
    }
    assert!(
        outputs.read(attempt).await.unwrap().is_none(),
        "not before it is whole"
    );
    let size = writer.finish().await.unwrap();
    assert_eq!((size.stdout, size.stderr), (6, 9));
    let mut reader = outputs.read(attempt).await.unwrap().unwrap();
    let mut seen = Vec::new();
    while let Some(frame) = reader.next().await.unwrap() {
        seen.push(frame);
    }
    assert_eq!(seen, frames);
}

/// A node's gaps once overflowed the size.
#[tokio::test]
async fn no_gap_is_too_large_to_count() {
    use tunnel::wire::output::OutputFrame;
    let dir = tempfile::tempdir().unwrap();
    let outputs = OutputStore::open(dir.path()).unwrap();
    let mut writer = outputs.create("17.1".parse().unwrap()).await.unwrap();
    for frame in [
        OutputFrame::StdoutGap(u64::MAX),
        OutputFrame::Stdout(bytes::Bytes::from_static(b"one")),
        OutputFrame::StdoutGap(u64::MAX),
        OutputFrame::End,
    ] {
        writer.write(&frame).await.unwrap();
    }
    assert_eq!(writer.finish().await.unwrap().stdout, u64::MAX);
}

mod copies;
mod damage;
mod history;

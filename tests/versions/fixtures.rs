//! Everything that travels or stays on a disk, as each version wrote it: `tests/fixtures/vN/`. Today's code reads
//! all of it, and writes it so that a reader of that version misses nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tunnel::wire::hear::names;
use tunnel::wire::{OLDEST, PROTOCOL, errand, examine, guest, message, session};

/// Reads one value and writes it again.
type Again = fn(&Value) -> Result<Value, serde_json::Error>;

fn again<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(T::deserialize(value)?)
}

/// By the name of the file; each holds a list.
const KINDS: [(&str, Again); 28] = [
    ("to_runner", again::<message::ToRunner>),
    ("from_runner", again::<message::FromRunner>),
    ("join", again::<message::Join>),
    ("joined", again::<message::Joined>),
    ("errand", again::<errand::Errand>),
    ("answer", again::<errand::Answer>),
    // Since version 2: the first wrote none.
    ("question", again::<examine::Question>),
    ("told", again::<examine::Told>),
    ("guest_spec", again::<guest::GuestSpec>),
    ("to_guest", again::<guest::ToGuest>),
    ("from_guest", again::<guest::FromGuest>),
    ("stream_head", again::<guest::StreamHead>),
    ("exit_record", again::<guest::ExitRecord>),
    ("request", again::<session::Request>),
    ("window", again::<session::Window>),
    ("exit", again::<session::Exit>),
    ("listening", again::<session::Listening>),
    ("accepted", again::<session::Accepted>),
    ("journal_taken", again::<runner::journal::Taken>),
    ("journal_seen", again::<runner::journal::Seen>),
    ("journal_result", again::<cluster::Phase>),
    ("row_task", again::<cluster::Task>),
    ("row_node", again::<cluster::Node>),
    ("row_account", again::<keys::Account>),
    ("row_key", again::<keys::AccountKey>),
    ("row_invitation", again::<keys::Invitation>),
    ("row_join_token", again::<keys::JoinToken>),
    ("row_counters", again::<gateway::state::Counters>),
];

pub(crate) fn folder(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/v{version}"))
}

fn read(version: u32, kind: &str) -> Vec<Value> {
    let path = folder(version).join(format!("{kind}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Where `new` lacks something of `old`; `None`: nowhere.
fn lost(old: &Value, new: &Value, at: &str) -> Option<String> {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => old.iter().find_map(|(key, value)| {
            let at = format!("{at}.{key}");
            match new.get(key) {
                Some(new) => lost(value, new, &at),
                None => Some(at),
            }
        }),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            let mut pairs = old.iter().zip(new);
            pairs.find_map(|(old, new)| lost(old, new, at))
        }
        (old, new) => (old != new).then(|| format!("{at}: {old} became {new}")),
    }
}

#[test]
fn what_older_versions_wrote_is_read_and_written_again_without_a_loss() {
    for version in OLDEST..=PROTOCOL {
        for (kind, again) in KINDS {
            for old in read(version, kind) {
                let new =
                    again(&old).unwrap_or_else(|error| panic!("v{version} {kind}: {error}\n{old}"));
                let lost = lost(&old, &new, kind);
                assert_eq!(lost, None, "v{version}: an older peer misses it");
            }
        }
    }
}

/// `BLESS=1` writes what is there, for new fields; new variants are written by hand.
#[test]
fn the_newest_fixtures_are_what_is_written_now() {
    for (kind, again) in KINDS {
        let known = read(PROTOCOL, kind);
        let now: Vec<Value> = known.iter().map(|value| again(value).unwrap()).collect();
        if std::env::var_os("BLESS").is_some() {
            let lines: Vec<String> = now.iter().map(Value::to_string).collect();
            let text = format!("[\n{}\n]\n", lines.join(",\n"));
            std::fs::write(folder(PROTOCOL).join(format!("{kind}.json")), text).unwrap();
        }
        assert!(
            now == known,
            "tests/fixtures/v{PROTOCOL}/{kind}.json is not what is written now: if an older peer may ignore the \
             difference, BLESS=1 cargo test -p river-tests --test versions; else raise PROTOCOL"
        );
    }
}

/// Every word in every fixture of this version.
fn words(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(word) => drop(found.insert(word.clone())),
        Value::Array(list) => list.iter().for_each(|value| words(value, found)),
        Value::Object(object) => {
            for (key, value) in object {
                found.insert(key.clone());
                words(value, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn no_variant_is_without_its_fixture() {
    let mut found = BTreeSet::new();
    for (kind, _) in KINDS {
        words(&Value::Array(read(PROTOCOL, kind)), &mut found);
    }
    let all = [
        names::<message::ToRunner>(),
        names::<message::FromRunner>(),
        names::<message::Joined>(),
        names::<errand::Errand>(),
        names::<errand::Answer>(),
        names::<examine::Question>(),
        names::<examine::Told>(),
        names::<examine::EngineSeen>(),
        names::<guest::GuestUser>(),
        names::<guest::GuestRights>(),
        names::<guest::GuestStdin>(),
        names::<guest::GuestStream>(),
        names::<guest::GuestEnd>(),
        names::<guest::ToGuest>(),
        names::<guest::FromGuest>(),
        names::<session::Request>(),
        names::<session::Place>(),
        names::<session::Exit>(),
        names::<cluster::Wanted>(),
        names::<cluster::StopReason>(),
        names::<cluster::Image>(),
        names::<cluster::Stdin>(),
        names::<cluster::EngineKind>(),
        names::<cluster::EngineHealth>(),
        names::<cluster::TaskState>(),
        names::<keys::Role>(),
    ];
    for names in all {
        assert!(!names.is_empty());
        for name in names {
            assert!(
                found.contains(*name),
                "tests/fixtures/v{PROTOCOL} has no {name}"
            );
        }
    }
}

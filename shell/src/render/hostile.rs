//! Every reply, with hostile words wherever users, nodes and containers may put some.

use std::sync::Arc;

use cluster::{
    EngineKind, Image, Node, NodeFacts, NodeState, Outcome, OutputSize, Resources, Stranger, Task,
    TaskId, TaskSpec, TaskState, Wanted,
};
use keys::Role;

use super::*;
use crate::escape::harmful;
use crate::reply::{
    AccountRow, AuditRow, Hop, KeyRow, NodeRow, Status, TaskRow, Verdict, Why, Wrong,
};

/// An escape sequence, C1, a bidirectional override and isolate, an invisible tag, a forged line.
const HOSTILE: &str =
    "x\x1b]0;owned\x07\u{9b}31m\u{7f}\u{202e}\u{2066}\u{e0041}\u{200b}\t\r\nriver: all is well";

fn task(state: TaskState) -> TaskRow {
    let spec = TaskSpec {
        image: Image::Environment(HOSTILE.into()),
        ..TaskSpec::of(vec![HOSTILE.into(), HOSTILE.into()])
    };
    let ended = state.is_final();
    let task = Task {
        id: TaskId(17),
        name: "brave-otter".parse().unwrap(),
        owner: "alice".parse().unwrap(),
        owner_role: Role::User,
        spec: Arc::new(spec),
        state,
        submitted: Timestamp(40_000),
        spool: None,
        attempt: 2,
        placement: None,
        wanted: Wanted::Run,
        killed_by: None,
        retried: 0,
        started: Some(Timestamp(u64::MAX)),
        ended: ended.then_some(Timestamp(u64::MAX)),
        outcome: ended.then(|| Outcome {
            state,
            code: 125,
            reason: Some(HOSTILE.into()),
        }),
        output: OutputSize {
            stdout: u64::MAX,
            stderr: u64::MAX,
        },
        collected: false,
        note: Some(HOSTILE.into()),
        batch: None,
    };
    TaskRow {
        task: Arc::new(task),
        unreachable_since: Some(Timestamp(60_000)),
        engine_down_since: None,
    }
}

pub(super) fn node() -> NodeRow {
    let facts = NodeFacts {
        cores: vec![0, 1],
        memory: u64::MAX,
        engine: EngineKind::Docker,
        engine_version: HOSTILE.into(),
        open_to: Role::User,
        kernel: HOSTILE.into(),
        arch: HOSTILE.into(),
        runner_version: HOSTILE.into(),
        machine_id: HOSTILE.into(),
        boot_id: HOSTILE.into(),
    };
    let node = Node {
        name: "n1".parse().unwrap(),
        joined: Timestamp(0),
        certificate: 1,
        machine_id: HOSTILE.into(),
        draining: false,
        facts: Some(facts),
        seen: Some(Timestamp(u64::MAX)),
        protocol: 0,
        lost: false,
    };
    NodeRow {
        node: Arc::new(node),
        state: NodeState::Ready,
        used: Resources::default(),
        running: 1,
        since: Some(Timestamp(0)),
        quiet: None,
        missed: None,
        engine_error: Some(HOSTILE.into()),
        engine_down_since: Some(Timestamp(0)),
        unknown: Vec::new(),
        disk: Some(cluster::DiskTrouble {
            what: HOSTILE.into(),
            detail: HOSTILE.into(),
        }),
        strangers: vec![Stranger {
            name: HOSTILE.into(),
            attempt: None,
        }],
    }
}

fn key() -> KeyRow {
    KeyRow {
        account: "alice".parse().unwrap(),
        fingerprint: HOSTILE.into(),
        algorithm: HOSTILE.into(),
        comment: HOSTILE.into(),
        added: Timestamp(0),
        last_used: None,
    }
}

fn account() -> AccountRow {
    AccountRow {
        name: "alice".parse().unwrap(),
        role: Role::User,
        disabled: false,
        keys: 1,
        created: Timestamp(0),
    }
}

fn of_tasks() -> Vec<Reply> {
    let rows = || {
        vec![
            task(TaskState::Running),
            task(TaskState::Failed),
            task(TaskState::Lost),
        ]
    };
    let why = Why {
        row: task(TaskState::Pending),
        reasons: vec![HOSTILE.into()],
        nodes: vec![("n1".parse().unwrap(), HOSTILE.into())],
        starts_by: Some(Timestamp(u64::MAX)),
        position: Some(1),
    };
    vec![
        Reply::Submitted {
            tasks: rows().into_iter().map(|row| row.task).collect(),
            known: Vec::new(),
        },
        Reply::Opened {
            tasks: rows().into_iter().map(|row| row.task).collect(),
            // The gateway's own text.
            private: "-----BEGIN".into(),
        },
        Reply::Tasks {
            rows: rows(),
            more: true,
        },
        Reply::TaskDetails(rows()),
        Reply::Why(why),
        Reply::NodeDetails(Box::new(node()), rows()),
    ]
}

fn of_others() -> Vec<Reply> {
    let status = || Status {
        version: HOSTILE.into(),
        account: Some("alice".parse().unwrap()),
        nodes: vec![
            node(),
            NodeRow {
                state: NodeState::Unreachable,
                ..node()
            },
        ],
        wrong: vec![Wrong {
            what: HOSTILE.into(),
            next: HOSTILE.into(),
        }],
        recent: vec![task(TaskState::Running)],
        ..Status::default()
    };
    let line = AuditRow {
        at: Timestamp(0),
        account: HOSTILE.into(),
        action: HOSTILE.into(),
        object: HOSTILE.into(),
        verdict: HOSTILE.into(),
    };
    vec![
        // Its line breaks are its own.
        Reply::Text(HOSTILE.replace('\n', " ")),
        Reply::Version(HOSTILE.into()),
        Reply::Welcome(status()),
        Reply::Status(status()),
        Reply::Summary(status()),
        Reply::Nodes(vec![node()]),
        Reply::Account(account(), vec![key()]),
        Reply::Keys(vec![key()]),
        Reply::KeyAdded(key()),
        Reply::KeyRemoved {
            fingerprint: HOSTILE.into(),
        },
        Reply::Audit(vec![line]),
        Reply::Doctor(vec![Hop {
            place: HOSTILE.into(),
            what: "link",
            verdict: Verdict::Bad,
            seen: HOSTILE.into(),
            remedy: Some(HOSTILE.into()),
        }]),
    ]
}

/// All the ways to look at something.
fn views() -> Vec<View> {
    let mut views = Vec::new();
    for width in [0, 40, 80, 200] {
        for (format, quiet) in [
            (Format::Text, false),
            (Format::Text, true),
            (Format::Json, false),
        ] {
            views.push(View {
                format,
                quiet,
                pty: width > 0,
                width,
                now: Timestamp(100_000),
            });
        }
    }
    views
}

fn is_harmless(text: &str) {
    let bad = text.chars().find(|c| harmful(*c) && *c != '\n');
    assert_eq!(bad, None, "{text:?}");
    let forged = text.lines().any(|line| line.starts_with("river: all"));
    assert!(!forged, "{text}");
}

#[test]
fn nothing_foreign_drives_the_terminal_in_any_reply() {
    for reply in of_tasks().into_iter().chain(of_others()) {
        for view in views() {
            let shown = render(&reply, &view);
            is_harmless(&shown.stdout);
            is_harmless(&shown.stderr);
            if view.format == Format::Json {
                let value: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
                assert_eq!(shown.stdout.lines().count(), 1);
                assert!(value.is_object());
            }
        }
    }
}

#[test]
fn nothing_foreign_drives_the_terminal_in_a_failure() {
    let failure = Failure::usage(HOSTILE).hint(HOSTILE);
    for view in views() {
        let text = render_failure(&failure, &view);
        is_harmless(&text);
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// It was once written as it came: a C1 byte is no control character to JSON.
#[test]
fn json_says_hostile_words_without_using_them() {
    let json = View {
        format: Format::Json,
        ..views()[0]
    };
    let text = render_failure(&Failure::usage(HOSTILE), &json);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["error"]["message"], HOSTILE);
}

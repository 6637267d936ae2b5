//! What people see.

use std::sync::Arc;
use std::time::Duration;

use cluster::{OutputSize, Task, TaskId, TaskSpec, TaskState, Wanted};
use keys::Role;

use super::*;
use crate::reply::{NodeRow, TaskRow};

const HOSTILE: &str = "x\x1b]0;owned\x07\u{9b}31m\u{202e}\r\nriver: all is well";

fn view(width: u16) -> View {
    View {
        format: Format::Text,
        quiet: false,
        pty: width > 0,
        width,
        now: Timestamp(100_000),
    }
}

fn task() -> Task {
    Task {
        id: TaskId(17),
        name: "brave-otter".parse().unwrap(),
        owner: "alice".parse().unwrap(),
        owner_role: Role::User,
        spec: Arc::new(TaskSpec::of(vec!["echo".into(), HOSTILE.into()])),
        state: TaskState::Running,
        submitted: Timestamp(40_000),
        spool: None,
        attempt: 1,
        placement: None,
        wanted: Wanted::Run,
        killed_by: None,
        retried: 0,
        started: None,
        ended: None,
        outcome: None,
        output: OutputSize::default(),
        collected: false,
        note: Some(HOSTILE.into()),
        batch: None,
    }
}

fn row() -> TaskRow {
    TaskRow {
        task: Arc::new(task()),
        unreachable_since: Some(Timestamp(60_000)),
        engine_down_since: None,
    }
}

#[test]
fn a_listing_fits_eighty_columns() {
    let text = render(
        &Reply::Tasks {
            rows: vec![row()],
            more: false,
        },
        &view(80),
    )
    .stdout;
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn a_silent_node_is_said_beside_the_state() {
    let text = render(&Reply::TaskDetails(vec![row()]), &view(0)).stdout;
    assert!(text.contains("running (node unreachable 40 s)"), "{text}");
}

#[test]
fn json_is_one_object_with_numbers() {
    let json = View {
        format: Format::Json,
        ..view(0)
    };
    let text = render(
        &Reply::Tasks {
            rows: vec![row()],
            more: false,
        },
        &json,
    )
    .stdout;
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["tasks"][0]["id"], 17);
    assert_eq!(value["tasks"][0]["submitted"], "1970-01-01T00:00:40Z");
    assert_eq!(value["tasks"][0]["command"][1], HOSTILE);
}

#[test]
fn quiet_is_ids_only() {
    let quiet = View {
        quiet: true,
        ..view(80)
    };
    let seen = render(
        &Reply::Tasks {
            rows: vec![row()],
            more: false,
        },
        &quiet,
    );
    assert_eq!(
        seen,
        Rendered {
            stdout: "17\n".into(),
            stderr: String::new()
        }
    );
}

/// The line of one node in a listing.
fn listed(row: NodeRow) -> String {
    let text = render(&Reply::Nodes(vec![row]), &view(0)).stdout;
    text.lines().nth(1).unwrap().to_owned()
}

#[test]
fn a_node_is_shown_as_old_as_what_is_known_of_it() {
    let plain = || NodeRow {
        engine_error: None,
        disk: None,
        ..super::hostile::node()
    };
    let quiet = |secs| NodeRow {
        quiet: Some(Duration::from_secs(secs)),
        ..plain()
    };
    assert!(
        listed(quiet(16)).ends_with("now"),
        "a runner speaks every 15 s"
    );
    // What else is wrong with it stands first.
    let silent = listed(quiet(31));
    assert!(silent.ends_with("31s ago"), "{silent}");
    let down = listed(super::hostile::node());
    assert!(down.contains("ready (engine down)"), "{down}");
}

#[test]
fn a_task_on_a_node_whose_engine_is_down_says_so() {
    let row = TaskRow {
        unreachable_since: None,
        engine_down_since: Some(Timestamp(60_000)),
        ..row()
    };
    let tasks = Reply::Tasks {
        rows: vec![row],
        more: false,
    };
    let text = render(&tasks, &view(0)).stdout;
    assert!(text.contains("running (engine down 40 s)"), "{text}");
}

#[test]
fn a_line_of_a_batch_is_answered_in_one_line() {
    let (text, json) = (
        view(0),
        View {
            format: Format::Json,
            ..view(0)
        },
    );
    let tasks = vec![row().task];
    let taken = Ok(Reply::Submitted {
        tasks,
        known: Vec::new(),
    });
    let refused = Err(Failure::not_found("n9\u{1b}[2J: no such node").of_line(7));
    for (number, answer) in [(3, taken), (7, refused)] {
        let seen = render_line(number, &answer, &json);
        let value: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
        assert_eq!(
            (value["line"].as_u64(), seen.stderr),
            (Some(number), String::new())
        );
        let seen = render_line(number, &answer, &text);
        assert_eq!(seen.stdout.matches('\n').count(), 1);
        assert_eq!(seen.stdout == "-\n", answer.is_err());
        assert_eq!(
            seen.stderr.starts_with("river: line 7: n9"),
            answer.is_err()
        );
        assert!(!seen.stderr.contains('\u{1b}'), "{}", seen.stderr);
    }
}

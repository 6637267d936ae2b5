//! What is done about an attempt, step by step.

use std::sync::Arc;

use cluster::{AttemptId, End, StopReason, TaskId, TaskSpec};
use tunnel::wire::guest::{ExitRecord, GuestEnd};

use super::*;

fn attempt(wanted: Wanted, step: Step) -> Attempt {
    let assignment = Assignment {
        attempt: AttemptId {
            task: TaskId(1),
            number: 1,
        },
        owner: "alice".parse().unwrap(),
        spec: Arc::new(TaskSpec {
            time_limit_ms: Some(60_000),
            ..TaskSpec::of(vec!["true".into()])
        }),
        cores: Vec::new(),
        spooled: None,
        wanted,
        keeps_box: false,
    };
    Attempt {
        step,
        ..Attempt::new(assignment)
    }
}

fn ended() -> Step {
    Step::Ended(Phase::Ended {
        started: None,
        ended: Timestamp(1),
        end: End::Exited { code: 0 },
        output: OutputSize::default(),
    })
}

#[test]
fn each_step_has_its_action() {
    let running = || Step::Running {
        started: Timestamp(0),
    };
    let stop = Wanted::Stop(StopReason::Killed);
    let cases = [
        (Wanted::Run, Step::Taken, Some(Action::Start)),
        (stop, Step::Taken, Some(Action::Abandon)),
        (Wanted::Drop, Step::Taken, Some(Action::Drop)),
        (Wanted::Run, running(), None),
        (Wanted::Pause, running(), Some(Action::Freeze(true))),
        (stop, running(), Some(Action::Stop)),
        (
            Wanted::Run,
            Step::Ending { started: None },
            Some(Action::Finish),
        ),
        (Wanted::Run, ended(), Some(Action::Clear)),
        (Wanted::Drop, ended(), Some(Action::Clear)),
    ];
    for (wanted, step, action) in cases {
        let attempt = attempt(wanted, step);
        assert_eq!(next(&attempt, 10_000, Timestamp(1)), action, "{attempt:?}");
        let busy = Attempt {
            busy: true,
            ..attempt
        };
        assert_eq!(
            next(&busy, 10_000, Timestamp(1)),
            None,
            "one thing at a time"
        );
    }
}

#[test]
fn a_guest_that_does_not_stop_its_task_is_helped() {
    let mut attempt = attempt(
        Wanted::Stop(StopReason::Killed),
        Step::Running {
            started: Timestamp(0),
        },
    );
    attempt.stopping = Some(Timestamp(1_000));
    assert_eq!(next(&attempt, 10_000, Timestamp(15_999)), None);
    assert_eq!(
        next(&attempt, 10_000, Timestamp(16_000)),
        Some(Action::Kill)
    );
    let due = |now| deadline(&attempt, 10_000, Timestamp(now));
    assert_eq!(due(15_999), Some(Timestamp(16_000)));
    assert_eq!(due(16_000), None, "it is due, and waits for no clock");
}

#[test]
fn nothing_is_dropped_before_its_box_is_gone() {
    let mut attempt = attempt(Wanted::Drop, ended());
    attempt.cleared = true;
    assert_eq!(next(&attempt, 10_000, Timestamp(1)), Some(Action::Drop));
}

/// An engine that fails is not asked again at once, whatever was asked of it.
#[test]
fn what_failed_waits() {
    let stop = Wanted::Stop(StopReason::Killed);
    let started = Timestamp(0);
    for (wanted, step) in [
        (Wanted::Run, Step::Taken),
        (Wanted::Pause, Step::Running { started }),
        (stop, Step::Running { started }),
        (Wanted::Run, ended()),
    ] {
        let mut attempt = attempt(wanted, step);
        attempt.not_before = Some(Timestamp(500));
        assert_eq!(next(&attempt, 10_000, Timestamp(499)), None);
        let due = deadline(&attempt, 10_000, Timestamp(499));
        assert_eq!(due, Some(Timestamp(500)), "{attempt:?}");
        assert!(next(&attempt, 10_000, Timestamp(500)).is_some());
    }
}

#[test]
fn a_time_limit_holds_without_the_guest() {
    let attempt = attempt(
        Wanted::Run,
        Step::Running {
            started: Timestamp(0),
        },
    );
    assert_eq!(next(&attempt, 10_000, Timestamp(74_999)), None);
    assert_eq!(
        next(&attempt, 10_000, Timestamp(75_000)),
        Some(Action::Kill)
    );
}

#[test]
fn only_a_killed_command_was_killed_for_its_memory() {
    let facts = |end: Option<GuestEnd>, oom| Facts {
        record: end.map(|end| ExitRecord {
            attempt: AttemptId {
                task: TaskId(1),
                number: 1,
            },
            started: Some(1),
            ended: 2,
            end,
            output: OutputSize::default(),
            unwritten: Default::default(),
        }),
        oom,
        stopping: false,
        overdue: false,
        overfull: false,
        started: None,
        output: OutputSize::default(),
        now: Timestamp(3),
    };
    let end = |end, oom| {
        let Phase::Ended { end, .. } = verdict(facts(end, oom)) else {
            panic!("not ended")
        };
        end
    };
    assert_eq!(
        end(Some(GuestEnd::Exited { code: 0 }), true),
        End::Exited { code: 0 }
    );
    assert_eq!(
        end(Some(GuestEnd::Signaled { signal: 9 }), true),
        End::OutOfMemory
    );
    assert_eq!(
        end(Some(GuestEnd::Signaled { signal: 9 }), false),
        End::Signaled { signal: 9 }
    );
    assert_eq!(end(None, true), End::OutOfMemory);
    assert!(matches!(end(None, false), End::Vanished { .. }));
}

/// Whoever is root in the box can write the record.
#[test]
fn a_record_neither_ends_in_the_future_nor_boasts_of_output() {
    let record = ExitRecord {
        attempt: AttemptId {
            task: TaskId(1),
            number: 1,
        },
        started: Some(u64::MAX),
        ended: 0,
        end: GuestEnd::Exited { code: 0 },
        output: OutputSize {
            stdout: u64::MAX,
            stderr: 3,
        },
        unwritten: Default::default(),
    };
    let phase = verdict(Facts {
        record: Some(record),
        oom: false,
        stopping: false,
        overdue: false,
        overfull: false,
        started: None,
        output: OutputSize {
            stdout: 7,
            stderr: 9,
        },
        now: Timestamp(100),
    });
    let expected = Phase::Ended {
        started: Some(Timestamp(100)),
        ended: Timestamp(100),
        end: End::Exited { code: 0 },
        output: OutputSize {
            stdout: 7,
            stderr: 3,
        },
    };
    assert_eq!(phase, expected);
}

#[test]
fn a_pause_behind_rivers_back_is_taken_back_and_a_guests_own_is_not_unseen() {
    let running = |wanted| {
        let started = Timestamp(0);
        attempt(wanted, Step::Running { started })
    };
    let mut attempt = running(Wanted::Run);
    attempt.seen_frozen(true);
    assert!(matches!(attempt.phase(), Phase::Paused { .. }));
    assert_eq!(
        next(&attempt, 1_000, Timestamp(5)),
        Some(Action::Freeze(false))
    );
    attempt.seen_frozen(false);
    assert_eq!(next(&attempt, 1_000, Timestamp(5)), None);
    // The process engine shows nothing of it.
    let mut attempt = running(Wanted::Pause);
    attempt.frozen = true;
    attempt.seen_frozen(false);
    assert_eq!(next(&attempt, 1_000, Timestamp(5)), None);
}

#[test]
fn nobody_meddles_with_the_freezer_of_a_box_that_is_copied() {
    let running = Step::Running {
        started: Timestamp(0),
    };
    let stop = Wanted::Stop(StopReason::Halted);
    for (wanted, frozen, then) in [
        (Wanted::Run, false, None),
        (Wanted::Run, true, Some(Action::Freeze(false))),
        (Wanted::Pause, false, Some(Action::Freeze(true))),
        (Wanted::Pause, true, None),
        (stop, false, Some(Action::Stop)),
        (stop, true, Some(Action::Stop)),
    ] {
        let mut copied = attempt(wanted, running.clone());
        copied.frozen = frozen;
        copied.copied = true;
        let meanwhile = matches!(wanted, Wanted::Stop(_)).then_some(Action::Stop);
        assert_eq!(next(&copied, 10_000, Timestamp(1)), meanwhile, "{wanted:?}");
        copied.copied = false;
        assert_eq!(next(&copied, 10_000, Timestamp(1)), then, "{wanted:?}");
    }
}

//! After a restart: what became of an attempt that was taken before. Pure.

use cluster::{End, Phase, Timestamp, Wanted};

use super::{Attempt, Step};
use crate::engine::BoxState;
use crate::journal::Found;

/// What the disk and the engine say.
#[derive(Clone, Copy, Debug)]
pub struct Adopted {
    /// The command began.
    pub begun: bool,
    /// The guest left its last word.
    pub record: bool,
    /// The machine was started anew since.
    pub rebooted: bool,
    /// What the engine has of it.
    pub seen: Option<BoxState>,
    pub output: cluster::OutputSize,
}

/// The attempt as it stands now. What began is never begun again; what did not waits for a list that names it.
#[must_use]
pub fn adopt(found: &Found, what: Adopted, now: Timestamp) -> Attempt {
    let mut attempt = Attempt::new(found.taken.assignment.clone());
    attempt.unheard = true;
    if let Some(result) = &found.result {
        attempt.step = Step::Ended(result.clone());
        return attempt;
    }
    let running = matches!(what.seen, Some(BoxState::Running | BoxState::Paused));
    let stops = matches!(attempt.assignment.wanted, Wanted::Stop(_) | Wanted::Drop);
    attempt.seen_frozen(what.seen == Some(BoxState::Paused));
    attempt.step = if what.record {
        Step::Ending { started: None }
    } else if running {
        // Also after a reboot: it was taken before, and begun since.
        Step::Running { started: now }
    } else if what.rebooted && what.begun && !stops {
        Step::Ended(Phase::Ended {
            started: None,
            ended: now,
            end: End::Vanished {
                reason: "the node rebooted".to_owned(),
            },
            output: what.output,
        })
    } else if what.begun {
        // Its end may be our own kill, if it was to stop.
        attempt.stopping = stops.then_some(now);
        Step::Ending { started: None }
    } else {
        // Never began: the guest's mark on the disk would be there.
        Step::Taken
    };
    attempt
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster::{Assignment, AttemptId, OutputSize, StopReason, TaskId, TaskSpec, Wanted};

    use super::*;
    use crate::journal::Taken;
    use crate::workloads::{Action, next};

    fn found() -> Found {
        let assignment = Assignment {
            attempt: AttemptId {
                task: TaskId(1),
                number: 1,
            },
            owner: "alice".parse().unwrap(),
            spec: Arc::new(TaskSpec::of(vec!["true".into()])),
            cores: Vec::new(),
            spooled: None,
            wanted: Wanted::Run,
            keeps_box: false,
        };
        Found {
            taken: Taken {
                assignment,
                boot_id: "b".into(),
            },
            result: None,
        }
    }

    /// Taken before a reboot and begun after it, it was ended by the next start of its runner.
    #[test]
    fn what_runs_runs_on_also_where_it_was_taken_before_a_reboot() {
        let what = Adopted {
            begun: true,
            record: false,
            rebooted: true,
            seen: Some(BoxState::Running),
            output: OutputSize::default(),
        };
        let step = adopt(&found(), what, Timestamp(5)).step;
        let started = Timestamp(5);
        assert_eq!(step, Step::Running { started });
    }

    /// A runner that fell between its kill and the reading of the end said that the container ended without a word, and
    /// a task that somebody had killed was lost.
    /// … and so was one whose machine was started anew just then (the simulation, seed 2166).
    #[test]
    fn what_was_to_stop_and_is_gone_was_stopped() {
        let stop = Wanted::Stop(StopReason::Killed);
        for (wanted, rebooted, stopped) in [
            (Wanted::Run, false, false),
            (stop, false, true),
            (stop, true, true),
        ] {
            let what = Adopted {
                begun: true,
                record: false,
                rebooted,
                seen: Some(BoxState::Exited { oom: false }),
                output: OutputSize::default(),
            };
            let mut found = found();
            found.taken.assignment.wanted = wanted;
            let attempt = adopt(&found, what, Timestamp(5));
            assert_eq!(attempt.step, Step::Ending { started: None });
            assert_eq!(attempt.stopping.is_some(), stopped);
        }
    }

    #[test]
    fn what_did_not_begin_waits_for_the_gateways_word() {
        let what = Adopted {
            begun: false,
            record: false,
            rebooted: true,
            seen: None,
            output: OutputSize::default(),
        };
        let said = |wanted| Assignment {
            wanted,
            ..found().taken.assignment
        };
        let then = |heard: &[Wanted]| {
            let mut attempt = adopt(&found(), what, Timestamp(5));
            for wanted in heard {
                attempt.hear(&said(*wanted));
            }
            next(&attempt, 10_000, Timestamp(6))
        };
        assert_eq!(then(&[]), None, "it may be over, or be done elsewhere");
        assert_eq!(then(&[Wanted::Run]), Some(Action::Start));
        assert_eq!(then(&[Wanted::Pause]), Some(Action::Start));
        let fenced = Wanted::Stop(StopReason::Fenced);
        assert_eq!(then(&[fenced]), Some(Action::Abandon));
        assert_eq!(then(&[fenced, Wanted::Drop]), Some(Action::Drop));
    }

    #[test]
    fn what_began_is_never_begun_again() {
        let boxes = [
            None,
            Some(BoxState::Created),
            Some(BoxState::Running),
            Some(BoxState::Paused),
            Some(BoxState::Exited { oom: false }),
        ];
        for seen in boxes {
            for bits in 0..8 {
                let (begun, record, rebooted) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
                let what = Adopted {
                    begun,
                    record,
                    rebooted,
                    seen,
                    output: OutputSize::default(),
                };
                let step = adopt(&found(), what, Timestamp(5)).step;
                let again = matches!(step, Step::Taken);
                assert!(!(again && (begun || record)), "{what:?}: {step:?}");
            }
        }
    }
}

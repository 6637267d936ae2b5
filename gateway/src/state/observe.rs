//! What a node says is true, and what follows from it.

use std::collections::BTreeSet;

use cluster::{
    AttemptId, AttemptReport, End, Observation, OutputSize, Phase, StopReason, Task, TaskEvent,
    TaskState, Timestamp, Wanted,
};
use keys::NodeName;
use shell::render::units::bytes;

use super::{AuditEntry, Effect, LinkId, State};

/// Letters that a node may say of its disk, or of what it prepares.
pub(super) const WORDS: usize = 200;

impl State {
    pub(super) fn on_observed(
        &mut self,
        node: &NodeName,
        link: LinkId,
        seen: Observation,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        // What an older connection still says is not the newest truth.
        let Some(known) = self.links.get(node).filter(|known| known.id == link) else {
            return;
        };
        let heard = known.heard(&seen);
        // What says nothing new changes nothing: nobody is woken by it.
        if heard != *known {
            self.links.insert(node.clone(), heard);
        }
        if !self.heard.contains(node) {
            self.heard.insert(node.clone());
        }
        for report in &seen.attempts {
            self.on_report(node, report, now, out);
        }
        self.missing(node, &seen, now, out);
        self.end_deleted(node, &seen, out);
    }

    fn on_report(
        &mut self,
        node: &NodeName,
        report: &AttemptReport,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let attempt = report.attempt;
        let Some(task) = self.tasks.get(&attempt.task) else {
            return self.on_unknown(node, report, out);
        };
        let here = task.placement.as_ref().is_some_and(|p| p.node == *node);
        let mut task = (**task).clone();
        if here && self.is_doubted(&task) {
            self.confirm(&mut task, attempt, out);
        }
        let current = here && task.current() == Some(attempt);
        if task.placement.is_some() && !here && task.current() == Some(attempt) {
            // A number is given once in a life: this one was given in a life that a restore took back.
            return self.on_unknown(node, report, out);
        }
        if !current {
            return self.on_stale(node, &task, report, now, out);
        }
        if task.state.is_final() {
            // Given up, or killed, while its node was away: it may still run there.
            let ended = matches!(report.phase, Phase::Ended { .. });
            if task.state == TaskState::Lost || !ended {
                return self.on_stale(node, &task, report, now, out);
            }
            if task.collected {
                self.fence(node, attempt, Wanted::Drop, out);
            } else {
                out.push(Effect::Collect {
                    node: node.clone(),
                    attempt,
                });
            }
            return;
        }
        match &report.phase {
            Phase::Preparing { note } => self.on_preparing(task, note, out),
            // A node's clock may be wrong: nothing has begun after now.
            Phase::Running { started } => {
                self.on_running(task, (*started).min(now), TaskEvent::Resumed, out);
            }
            Phase::Paused { started } => {
                self.on_running(task, (*started).min(now), TaskEvent::Paused, out);
            }
            Phase::Ended {
                started,
                ended,
                end,
                output,
            } => {
                let (started, ended) = (started.map(|at| at.min(now)), (*ended).min(now));
                self.on_ended(task, (started, ended), end, *output, now, out);
            }
        }
    }

    fn on_preparing(&mut self, mut task: Task, note: &str, out: &mut Vec<Effect>) {
        if task.note.as_deref() == Some(note) || note.is_empty() {
            return;
        }
        task.note = Some(note.chars().take(WORDS).collect());
        self.put(task, out);
    }

    /// `event` moves between running and paused, if the task is on the other side.
    fn on_running(
        &mut self,
        mut task: Task,
        started: Timestamp,
        event: TaskEvent,
        out: &mut Vec<Effect>,
    ) {
        let before = task.state;
        if let Ok(state) = cluster::task::next(task.state, TaskEvent::Started) {
            task.state = state;
            task.started = Some(started);
            task.note = None;
        }
        if let Ok(state) = cluster::task::next(task.state, event) {
            task.state = state;
        }
        if task.state != before {
            self.put(task, out);
        }
    }

    fn on_ended(
        &mut self,
        mut task: Task,
        (started, ended): (Option<Timestamp>, Timestamp),
        end: &End,
        output: OutputSize,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        if task.is_vps() {
            if task.state.holds_resources() {
                self.on_box_ended(task, (started, ended), end, now, out);
            }
            return;
        }
        task.started = started.or(task.started);
        task.output = output;
        if self.retry(&task, end.event(), now, out) {
            return;
        }
        let node = task.placement.as_ref().map(|p| p.node.clone());
        let attempt = task.current();
        let reason = match (end, &task.killed_by) {
            (End::Stopped, Some(by)) => Some(format!("by {by}")),
            // TERM reached it, and it was not river's.
            (End::Stopped, None) => Some("on its node, not by river".to_owned()),
            (End::OutOfMemory, _) if task.spec.memory > 0 => {
                let limit = bytes(task.spec.memory);
                Some(format!("it wanted more memory than its limit of {limit}"))
            }
            _ => end.reason(),
        };
        // Never before its start.
        let ended = ended.max(task.started.unwrap_or_default());
        self.finish(task, end.event(), end.code(), reason, ended, out);
        if let (Some(node), Some(attempt)) = (node, attempt) {
            out.push(Effect::Collect { node, attempt });
        }
    }

    /// Starts over, if the spec allows it for this end. The old attempt is told to go.
    pub(super) fn retry(
        &mut self,
        task: &Task,
        event: TaskEvent,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> bool {
        let allowed = match event {
            TaskEvent::ExitedNonzero | TaskEvent::OutOfMemory => task.retried < task.spec.retries,
            TaskEvent::NodeLost => {
                task.spec.retry_on_lost && task.retried < cluster::task::limits::RETRIES
            }
            TaskEvent::Approved
            | TaskEvent::Refused
            | TaskEvent::Placed
            | TaskEvent::Started
            | TaskEvent::Paused
            | TaskEvent::Resumed
            | TaskEvent::ExitedZero
            | TaskEvent::OutOfTime
            | TaskEvent::Cancelled
            | TaskEvent::Halted
            | TaskEvent::Restarted
            | TaskEvent::Retry => false,
        };
        let stopping = matches!(task.wanted, Wanted::Stop(_)) || task.killed_by.is_some();
        if !allowed || stopping || task.spec.stdin.streams() {
            return false;
        }
        let Ok(state) = cluster::task::next(task.state, TaskEvent::Retry) else {
            return false;
        };
        let lost = event == TaskEvent::NodeLost;
        let wanted = if lost {
            Wanted::Stop(StopReason::Fenced)
        } else {
            Wanted::Drop
        };
        let placement = task.placement.clone();
        let attempt = task.current();
        let mut next = task.clone();
        next.state = state;
        next.retried += 1;
        next.placement = None;
        next.started = None;
        next.wanted = Wanted::Run;
        next.output = OutputSize::default();
        self.put(next, out);
        out.push(Effect::Audit(AuditEntry {
            at: now,
            account: "river".to_owned(),
            action: "task retry".to_owned(),
            object: task.id.to_string(),
            verdict: if lost {
                "its node was lost".to_owned()
            } else {
                "it failed".to_owned()
            },
        }));
        if let (Some(placement), Some(attempt)) = (placement, attempt) {
            self.fence(&placement.node, attempt, wanted, out);
        }
        true
    }

    /// An attempt that is not the task's present one: it must end, and then go.
    fn on_stale(
        &mut self,
        node: &NodeName,
        task: &Task,
        report: &AttemptReport,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        // A higher number than ours was given by a life of the gateway that a restore took back.
        if report.attempt.number > task.attempt {
            return self.on_unknown(node, report, out);
        }
        let ended = matches!(report.phase, Phase::Ended { .. });
        let wanted = if ended {
            Wanted::Drop
        } else {
            Wanted::Stop(StopReason::Fenced)
        };
        let known = self
            .fenced
            .get(node)
            .and_then(|set| set.get(&report.attempt))
            .copied();
        if known.is_some_and(|(known, _)| known == wanted) {
            return;
        }
        if ended {
            out.push(Effect::Audit(AuditEntry {
                at: now,
                account: node.to_string(),
                action: "late report".to_owned(),
                object: report.attempt.to_string(),
                verdict: "noted, not believed".to_owned(),
            }));
        }
        self.fence(node, report.attempt, wanted, out);
    }

    pub(super) fn fence(
        &mut self,
        node: &NodeName,
        attempt: AttemptId,
        wanted: Wanted,
        out: &mut Vec<Effect>,
    ) {
        self.first.remove(&attempt);
        let known = self.fenced.get(node).and_then(|set| set.get(&attempt));
        if known.is_some_and(|(known, _)| *known == wanted) {
            return;
        }
        self.publish(node, out);
        let version = self.version(node);
        self.fenced
            .entry(node.clone())
            .or_default()
            .insert(attempt, (wanted, version));
    }

    /// What the node should have reported and did not.
    fn missing(
        &mut self,
        node: &NodeName,
        seen: &Observation,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        // What is not understood is said all the same: it stands as it did, until this gateway is upgraded.
        let reported = seen.attempts.iter().map(|report| report.attempt);
        let told: BTreeSet<AttemptId> = reported.chain(seen.unread.iter().copied()).collect();
        if let Some(set) = self.fenced.get(node) {
            let over = |(attempt, (_, version)): &(&AttemptId, &(Wanted, u64))| {
                let over = !told.contains(attempt) && !seen.shows_box(attempt.task);
                over && *version <= seen.version
            };
            let over: Vec<AttemptId> = set.iter().filter(over).map(|(a, _)| *a).collect();
            if let Some(set) = self.fenced.get_mut(node).filter(|_| !over.is_empty()) {
                for attempt in over {
                    set.remove(&attempt);
                }
            }
        }
        self.forget_gone(node);
        let epoch = self.counters.epoch << 32;
        let placed = self.placed.get(node).into_iter().flatten();
        let gone: Vec<Task> = placed
            .filter_map(|id| self.tasks.get(id))
            .filter(|task| {
                task.current().is_some_and(|attempt| {
                    let first = self.first.get(&attempt).copied().unwrap_or(epoch + 1);
                    // What is in doubt was never sent in this life: the node's first word decides.
                    !told.contains(&attempt) && (seen.version >= first || self.is_doubted(task))
                })
            })
            .map(|task| (**task).clone())
            .collect();
        for task in gone {
            let why = match self.is_doubted(&task) {
                true => "the store was put back from a copy, and the node no longer knows it",
                false => "the node no longer knows it",
            };
            self.on_gone(task, why, now, out);
        }
    }

    /// An attempt that can never be heard of again.
    pub(super) fn on_gone(
        &mut self,
        mut task: Task,
        why: &str,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let halted = matches!(
            task.wanted,
            Wanted::Stop(StopReason::Halted | StopReason::Restarted)
        );
        if task.is_vps() && task.state == TaskState::Assigning && halted {
            // The list that began it never came there: its disk is as its last life left it.
            self.on_never_begun(task, out);
            return;
        }
        task.collected = true;
        if task.state.is_final() {
            // The result was believed; its output can no longer be had.
            self.put(task, out);
        } else if !self.retry(&task, TaskEvent::NodeLost, now, out) {
            let killed = matches!(task.wanted, Wanted::Stop(StopReason::Killed));
            let (event, code) = if killed {
                (TaskEvent::Cancelled, 137)
            } else {
                (TaskEvent::NodeLost, 125)
            };
            let by = task.killed_by.as_ref().map(|by| format!("by {by}"));
            let reason = by.filter(|_| killed).unwrap_or_else(|| why.to_owned());
            self.finish(task, event, code, Some(reason), now, out);
        }
    }
}

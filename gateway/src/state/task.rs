//! Kill, pause, resume, and the end of what somebody no longer waits for.

use std::sync::Arc;

use cluster::{
    AttemptId, Outcome, OutputSize, Spool, StopReason, Task, TaskEvent, TaskId, TaskState,
    Timestamp, Wanted,
};
use keys::Actor;
use shell::command::TaskRef;
use shell::{Change, Failure, Kind, Reply};

use super::{AuditEntry, Effect, State, submit};

impl State {
    pub(super) fn on_kill(
        &mut self,
        actor: &Actor,
        tasks: &[TaskRef],
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let found = self.live(tasks, "killed")?;
        if let Some(vps) = found.iter().find(|task| task.is_vps()) {
            let sentence = format!("{} is a VPS, not a task", vps.label());
            return Err(Failure::usage(sentence).hint(format!(
                "`vps stop {0}` ends what runs in it, `vps delete {0}` removes it",
                vps.id.0
            )));
        }
        for task in &found {
            self.kill(task, actor, now, out);
        }
        // Its node does it; what waits is over now.
        let runs = found.iter().any(|task| task.state.holds_resources());
        Ok(changed(if runs { "killing" } else { "killed" }, &found))
    }

    /// All of them, none of them final.
    fn live(&self, tasks: &[TaskRef], verb: &str) -> Result<Vec<Arc<Task>>, Failure> {
        let mut found: Vec<Arc<Task>> = Vec::new();
        for wanted in tasks {
            let task = self.resolve(wanted)?;
            if task.state.is_final() {
                let (label, state) = (task.label(), task.state);
                let sentence = format!("{label} cannot be {verb}: it has ended ({state})");
                return Err(Failure::new(Kind::Failed, sentence)
                    .hint(format!("`{}` shows its end", status_of(&task))));
            }
            if !found.iter().any(|other| other.id == task.id) {
                found.push(task);
            }
        }
        Ok(found)
    }

    fn kill(&mut self, task: &Task, actor: &Actor, now: Timestamp, out: &mut Vec<Effect>) {
        let mut task = task.clone();
        task.killed_by.get_or_insert_with(|| actor.account.clone());
        if task.state.holds_resources() {
            // Its node stops it; the end is believed when the node has seen it.
            task.wanted = Wanted::Stop(StopReason::Killed);
            let node = task.placement.as_ref().map(|p| p.node.clone());
            self.put(task, out);
            if let Some(node) = node {
                self.publish(&node, out);
            }
        } else {
            let by = actor.account.to_string();
            self.finish(
                task,
                TaskEvent::Cancelled,
                137,
                Some(format!("by {by}")),
                now,
                out,
            );
        }
    }

    pub(super) fn on_caller_gone(
        &mut self,
        id: TaskId,
        actor: &Actor,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(task) = self
            .tasks
            .get(&id)
            .filter(|task| !task.state.is_final())
            .cloned()
        else {
            return;
        };
        out.push(Effect::Audit(AuditEntry {
            at: now,
            account: actor.account.to_string(),
            action: "task run".to_owned(),
            object: id.to_string(),
            verdict: "caller gone: stopping".to_owned(),
        }));
        self.kill(&task, actor, now, out);
    }

    pub(super) fn on_freeze(
        &mut self,
        tasks: &[TaskRef],
        freeze: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let verb = if freeze { "paused" } else { "resumed" };
        let found = self.live(tasks, verb)?;
        for task in &found {
            // Pausing what is paused, and resuming what runs, is fine: it is so already.
            let fits = match task.state {
                TaskState::Running | TaskState::Paused => true,
                TaskState::Assigning => !freeze,
                TaskState::PendingApproval
                | TaskState::Pending
                | TaskState::Completed
                | TaskState::Failed
                | TaskState::TimedOut
                | TaskState::Killed
                | TaskState::KilledOom
                | TaskState::Rejected
                | TaskState::Stopped
                | TaskState::Lost => false,
            };
            let ending = matches!(task.wanted, Wanted::Stop(_) | Wanted::Drop);
            if !fits || ending {
                let state = if ending {
                    "being stopped"
                } else {
                    task.state.name()
                };
                let sentence = format!("{} cannot be {verb}: it is {state}", task.label());
                return Err(Failure::new(Kind::Failed, sentence)
                    .hint(format!("`{}` shows it", status_of(task))));
            }
        }
        for task in &found {
            let mut task = (**task).clone();
            task.wanted = if freeze { Wanted::Pause } else { Wanted::Run };
            let node = task.placement.as_ref().map(|p| p.node.clone());
            self.put(task, out);
            if let Some(node) = node {
                self.publish(&node, out);
            }
        }
        // Its node does it, now or when it is back.
        let verb = if freeze { "pausing" } else { "resuming" };
        Ok(changed(verb, &found))
    }

    /// Its runner asked for the input, and would ask for ever.
    pub(super) fn on_input_gone(
        &mut self,
        attempt: AttemptId,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let task = self.of(attempt);
        let Some(task) = task.filter(|task| task.state == TaskState::Assigning) else {
            return;
        };
        let mut task = (**task).clone();
        // It never began.
        task.collected = true;
        let node = task.placement.as_ref().map(|p| p.node.clone());
        let why = "its input is no longer there: submit it again".to_owned();
        self.finish(task, TaskEvent::ExitedNonzero, 125, Some(why), now, out);
        if let Some(node) = node {
            self.fence(&node, attempt, Wanted::Drop, out);
        }
    }

    /// Makes a task final. Whatever holds it on a node is dealt with by the caller.
    pub(super) fn finish(
        &mut self,
        mut task: Task,
        event: TaskEvent,
        code: u8,
        reason: Option<String>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Ok(state) = cluster::task::next(task.state, event) else {
            return;
        };
        task.state = state;
        task.note = None;
        task.ended = Some(now);
        task.outcome = Some(Outcome {
            state,
            code,
            reason,
        });
        // Nothing ran: nothing to fetch.
        task.collected = task.collected || task.placement.is_none();
        if let Some(spool) = &task.spool
            && !self.others_need(&task, spool)
        {
            out.push(Effect::DropSpool(spool.file.clone()));
        }
        self.put(task, out);
    }

    /// Tasks of one submit, for several targets, have one input. Their numbers follow each other.
    fn others_need(&self, task: &Task, spool: &Spool) -> bool {
        let far = cluster::task::limits::BATCH as u64;
        let near = TaskId(task.id.0.saturating_sub(far))..=TaskId(task.id.0.saturating_add(far));
        self.tasks.range(near).any(|(id, other)| {
            *id != task.id && !other.state.is_final() && other.spool.as_ref() == Some(spool)
        })
    }

    /// Whose attempt this is, unless it has another one by now.
    fn of(&self, attempt: AttemptId) -> Option<&Arc<Task>> {
        let task = self.tasks.get(&attempt.task)?;
        (task.current() == Some(attempt)).then_some(task)
    }

    pub(super) fn on_collected(
        &mut self,
        attempt: AttemptId,
        output: OutputSize,
        out: &mut Vec<Effect>,
    ) {
        let task = self.of(attempt);
        let Some(task) = task.filter(|task| task.state.is_final() && !task.collected) else {
            return;
        };
        let mut task = (**task).clone();
        task.collected = true;
        task.output = output;
        let node = task.placement.as_ref().map(|p| p.node.clone());
        self.put(task, out);
        self.first.remove(&attempt);
        if let Some(node) = node {
            self.fence(&node, attempt, Wanted::Drop, out);
        }
    }
}

/// What was asked of tasks and boxes.
pub(super) fn changed(verb: &'static str, found: &[Arc<Task>]) -> Reply {
    let found = found.to_vec();
    Reply::Changed { verb, found }
}

/// For the audit log: what was meant by what was typed, `vps-2 web, task-7 brave-otter`.
pub(super) fn meant(done: &Result<Reply, Failure>, typed: String) -> String {
    if let Ok(Reply::Submitted { tasks, known }) = done {
        return submit::about(tasks, known, typed);
    }
    let Ok(Reply::Changed { found, .. }) = done else {
        return typed;
    };
    let names = found
        .iter()
        .map(|task| format!("{} {}", task.label(), task.name));
    names.collect::<Vec<_>>().join(", ")
}

/// What to type to see it.
fn status_of(task: &Task) -> String {
    let noun = if task.is_vps() { "vps" } else { "task" };
    format!("{noun} status {}", task.id.0)
}

/// All or none: who named several is told that it was none.
pub(super) fn of_several(change: &Change, failure: Failure) -> Failure {
    let (named, verb) = match change {
        Change::TaskKill { tasks } => (tasks, "killed"),
        Change::TaskPause { tasks } => (tasks, "paused"),
        Change::TaskResume { tasks } => (tasks, "resumed"),
        Change::VpsStop { boxes } => (boxes, "stopped"),
        Change::VpsRestart { boxes } => (boxes, "restarted"),
        Change::VpsDelete { boxes } => (boxes, "deleted"),
        Change::Submit(_)
        | Change::VpsRename { .. }
        | Change::NodeInvite { .. }
        | Change::NodeDrain { .. }
        | Change::NodeUndrain { .. }
        | Change::NodeRemove { .. }
        | Change::NodeForget { .. }
        | Change::Invite { .. }
        | Change::KeyAdd { .. }
        | Change::KeyRemove { .. }
        | Change::UserRole { .. }
        | Change::UserDisable { .. } => return failure,
    };
    if named.len() < 2 {
        return failure;
    }
    let hint = failure.hint.map(|hint| format!("; {hint}"));
    Failure {
        hint: Some(format!("nothing was {verb}{}", hint.unwrap_or_default())),
        ..failure
    }
}

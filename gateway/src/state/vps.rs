//! Boxes that stay: stopped, started again on the same disk, renamed, deleted; and what their ends mean.

use std::sync::Arc;

use cluster::{End, StopReason, Task, TaskEvent, TaskName, TaskState, Timestamp, Wanted};
use keys::Actor;
use shell::command::TaskRef;
use shell::{Failure, Kind, Reply};

use super::task::changed;
use super::{Effect, State};

/// A box that ended by itself sooner after its start than this, in milliseconds, failed quickly.
const QUICK: u64 = 10_000;
/// After so many quick failures in a row it is left stopped.
const QUICK_FAILURES: u32 = 3;
/// Login names that lead elsewhere, or that every laptop sends; host names by which a gateway is reached.
const TAKEN: [&str; 7] = [
    "root",
    "admin",
    "node",
    "join",
    "river",
    "localhost",
    "gateway",
];
const PREFIXES: [&str; 4] = ["task-", "vps-", "invite-", "node-"];

impl State {
    /// A name that may be typed as a login name.
    pub(super) fn check_vps_name(&self, name: &TaskName) -> Result<(), Failure> {
        let text = name.as_str();
        let account = text
            .parse()
            .is_ok_and(|account| self.directory.account(&account).is_some());
        let why = if account {
            "an account has this name"
        } else if text.contains('.') {
            "a box's name has no dot: it would stand for that host in ~/.ssh/config"
        } else if self.is_reserved(text) {
            "this name is reserved"
        } else {
            return Ok(());
        };
        Err(Failure::new(Kind::Failed, format!("{name}: {why}")).hint("choose another"))
    }

    /// In a `Host` line it would lead into a box who meant another machine, or this gateway. ssh heeds no case there.
    #[must_use]
    pub fn is_reserved(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let host = self.settings.address.0.to_ascii_lowercase();
        let short = host.split('.').next();
        name.contains('.')
            || name == host
            || short == Some(&name)
            || TAKEN.contains(&name.as_str())
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    }

    /// The box that is meant, which has not been deleted.
    fn vps(&self, wanted: &TaskRef) -> Result<Arc<Task>, Failure> {
        let task = self.resolve(wanted)?;
        if !task.is_vps() {
            return Err(
                Failure::usage(format!("{} is a task, not a VPS", task.label()))
                    .hint(format!("`task status {}` shows it", task.id.0)),
            );
        }
        if task.state.is_final() {
            return Err(Failure::new(
                Kind::NotFound,
                format!("{} is gone ({})", task.label(), task.state),
            )
            .hint("`vps list` shows yours"));
        }
        Ok(task)
    }

    fn boxes(&self, wanted: &[TaskRef]) -> Result<Vec<Arc<Task>>, Failure> {
        let mut found: Vec<Arc<Task>> = Vec::new();
        for wanted in wanted {
            let vps = self.vps(wanted)?;
            if !found.iter().any(|other| other.id == vps.id) {
                found.push(vps);
            }
        }
        Ok(found)
    }

    pub(super) fn on_vps_stop(
        &mut self,
        boxes: &[TaskRef],
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let found = self.boxes(boxes)?;
        for vps in &found {
            if vps.state == TaskState::Pending {
                self.settle(vps, TaskEvent::Halted, None, out);
            } else if vps.state.holds_resources() {
                self.want(vps, Wanted::Stop(StopReason::Halted), out);
            }
        }
        Ok(changed("stopping", &found))
    }

    pub(super) fn on_vps_restart(
        &mut self,
        boxes: &[TaskRef],
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let found = self.boxes(boxes)?;
        for vps in &found {
            if vps.state == TaskState::Stopped {
                let mut fresh = (**vps).clone();
                fresh.retried = 0;
                self.start_again(fresh, TaskEvent::Restarted, out);
            } else if vps.state.holds_resources() {
                self.want(vps, Wanted::Stop(StopReason::Restarted), out);
            }
        }
        Ok(changed("restarting", &found))
    }

    pub(super) fn on_vps_delete(
        &mut self,
        actor: &Actor,
        boxes: &[TaskRef],
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let found = self.boxes(boxes)?;
        for vps in &found {
            let mut task = (**vps).clone();
            task.killed_by.get_or_insert_with(|| actor.account.clone());
            let placed = task.placement.as_ref();
            let lost = placed.is_some_and(|placed| self.is_lost(&placed.node));
            // A lost node may never come to say that it ended. If it does, it is told to drop it.
            if task.state.holds_resources() && !lost {
                self.want(&task, Wanted::Stop(StopReason::Killed), out);
            } else {
                self.delete(task, now, out);
            }
        }
        Ok(changed("deleting", &found))
    }

    pub(super) fn on_vps_rename(
        &mut self,
        vps: &TaskRef,
        name: &TaskName,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let vps = self.vps(vps)?;
        self.check_vps_name(name)?;
        let other = self.named(name.as_str());
        if let Some(other) = other.filter(|other| other.id != vps.id) {
            let sentence = format!("{name}: {} has this name already", other.label());
            return Err(Failure::new(Kind::Failed, sentence).hint("choose another"));
        }
        let mut renamed = (*vps).clone();
        renamed.name = name.clone();
        self.put(renamed, out);
        Ok(changed("renamed", &[vps]))
    }

    /// Its node does it; the state follows what the node has seen.
    fn want(&mut self, task: &Task, wanted: Wanted, out: &mut Vec<Effect>) {
        // A deletion is not taken back by a stop or restart that came later.
        if task.wanted == Wanted::Stop(StopReason::Killed) {
            return;
        }
        let mut task = task.clone();
        task.wanted = wanted;
        let node = task.placement.as_ref().map(|p| p.node.clone());
        self.put(task, out);
        if let Some(node) = node {
            self.publish(&node, out);
        }
    }

    /// What the end of a box's processes means, by what was wanted of it.
    pub(super) fn on_box_ended(
        &mut self,
        mut task: Task,
        (started, ended): (Option<Timestamp>, Timestamp),
        end: &End,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        task.started = started.or(task.started);
        let reason = end.reason();
        match task.wanted {
            Wanted::Stop(StopReason::Killed) | Wanted::Drop => self.delete(task, now, out),
            Wanted::Stop(StopReason::Halted) => self.settle(&task, TaskEvent::Halted, None, out),
            Wanted::Stop(StopReason::Restarted) => {
                task.retried = 0;
                self.start_again(task, TaskEvent::Restarted, out);
            }
            Wanted::Run | Wanted::Pause | Wanted::Stop(StopReason::Fenced) => {
                let lived = ended.0.saturating_sub(task.started.unwrap_or(ended).0);
                task.retried = if lived < QUICK { task.retried + 1 } else { 0 };
                // What its node cannot do, it cannot do the next time either.
                let hopeless = matches!(end, End::NeverStarted { .. });
                if hopeless || task.retried >= QUICK_FAILURES {
                    let why = reason.unwrap_or_else(|| "it ended soon after each start".to_owned());
                    self.settle(&task, TaskEvent::Halted, Some(why), out);
                } else {
                    self.start_again(task, TaskEvent::Retry, out);
                }
            }
        }
    }

    /// It was to be stopped, or started once more, before its node heard that it was to begin.
    pub(super) fn on_never_begun(&mut self, mut task: Task, out: &mut Vec<Effect>) {
        if task.wanted == Wanted::Stop(StopReason::Restarted) {
            task.retried = 0;
            self.start_again(task, TaskEvent::Restarted, out);
        } else {
            self.settle(&task, TaskEvent::Halted, None, out);
        }
    }

    /// Stopped; its node keeps the box, and the attempt as a name for it.
    fn settle(
        &mut self,
        task: &Task,
        event: TaskEvent,
        note: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        let Ok(state) = cluster::task::next(task.state, event) else {
            return;
        };
        let mut task = task.clone();
        task.state = state;
        task.wanted = Wanted::Stop(StopReason::Halted);
        task.started = None;
        task.note = note;
        let node = task.placement.as_ref().map(|p| p.node.clone());
        self.put(task, out);
        if let Some(node) = node {
            self.publish(&node, out);
        }
    }

    /// A new attempt in the same box, once there is room on its node.
    fn start_again(&mut self, mut task: Task, event: TaskEvent, out: &mut Vec<Effect>) {
        let Ok(state) = cluster::task::next(task.state, event) else {
            return;
        };
        let (attempt, placement) = (task.current(), task.placement.take());
        task.state = state;
        task.wanted = Wanted::Run;
        task.started = None;
        task.note = None;
        self.put(task, out);
        if let (Some(attempt), Some(placement)) = (attempt, placement) {
            self.fence(&placement.node, attempt, Wanted::Drop, out);
        }
    }

    pub(super) fn delete(&mut self, mut task: Task, now: Timestamp, out: &mut Vec<Effect>) {
        let by = task.killed_by.as_ref().map(|by| format!("deleted by {by}"));
        let (attempt, placement) = (task.current(), task.placement.clone());
        // It has no output of its own to be fetched.
        task.collected = true;
        let disk = task.spec.target.clone();
        self.finish(task, TaskEvent::Cancelled, 137, by, now, out);
        let node = placement.map(|p| p.node).or(disk);
        if let (Some(attempt), Some(node)) = (attempt, node) {
            // What was to be dropped with its box kept, is now to be dropped with it.
            if let Some(set) = self.fenced.get_mut(&node) {
                set.remove(&attempt);
            }
            self.fence(&node, attempt, Wanted::Drop, out);
        }
    }
}

//! `node forget`: what a node runs of a life of the gateway that this one does not remember ends, because somebody
//! said so. Until then it is left alone.

use std::sync::Arc;

use cluster::{
    Assignment, AttemptId, AttemptReport, Observation, Phase, StopReason, Task, TaskSpec,
    TaskState, Wanted,
};
use keys::{Actor, NodeName};
use shell::{Failure, Kind, Reply};

use super::{Effect, State};

impl State {
    /// Of a task that is not in memory, long over and in the store; or of a life of the gateway that we do not
    /// remember. It is left alone and shown.
    pub(super) fn on_unknown(
        &mut self,
        node: &NodeName,
        report: &AttemptReport,
        out: &mut Vec<Effect>,
    ) {
        let phase = match report.phase {
            Phase::Preparing { .. } => "preparing",
            Phase::Running { .. } => "running",
            Phase::Paused { .. } => "paused",
            Phase::Ended { .. } => "ended",
        };
        let attempt = report.attempt;
        let old = attempt.task.0 <= self.counters.task && !self.tasks.contains_key(&attempt.task);
        if let Some(link) = self.links.get_mut(node) {
            link.unknown.push((attempt, phase));
            if old && link.asked.insert(attempt) {
                out.push(Effect::Recall {
                    node: node.clone(),
                    attempt,
                });
            }
        }
    }

    /// The store knows the task, and that it is over: whatever its node still has of it must end, and go.
    pub(super) fn on_recalled(
        &mut self,
        node: &NodeName,
        attempt: AttemptId,
        task: &Arc<Task>,
        out: &mut Vec<Effect>,
    ) {
        let ours = task.id == attempt.task && attempt.number <= task.attempt;
        if !ours || !task.state.is_final() || self.tasks.contains_key(&task.id) {
            return;
        }
        self.index(None, task);
        self.tasks.insert(task.id, Arc::clone(task));
        // It is told more when it says once more how far this is.
        self.fence(node, attempt, Wanted::Stop(StopReason::Fenced), out);
    }

    pub(super) fn on_node_forget(
        &mut self,
        actor: &Actor,
        name: &NodeName,
        attempt: AttemptId,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        self.node_or_hint(name)?;
        let link = self.links.get(name).filter(|link| link.heard);
        let link = link.ok_or_else(|| {
            let sentence = format!("{name}: not connected now, so it cannot be told");
            Failure::new(Kind::Busy, sentence).hint(format!("`doctor {name}`, and then again"))
        })?;
        let here = link.unknown.iter().any(|(known, _)| *known == attempt);
        let bare = link.strangers.iter();
        let mut bare = bare.filter(|stranger| stranger.attempt == Some(attempt));
        if !here && let Some(stranger) = bare.next() {
            let sentence = format!("{attempt}: the runner of {name} does not know it either");
            let hint = format!("on {name}: `docker rm -f {}`", stranger.name);
            return Err(Failure::new(Kind::Failed, sentence).hint(hint));
        }
        if !here {
            let sentence = format!("{attempt}: nothing unknown on {name} is called so");
            let hint =
                format!("`node status {name}` names it; what is known here ends by `task kill`");
            return Err(Failure::not_found(sentence).hint(hint));
        }
        if let Some(task) = self.tasks.get(&attempt.task)
            && task.state == TaskState::Pending
            && task.attempt < attempt.number
        {
            // Its next attempt has a number of its own.
            let mut task = (**task).clone();
            task.attempt = attempt.number;
            self.put(task, out);
        }
        let key = (name.clone(), attempt);
        self.forgotten.insert(key, actor.account.clone());
        self.fence(name, attempt, Wanted::Drop, out);
        Ok(Reply::Forgotten {
            node: name.clone(),
            attempt,
        })
    }

    /// Boxes that were deleted while no attempt of them was there, and whose node did not hear so before the gateway
    /// fell: nothing else speaks of them any more.
    pub(super) fn end_deleted(
        &mut self,
        node: &NodeName,
        seen: &Observation,
        out: &mut Vec<Effect>,
    ) {
        let boxes = seen
            .strangers
            .iter()
            .filter_map(|stranger| stranger.attempt);
        let boxes = boxes.filter_map(|held| self.tasks.get(&held.task));
        let deleted = boxes.filter(|task| task.is_vps() && task.state.is_final());
        let deleted = deleted.filter_map(|task| task.current());
        for attempt in deleted.collect::<Vec<_>>() {
            self.fence(node, attempt, Wanted::Drop, out);
        }
    }

    /// What its node is told of it. Of what it has itself, a runner reads only what is wanted.
    pub(super) fn forgotten(&self, node: &NodeName, attempt: AttemptId) -> Option<Assignment> {
        let owner = self.forgotten.get(&(node.clone(), attempt))?;
        Some(Assignment {
            attempt,
            owner: owner.clone(),
            spec: Arc::new(TaskSpec::of(vec!["forgotten".to_owned()])),
            cores: Vec::new(),
            spooled: None,
            wanted: Wanted::Drop,
            keeps_box: false,
        })
    }

    /// Nobody has to be told of what is gone.
    pub(super) fn forget_gone(&mut self, node: &NodeName) {
        let fenced = self.fenced.get(node);
        let gone = self.forgotten.keys().filter(|(at, attempt)| {
            at == node && fenced.is_none_or(|set| !set.contains_key(attempt))
        });
        for key in gone.cloned().collect::<Vec<_>>() {
            self.forgotten.remove(&key);
        }
    }
}

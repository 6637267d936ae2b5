//! What the gateway knows, and what happens next. Pure: `turn(inputs, now)` is the only writer.
//!
//! A clone costs nothing (the maps share structure) and is what readers get after each commit.

mod access;
mod doubt;
pub mod effect;
mod forget;
mod index;
pub mod input;
pub mod invariants;
mod node;
mod observe;
mod place;
mod resolve;
mod submit;
mod task;
mod turn;
mod view;
mod vps;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::{
    Assignment, Assignments, AttemptId, DiskTrouble, EngineHealth, Node, StopReason, Stranger,
    Task, TaskId, Timestamp, Wanted,
};
use imbl::{OrdMap, OrdSet};
use keys::{Actor, Directory, NodeName, UserName};
use shell::{Change, Failure, Reply};

use crate::scheduler::Shape;

pub use access::key_row;
pub use effect::{Answer, AuditEntry, Counters, Effect, Record};
pub use input::{Dice, Input, LinkId, Ticket};

/// What an operator can set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long a node may be silent before its tasks are given up.
    pub lost_after: Duration,
    /// Ended tasks kept in memory; older ones are read from the store.
    pub keep_ended: usize,
    /// What those of one account that have not ended may weigh: [`cluster::TaskSpec::weight`], in bytes. All are in memory.
    pub unended: usize,
    pub version: String,
    /// Host and port by which people reach the gateway, for the lines they copy.
    pub address: (String, u16),
    /// The configuration in force, for `config show`.
    pub config: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lost_after: Duration::from_secs(300),
            keep_ended: 1000,
            unended: 512 << 20,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            address: ("river".to_owned(), 2222),
            config: String::new(),
        }
    }
}

/// A node's control connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub id: LinkId,
    pub instance: u64,
    pub since: Timestamp,
    /// Newest version the node says it has durably taken.
    pub taken: u64,
    /// It has said what runs there.
    pub heard: bool,
    pub engine: EngineHealth,
    pub disk: Option<DiskTrouble>,
    pub strangers: Vec<Stranger>,
    /// Attempts that it reports and this gateway does not know, with how far they are.
    pub unknown: Vec<(AttemptId, &'static str)>,
    /// Of these: the store was asked for them on this link.
    pub asked: BTreeSet<AttemptId>,
}

/// Everything. Nothing that can be computed is stored: free cores are not here.
#[derive(Clone, Debug)]
pub struct State {
    settings: Arc<Settings>,
    /// When this life of the gateway did.
    began: Timestamp,
    counters: Counters,
    directory: Arc<Directory>,
    nodes: OrdMap<NodeName, Arc<Node>>,
    links: OrdMap<NodeName, Link>,
    /// When a node that should have a link lost it, or when the gateway started.
    silent: OrdMap<NodeName, Timestamp>,
    tasks: OrdMap<TaskId, Arc<Task>>,
    /// Pending tasks: higher priority first, then age.
    queue: OrdSet<(i32, TaskId)>,
    /// The same, by what decides where they fit.
    lines: OrdMap<Shape, OrdSet<(i32, TaskId)>>,
    /// Tasks whose current attempt is on the node: held, or ended and not yet collected.
    placed: OrdMap<NodeName, OrdSet<TaskId>>,
    /// Nodes that have said in this life what they have.
    heard: OrdSet<NodeName>,
    /// Attempts that must end or go, beside the current ones: with the version that first said so.
    fenced: OrdMap<NodeName, OrdMap<AttemptId, (Wanted, u64)>>,
    /// Of those: who said `node forget`. No task of ours tells whose they are.
    forgotten: OrdMap<(NodeName, AttemptId), UserName>,
    /// Version that first carried an attempt; absent after a restart: the first of this epoch.
    first: OrdMap<AttemptId, u64>,
    versions: OrdMap<NodeName, u64>,
    /// Names of tasks that are not final.
    names: OrdMap<String, TaskId>,
    /// Idempotency keys of tasks in memory.
    keys: OrdMap<(UserName, String), TaskId>,
    /// Of each owner's tasks that are not final, how much they weigh: [`cluster::TaskSpec::weight`].
    owned: OrdMap<UserName, usize>,
    /// Final and collected tasks in memory, oldest end first.
    ended: OrdSet<(Timestamp, TaskId)>,
}

impl State {
    /// What the store remembers, after a start at `now`. `counters.epoch` is already this life's.
    #[must_use]
    pub fn load(
        settings: Settings,
        counters: Counters,
        directory: Directory,
        nodes: Vec<Arc<Node>>,
        tasks: Vec<Arc<Task>>,
        now: Timestamp,
    ) -> Self {
        let mut state = Self {
            settings: Arc::new(settings),
            began: now,
            counters,
            directory: Arc::new(directory),
            nodes: nodes
                .iter()
                .map(|node| (node.name.clone(), Arc::clone(node)))
                .collect(),
            links: OrdMap::new(),
            silent: nodes.iter().map(|node| (node.name.clone(), now)).collect(),
            tasks: OrdMap::new(),
            queue: OrdSet::new(),
            lines: OrdMap::new(),
            placed: OrdMap::new(),
            fenced: OrdMap::new(),
            heard: OrdSet::new(),
            forgotten: OrdMap::new(),
            first: OrdMap::new(),
            versions: OrdMap::new(),
            names: OrdMap::new(),
            keys: OrdMap::new(),
            owned: OrdMap::new(),
            ended: OrdSet::new(),
        };
        for task in tasks {
            state.index(None, &task);
            state.tasks.insert(task.id, task);
        }
        state
    }

    fn take(&mut self, input: Input, now: Timestamp, out: &mut Vec<Effect>) {
        match input {
            Input::Change {
                ticket,
                actor,
                change,
                dice,
            } => {
                let answer = self.on_change(&actor, &change, &dice, now, out);
                out.push(Effect::Answer(ticket, answer.map(Answer::Reply)));
            }
            Input::Audit {
                ticket,
                account,
                action,
                object,
                verdict,
            } => {
                out.push(Effect::Audit(AuditEntry {
                    at: now,
                    account,
                    action,
                    object,
                    verdict,
                }));
                out.push(Effect::Answer(ticket, Ok(Answer::Noted)));
            }
            Input::Enrol {
                ticket,
                hash,
                key,
                name,
                dice,
            } => {
                let answer = self.on_enrol(&hash, key, name, &dice, now, out);
                out.push(Effect::Answer(ticket, answer.map(Answer::Enrolled)));
            }
            Input::Join {
                ticket,
                hash,
                machine_id,
            } => {
                let answer = self.on_join(&hash, machine_id, now, out);
                out.push(Effect::Answer(ticket, answer));
            }
            Input::CallerGone { task, actor } => self.on_caller_gone(task, &actor, now, out),
            Input::LinkUp { node, link, hello } => self.on_link_up(&node, link, *hello, now, out),
            Input::LinkDown { node, link } => self.on_link_down(&node, link, now, out),
            Input::Observed {
                node,
                link,
                observation,
            } => {
                self.on_observed(&node, link, observation, now, out);
            }
            Input::Collected { attempt, output } => self.on_collected(attempt, output, out),
            Input::Recalled {
                node,
                attempt,
                task,
            } => self.on_recalled(&node, attempt, &task, out),
            Input::InputGone { attempt } => self.on_input_gone(attempt, now, out),
            Input::Tick => self.on_tick(now, out),
        }
    }

    fn on_change(
        &mut self,
        actor: &Actor,
        change: &Change,
        dice: &Dice,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let (action, object) = crate::permission::describe(change);
        let done = crate::permission::judge_change(actor, change, self)
            .and_then(|()| self.apply(actor, change, dice, now, out))
            .map_err(|failure| task::of_several(change, failure));
        let object = task::meant(&done, object);
        // Reads of a wrong line are no events; refusals and deeds are.
        let verdict = match &done {
            Ok(_) => "done".to_owned(),
            Err(failure) => failure.sentence.clone(),
        };
        let account = actor.account.to_string();
        out.push(Effect::Audit(AuditEntry {
            at: now,
            account,
            action,
            object,
            verdict,
        }));
        done
    }

    fn apply(
        &mut self,
        actor: &Actor,
        change: &Change,
        dice: &Dice,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        match change {
            Change::Submit(submit) => self.on_submit(actor, submit, dice, now, out),
            Change::TaskKill { tasks } => self.on_kill(actor, tasks, now, out),
            Change::TaskPause { tasks } => self.on_freeze(tasks, true, out),
            Change::TaskResume { tasks } => self.on_freeze(tasks, false, out),
            Change::VpsStop { boxes } => self.on_vps_stop(boxes, out),
            Change::VpsRestart { boxes } => self.on_vps_restart(boxes, out),
            Change::VpsDelete { boxes } => self.on_vps_delete(actor, boxes, now, out),
            Change::VpsRename { vps, name } => self.on_vps_rename(vps, name, out),
            Change::NodeInvite { node, lifetime_ms } => {
                self.on_node_invite(actor, node, *lifetime_ms, dice, now, out)
            }
            Change::NodeDrain { node } => self.on_drain(node, true, out),
            Change::NodeUndrain { node } => self.on_drain(node, false, out),
            Change::NodeRemove { node } => self.on_node_remove(node, out),
            Change::NodeForget { node, attempt } => self.on_node_forget(actor, node, *attempt, out),
            Change::Invite {
                role,
                name,
                lifetime_ms,
            } => self.on_invite(actor, (*role, name.as_ref()), *lifetime_ms, dice, now, out),
            Change::KeyAdd { account, line } => {
                self.on_key_add(actor, account.as_ref(), line, now, out)
            }
            Change::KeyRemove {
                account,
                fingerprint,
            } => self.on_key_remove(actor, account.as_ref(), fingerprint, out),
            Change::UserRole { account, role } => self.on_role(account, *role, out),
            Change::UserDisable { account, disabled } => {
                self.on_disable(actor, account, *disabled, out)
            }
        }
    }

    /// All that a node should do now.
    #[must_use]
    pub fn assignments(&self, node: &NodeName) -> Assignments {
        let placed = self.placed.get(node).into_iter().flatten();
        let fenced = self.fenced.get(node);
        let mut list: Vec<Assignment> = placed
            .filter_map(|id| self.tasks.get(id))
            .filter(|task| !self.is_doubted(task))
            .filter_map(|task| {
                Some(Self::assignment(
                    node,
                    task,
                    task.current()?,
                    Self::wanted(task),
                ))
            })
            .filter(|own| fenced.is_none_or(|set| !set.contains_key(&own.attempt)))
            .collect();
        for (attempt, (wanted, _)) in fenced.into_iter().flatten() {
            match self.tasks.get(&attempt.task) {
                Some(task) => list.push(Self::assignment(node, task, *attempt, *wanted)),
                None => list.extend(self.forgotten(node, *attempt)),
            }
        }
        Assignments {
            epoch: self.counters.epoch,
            version: self.version(node),
            list,
            unread: Vec::new(),
        }
    }

    /// What is over never begins again, also where its node has removed it and a fallen gateway did not hear that.
    fn wanted(task: &Task) -> Wanted {
        match task.wanted {
            Wanted::Run | Wanted::Pause if task.state.is_final() => {
                Wanted::Stop(StopReason::Fenced)
            }
            wanted @ (Wanted::Run | Wanted::Pause | Wanted::Stop(_) | Wanted::Drop) => wanted,
        }
    }

    fn assignment(node: &NodeName, task: &Task, attempt: AttemptId, wanted: Wanted) -> Assignment {
        let current = task.current() == Some(attempt);
        // A box of a life that a restore took back may lie elsewhere: nothing will ever start in that one.
        let place = task.placement.as_ref().map(|placed| &placed.node);
        let disk = task.spec.target.as_ref().or(place);
        let cores = task
            .placement
            .as_ref()
            .filter(|_| current)
            .map(|p| p.cores.clone());
        Assignment {
            attempt,
            owner: task.owner.clone(),
            spec: Arc::clone(&task.spec),
            cores: cores.unwrap_or_default(),
            spooled: task.spool.as_ref().map(|spool| spool.length),
            wanted,
            keeps_box: task.is_vps() && !task.state.is_final() && disk == Some(node),
        }
    }

    fn version(&self, node: &NodeName) -> u64 {
        self.versions
            .get(node)
            .copied()
            .unwrap_or(self.counters.epoch << 32)
    }

    /// The node's list changed.
    fn publish(&mut self, node: &NodeName, out: &mut Vec<Effect>) {
        let next = self.version(node) + 1;
        self.versions.insert(node.clone(), next);
        out.push(Effect::Publish(node.clone()));
    }

    /// When `Input::Tick` is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let silent = self
            .silent
            .iter()
            .filter(|(name, _)| self.nodes.get(*name).is_some_and(|n| !n.lost));
        silent
            .map(|(_, since)| *since + self.settings.lost_after)
            .min()
    }
}

#[cfg(test)]
mod tests;

//! What readers see of the state.

use std::sync::Arc;

use cluster::{EngineHealth, Node, NodeState, Resources, Task, TaskId, Timestamp};
use keys::{Directory, NodeName};
use shell::reply::{NodeRow, TaskRow, Unknown};

use super::{Counters, Link, Settings, State};

impl State {
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    #[must_use]
    pub fn task(&self, id: TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(&id)
    }

    /// The live task or box of exactly this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Task>> {
        self.names.get(name).and_then(|id| self.tasks.get(id))
    }

    /// In memory: all that have not ended, and the latest that have. Oldest first.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// Those that a node has, or still has something of.
    pub fn placed(&self) -> impl Iterator<Item = &Arc<Task>> {
        let ids = self.placed.values().flatten();
        ids.filter_map(|id| self.tasks.get(id))
    }

    #[must_use]
    pub fn node(&self, name: &NodeName) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    #[must_use]
    pub fn link(&self, name: &NodeName) -> Option<&Link> {
        self.links.get(name)
    }

    /// How many wait before this one.
    #[must_use]
    pub fn before(&self, task: &Task) -> usize {
        self.queue.range(..(-task.spec.priority, task.id)).count()
    }

    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Spool files that a task still needs.
    pub fn spools(&self) -> impl Iterator<Item = &str> {
        let live = self.tasks.values().filter(|task| !task.state.is_final());
        live.filter_map(|task| task.spool.as_ref())
            .map(|spool| spool.file.as_str())
    }

    #[must_use]
    pub fn task_row(&self, task: &Arc<Task>) -> TaskRow {
        let held = task
            .placement
            .as_ref()
            .filter(|_| task.state.holds_resources());
        let down = held.and_then(|p| match self.links.get(&p.node)?.engine {
            EngineHealth::Up => None,
            EngineHealth::Down { since, .. } => Some(since),
        });
        let away = held.filter(|p| !self.links.contains_key(&p.node));
        // A node that was given up is silent no more; its boxes are as unreachable as before.
        let unreachable_since = away.and_then(|p| {
            let silent = self.silent.get(&p.node).copied();
            silent.or_else(|| self.nodes.get(&p.node)?.seen)
        });
        TaskRow {
            task: Arc::clone(task),
            unreachable_since,
            engine_down_since: down,
        }
    }

    #[must_use]
    pub fn node_row(&self, node: &Arc<Node>) -> NodeRow {
        let link = self.links.get(&node.name);
        let state = match link {
            Some(_) if node.draining => NodeState::Draining,
            Some(_) => NodeState::Ready,
            None if node.lost => NodeState::Lost,
            None if node.facts.is_none() => NodeState::Joining,
            None => NodeState::Unreachable,
        };
        let held = self.held(&node.name);
        let used = held
            .iter()
            .fold(Resources::default(), |sum, (held, _, _)| sum.plus(*held));
        let down = link.and_then(|link| match &link.engine {
            EngineHealth::Up => None,
            EngineHealth::Down { since, error } => Some((*since, error.clone())),
        });
        let (engine_down_since, engine_error) = down.unzip();
        let unknown = link.into_iter().flat_map(|link| &link.unknown);
        let unknown = unknown.map(|(attempt, phase)| Unknown {
            attempt: *attempt,
            phase,
            ending: self.forgotten.contains_key(&(node.name.clone(), *attempt)),
        });
        NodeRow {
            node: Arc::clone(node),
            state,
            used,
            running: self.running_on(&node.name),
            since: link.map(|link| link.since),
            // Of the socket, which is not known here.
            quiet: None,
            missed: (link.is_none() && node.seen.is_some_and(|seen| seen < self.began))
                .then_some(self.began),
            engine_error,
            engine_down_since,
            unknown: unknown.collect(),
            disk: link.and_then(|link| link.disk.clone()),
            strangers: link.map(|link| link.strangers.clone()).unwrap_or_default(),
        }
    }

    /// Since when this node has had no link.
    #[must_use]
    pub fn silent_since(&self, name: &NodeName) -> Option<Timestamp> {
        self.silent.get(name).copied()
    }
}

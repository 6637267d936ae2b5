//! The one place where a task's record changes, so that every index follows it.

use std::collections::HashSet;
use std::sync::Arc;

use cluster::{Node, Task, TaskId, TaskState};

use super::{Effect, Record, State};
use crate::scheduler::Shape;

impl State {
    /// Replaces the record, for the store and for readers.
    pub(super) fn put(&mut self, task: Task, out: &mut Vec<Effect>) {
        let task = Arc::new(task);
        let old = self.tasks.insert(task.id, Arc::clone(&task));
        self.index(old.as_deref(), &task);
        out.push(Effect::Changed(task.id));
        out.push(Effect::Save(Record::Task(task)));
    }

    pub(super) fn put_node(&mut self, node: Node, out: &mut Vec<Effect>) {
        let node = Arc::new(node);
        self.nodes.insert(node.name.clone(), Arc::clone(&node));
        out.push(Effect::Save(Record::Node(node)));
    }

    pub(super) fn index(&mut self, old: Option<&Task>, new: &Task) {
        if let Some(old) = old {
            self.unindex(old);
        }
        if new.state == TaskState::Pending {
            let place = (-new.spec.priority, new.id);
            self.queue.insert(place);
            let shape = Shape::of(&new.spec, new.owner_role);
            self.lines.entry(shape).or_default().insert(place);
        }
        let on_node = new.state.holds_resources()
            || new.state == TaskState::Stopped
            || (new.state.is_final() && !new.collected);
        if let Some(placement) = new.placement.as_ref().filter(|_| on_node) {
            self.placed
                .entry(placement.node.clone())
                .or_default()
                .insert(new.id);
        }
        if new.state.is_final() {
            if new.collected {
                self.ended.insert((new.ended.unwrap_or_default(), new.id));
            }
        } else {
            self.names.insert(new.name.to_string(), new.id);
            *self.owned.entry(new.owner.clone()).or_default() += new.spec.weight();
        }
        if let Some(key) = &new.spec.key {
            self.keys.insert((new.owner.clone(), key.clone()), new.id);
        }
    }

    pub(super) fn unindex(&mut self, old: &Task) {
        let place = (-old.spec.priority, old.id);
        if self.queue.remove(&place).is_some() {
            let shape = Shape::of(&old.spec, old.owner_role);
            if let Some(line) = self.lines.get_mut(&shape) {
                line.remove(&place);
                if line.is_empty() {
                    self.lines.remove(&shape);
                }
            }
        }
        if let Some(placement) = &old.placement
            && let Some(set) = self.placed.get_mut(&placement.node)
        {
            set.remove(&old.id);
        }
        self.ended.remove(&(old.ended.unwrap_or_default(), old.id));
        if !old.state.is_final()
            && let Some(weight) = self.owned.get_mut(&old.owner)
        {
            *weight -= old.spec.weight();
            if *weight == 0 {
                self.owned.remove(&old.owner);
            }
        }
        if self.names.get(old.name.as_str()) == Some(&old.id) {
            self.names.remove(old.name.as_str());
        }
    }

    /// Drops the oldest ended tasks from memory; the store keeps them.
    pub(super) fn forget_old(&mut self) {
        let most = self.settings.keep_ended;
        if self.ended.len() <= most {
            return;
        }
        // Of these a node that is away may still have something to say.
        let fenced = self.fenced.values().flat_map(|set| set.keys());
        let fenced: HashSet<TaskId> = fenced.map(|attempt| attempt.task).collect();
        let spare = self.ended.iter().filter(|(_, id)| !fenced.contains(id));
        let old: Vec<_> = spare.take(self.ended.len() - most).copied().collect();
        for (at, id) in old {
            self.ended.remove(&(at, id));
            if let Some(task) = self.tasks.remove(&id)
                && let Some(key) = &task.spec.key
            {
                self.keys.remove(&(task.owner.clone(), key.clone()));
            }
        }
    }
}

//! From the queue to nodes: what the scheduler decided becomes records.

use cluster::{EngineHealth, Placement, Resources, TaskEvent, TaskId, Timestamp, Wanted};
use keys::NodeName;

use super::{Effect, State};
use crate::scheduler::{self, NodeView, Pending, Refusal};

impl State {
    /// Gives places to what waits. The dispatch is committed before it is sent.
    pub(super) fn place(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if self.queue.is_empty() {
            return;
        }
        let mut nodes = self.node_views();
        if !nodes.iter().any(|node| node.open.is_ok()) {
            return;
        }
        let doubts = self.has_doubts();
        let pending = |(_, id): &(i32, TaskId)| {
            let task = self.tasks.get(id)?;
            if doubts && self.held_back(*id).is_some() {
                return None;
            }
            Some(Pending {
                id: *id,
                spec: &task.spec,
                role: task.owner_role,
            })
        };
        let lines = self
            .lines
            .values()
            .map(|line| line.iter().filter_map(pending));
        let assigned = scheduler::place(lines, &mut nodes, now);
        for decision in assigned {
            let Some(task) = self.tasks.get(&decision.task) else {
                continue;
            };
            let mut task = (**task).clone();
            let Ok(state) = cluster::task::next(task.state, TaskEvent::Placed) else {
                continue;
            };
            task.state = state;
            task.attempt += 1;
            task.wanted = Wanted::Run;
            task.note = None;
            if task.is_vps() {
                // Its disk is there from now on.
                std::sync::Arc::make_mut(&mut task.spec).target = Some(decision.node.clone());
            }
            task.collected = false;
            task.placement = Some(Placement {
                node: decision.node.clone(),
                cores: decision.cores,
                epoch: self.counters.epoch,
                at: now,
            });
            let attempt = task.current();
            self.put(task, out);
            self.publish(&decision.node, out);
            if let Some(attempt) = attempt {
                self.first.insert(attempt, self.version(&decision.node));
            }
        }
    }

    /// Every node as the scheduler sees it, sorted by name. Free room is computed, never stored.
    #[must_use]
    pub fn node_views(&self) -> Vec<NodeView> {
        self.nodes
            .values()
            .filter_map(|node| self.node_view(&node.name))
            .collect()
    }

    fn node_view(&self, name: &NodeName) -> Option<NodeView> {
        let node = self.nodes.get(name)?;
        let facts = node.facts.clone()?;
        let open = match self.links.get(name) {
            None => Err(Refusal::Unreachable),
            Some(_) if node.draining => Err(Refusal::Draining),
            // What a former life gave up is known from the node alone.
            Some(link) if !link.heard => Err(Refusal::Unheard),
            Some(_) if self.ends_something(name) => Err(Refusal::Ending),
            Some(link) => match (&link.engine, &link.disk) {
                (EngineHealth::Up, None) => Ok(()),
                (EngineHealth::Down { error, .. }, _) => Err(Refusal::EngineDown(error.clone())),
                (EngineHealth::Up, Some(disk)) => Err(Refusal::Disk(disk.clone())),
            },
        };
        let mut cores = facts.cores.clone();
        let mut memory = facts.memory;
        let mut running = Vec::new();
        let here = self.placed.get(name).into_iter().flatten();
        let here = here.filter_map(|id| self.tasks.get(id));
        let words = here.map(|task| task.spec.weight()).sum();
        for (held, numbers, end) in self.held(name) {
            cores.retain(|core| !numbers.contains(core));
            memory = memory.saturating_sub(held.memory);
            running.push((held, end));
        }
        Some(NodeView {
            name: name.clone(),
            facts,
            protocol: node.protocol,
            open,
            cores,
            memory,
            running,
            words,
        })
    }

    /// What is taken on a node: by tasks that hold it, and by fenced attempts that have not ended.
    pub(super) fn held(&self, name: &NodeName) -> Vec<(Resources, Vec<u32>, Option<Timestamp>)> {
        let placed = self.placed.get(name).into_iter().flatten();
        let mut held: Vec<_> = placed
            .filter_map(|id| self.tasks.get(id))
            .filter(|task| task.state.holds_resources())
            .map(|task| {
                let numbers = task
                    .placement
                    .as_ref()
                    .map(|p| p.cores.clone())
                    .unwrap_or_default();
                let begun = task.started.or(task.placement.as_ref().map(|p| p.at));
                let end = task.spec.time_limit_ms.zip(begun);
                let end = end.map(|(limit, begun)| Timestamp(begun.0.saturating_add(limit)));
                (task.spec.request(), numbers, end)
            })
            .collect();
        for (attempt, (wanted, _)) in self.fenced.get(name).into_iter().flatten() {
            if let (Wanted::Stop(_), Some(task)) = (wanted, self.tasks.get(&attempt.task)) {
                held.push((task.spec.request(), Vec::new(), None));
            }
        }
        held
    }

    /// An attempt there was given up and has not ended yet: nobody knows any more which cores it has.
    fn ends_something(&self, name: &NodeName) -> bool {
        let fenced = self.fenced.get(name).into_iter().flatten();
        let mut wanted = fenced.map(|(_, (wanted, _))| wanted);
        wanted.any(|wanted| matches!(wanted, Wanted::Stop(_)))
    }
}

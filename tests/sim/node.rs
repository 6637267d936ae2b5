//! What pretend nodes do: take lists, work, report, come and go.

use cluster::{
    AttemptId, AttemptReport, End, EngineHealth, EngineKind, NodeFacts, Observation, OutputSize,
    Phase, Timestamp, Wanted,
};
use gateway::state::{Input, LinkId};
use keys::Role;
use rand::RngExt;
use tunnel::wire::Hello;

use crate::world::{World, code_of};

impl World {
    /// A list arrives; sometimes an older one arrives again.
    pub(crate) fn deliver(&mut self, node: usize) {
        let again = self.rng.random_bool(0.1);
        let node = &mut self.nodes[node];
        if node.mail.is_empty() {
            return;
        }
        let list = if again {
            node.mail[0].clone()
        } else {
            node.mail.remove(0)
        };
        if list.epoch < node.epoch || (list.epoch == node.epoch && list.version <= node.version) {
            return;
        }
        (node.epoch, node.version) = (list.epoch, list.version);
        for assignment in list.list {
            let id = assignment.attempt;
            match (assignment.wanted, node.attempts.get(&id)) {
                (Wanted::Drop, Some(Phase::Ended { .. })) => drop(node.attempts.remove(&id)),
                (Wanted::Run | Wanted::Pause, None) => {
                    node.attempts.insert(
                        id,
                        Phase::Preparing {
                            note: String::new(),
                        },
                    );
                }
                (Wanted::Stop(_) | Wanted::Drop, Some(phase))
                    if !matches!(phase, Phase::Ended { .. }) =>
                {
                    let ended = Timestamp(self.now);
                    let output = OutputSize::default();
                    node.attempts.insert(
                        id,
                        Phase::Ended {
                            started: None,
                            ended,
                            end: End::Stopped,
                            output,
                        },
                    );
                }
                (Wanted::Run | Wanted::Pause | Wanted::Stop(_) | Wanted::Drop, _) => {}
            }
        }
    }

    /// Something on the node goes on.
    pub(crate) fn work(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let open: Vec<AttemptId> = node
            .attempts
            .iter()
            .filter(|(_, phase)| !matches!(phase, Phase::Ended { .. }))
            .map(|(id, _)| *id)
            .collect();
        if open.is_empty() {
            return;
        }
        let id = open[self.rng.random_range(0..open.len())];
        let now = Timestamp(self.now);
        let next = match &node.attempts[&id] {
            Phase::Preparing { .. } => {
                *self.starts.entry(id).or_default() += 1;
                Phase::Running { started: now }
            }
            Phase::Running { started } | Phase::Paused { started } => Phase::Ended {
                started: Some(*started),
                ended: now,
                end: End::Exited {
                    code: code_of(id.task),
                },
                output: OutputSize {
                    stdout: 1,
                    stderr: 0,
                },
            },
            ended @ Phase::Ended { .. } => ended.clone(),
        };
        node.attempts.insert(id, next);
    }

    pub(crate) fn report(&mut self, node: usize) {
        let node = &self.nodes[node];
        let Some(link) = node.link else { return };
        let observation = Observation {
            version: node.version,
            attempts: node
                .attempts
                .iter()
                .map(|(attempt, phase)| AttemptReport {
                    attempt: *attempt,
                    phase: phase.clone(),
                })
                .collect(),
            engine: EngineHealth::Up,
            strangers: Vec::new(),
        };
        let name = node.name.clone();
        self.give(Input::Observed {
            node: name,
            link,
            observation,
        });
    }

    pub(crate) fn connect(&mut self, node: usize) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let node = &mut self.nodes[node];
        node.link = Some(link);
        node.mail.clear();
        let name = node.name.clone();
        let facts = NodeFacts {
            cores: vec![0, 1, 2, 3],
            memory: 1 << 30,
            engine: EngineKind::Docker,
            engine_version: String::new(),
            open_to: Role::User,
            kernel: String::new(),
            arch: String::new(),
            runner_version: String::new(),
            machine_id: name.to_string(),
            boot_id: String::new(),
        };
        let highest_task = node
            .attempts
            .keys()
            .map(|id| id.task)
            .max()
            .unwrap_or_default();
        let hello = Hello {
            protocol: 1,
            facts,
            highest_epoch: node.epoch,
            highest_task,
            instance: link.0,
        };
        self.give(Input::LinkUp {
            node: name,
            link,
            hello: Box::new(hello),
        });
    }

    pub(crate) fn cut(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let Some(link) = node.link.take() else { return };
        node.mail.clear();
        let name = node.name.clone();
        self.give(Input::LinkDown { node: name, link });
    }
}

//! What people and operators ask for.

use cluster::{Stdin, Task, TaskId, TaskSpec, TaskState, Vps};
use gateway::queries::History;
use gateway::state::{Answer, Input, Ticket};
use keys::{Actor, NodeName, Role};
use rand::RngExt;
use shell::command::{Submit, TaskRef};
use shell::{Change, Kind, Reply};

use crate::world::World;

fn alice() -> Actor {
    Actor {
        account: "alice".parse().unwrap(),
        role: Role::Admin,
        proof: String::new(),
    }
}

/// How it went, as far as somebody heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Yes,
    /// It was refused, and nothing has changed.
    No,
    /// Nobody knows: the gateway fell.
    Nothing,
}

impl World {
    pub(crate) fn change(&mut self, change: Change) -> Option<Result<Answer, shell::Failure>> {
        let dice = std::array::from_fn(|_| self.rng.random());
        self.cluster.give(Input::Change {
            ticket: Ticket(1),
            actor: alice(),
            change,
            dice,
        })
    }

    pub(crate) fn asked(&mut self, change: Change) -> Heard {
        match self.change(change) {
            Some(Ok(_)) => Heard::Yes,
            Some(Err(_)) => Heard::No,
            None => Heard::Nothing,
        }
    }

    /// One of those that go on.
    pub(crate) fn one(&mut self, wanted: impl Fn(&Task) -> bool) -> Option<(TaskId, u32)> {
        let live = self.cluster.state.tasks();
        let live = live.filter(|task| !task.state.is_final() && wanted(task));
        let live: Vec<(TaskId, u32)> = live.map(|task| (task.id, task.attempt)).collect();
        if live.is_empty() {
            return None;
        }
        Some(live[self.rng.random_range(0..live.len())])
    }

    pub(crate) fn submit(&mut self) {
        let key = self.rng.random_bool(0.2);
        let key = key.then(|| format!("k{}", self.rng.random_range(0..8)));
        let stays = key.is_none() && self.rng.random_bool(0.1);
        let limited = !stays && self.rng.random_bool(0.2);
        let limit = limited.then(|| self.rng.random_range(1_000..120_000));
        let spec = TaskSpec {
            cores: self.rng.random_range(0..3),
            retries: self.rng.random_range(0..2),
            stdin: if !stays && self.rng.random_bool(0.2) {
                Stdin::Live
            } else {
                Stdin::Empty
            },
            retry_on_lost: self.rng.random_bool(0.5),
            priority: self.rng.random_range(-2..3),
            time_limit_ms: limit,
            vps: stays.then(Vps::default),
            key,
            ..TaskSpec::of(if stays { vec![] } else { vec!["true".into()] })
        };
        self.submitted(spec);
    }

    /// Somebody submits, hears an id, and believes it.
    fn submitted(&mut self, spec: TaskSpec) {
        let key = spec.key.clone();
        let owner = alice().account;
        let known = key
            .as_ref()
            .map(|key| self.cluster.disk.by_key(&owner, key));
        let known = known.and_then(Result::unwrap);
        let before = self.cluster.disk.tasks.len();
        let change = Change::Submit(Submit {
            specs: vec![spec],
            known: known.into_iter().collect(),
            ..Submit::default()
        });
        // It left before it was told.
        let left = self.rng.random_bool(0.05);
        let answer = self.change(change);
        match answer {
            Some(Ok(Answer::Reply(Reply::Submitted { tasks, known }))) => {
                for task in tasks {
                    let id = task.id;
                    let new = !self.given.contains(&id);
                    assert!(new || known.contains(&id), "{id} was given twice");
                    self.given.insert(id);
                    let Some(key) = key.as_ref().filter(|_| !left) else {
                        self.acknowledged.extend((!left).then_some(id));
                        continue;
                    };
                    self.acknowledged.insert(id);
                    let first = *self.keys.entry(key.clone()).or_insert(id);
                    assert_eq!(first, id, "{key} is two tasks");
                }
            }
            Some(Err(refused)) => {
                let after = self.cluster.disk.tasks.len();
                assert_eq!(before, after, "refused, and there: {refused:?}");
                assert!(
                    self.cluster.full && refused.kind == Kind::Busy,
                    "{refused:?}"
                );
            }
            Some(Ok(answer)) => panic!("{answer:?}"),
            None => {}
        }
    }

    pub(crate) fn kill(&mut self) {
        let Some((id, attempt)) = self.one(|task| !task.is_vps()) else {
            return;
        };
        if self.rng.random_bool(0.2) {
            // The caller of `task run` is gone, and nobody waits for an answer.
            self.wished.insert(id);
            let actor = alice();
            self.cluster.give(Input::CallerGone { task: id, actor });
            return;
        }
        let heard = self.asked(Change::TaskKill {
            tasks: vec![TaskRef::task(id.0.to_string())],
        });
        if heard != Heard::No {
            self.wished.insert(id);
        }
        if heard == Heard::Yes {
            self.killed.entry(id).or_insert(attempt);
        }
    }

    /// Pause, or resume.
    pub(crate) fn freeze(&mut self) {
        let may = |task: &Task| !task.is_vps() && task.state.holds_resources();
        let Some((id, _)) = self.one(may) else {
            return;
        };
        let pauses = self.rng.random_bool(0.5);
        self.freeze_one(id, pauses);
    }

    pub(crate) fn freeze_one(&mut self, id: TaskId, pauses: bool) {
        let tasks = vec![TaskRef::task(id.0.to_string())];
        let heard = self.asked(match pauses {
            true => Change::TaskPause { tasks },
            false => Change::TaskResume { tasks },
        });
        self.wish(id, heard, pauses);
    }

    /// An operator takes a node out, or lets it in again.
    pub(crate) fn drain(&mut self) {
        let node = self.rng.random_range(0..self.cluster.nodes.len());
        let node = self.cluster.nodes[node].name.clone();
        if self.rng.random_bool(0.4) {
            let change = Change::NodeDrain { node: node.clone() };
            if self.asked(change) == Heard::Yes {
                self.drained.insert(node, self.cluster.now);
            }
        } else {
            self.undrain(node);
        }
    }

    pub(crate) fn undrain(&mut self, node: NodeName) {
        self.drained.remove(&node);
        let heard = self.asked(Change::NodeUndrain { node: node.clone() });
        let draining = self.cluster.disk.nodes[&node].draining;
        assert!(heard != Heard::Yes || !draining, "{node} drains on");
    }

    /// An operator ends what a node runs of a life that was taken back.
    pub(crate) fn forget_unknown(&mut self) {
        let names = self.cluster.nodes.iter().map(|node| node.name.clone());
        for node in names.collect::<Vec<_>>() {
            let link = self.cluster.state.link(&node);
            let unknown = link.into_iter().flat_map(|link| &link.unknown);
            for (attempt, _) in unknown.copied().collect::<Vec<_>>() {
                assert!(self.restored, "{attempt} is unknown on {node}");
                let node = node.clone();
                self.change(Change::NodeForget { node, attempt });
            }
        }
    }

    /// Is it in the books as somebody wished it to be?
    pub(crate) fn state(&self, id: TaskId) -> Option<TaskState> {
        self.cluster.disk.tasks.get(&id).map(|task| task.state)
    }
}

//! One gateway that can die, nodes that can be cut off, and what an outside saw of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::{
    Assignments, AttemptId, Node, OutputSize, Phase, Task, TaskId, TaskSpec, TaskState, Timestamp,
};
use gateway::state::{Answer, Effect, Input, LinkId, Record, Settings, State, Ticket};
use keys::{Account, Actor, Directory, NodeName, Role};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shell::command::{Submit, TaskRef};
use shell::{Change, Reply};

/// Code that a task ends with: its own number tells, so that a wrong one is seen.
pub(crate) fn code_of(task: TaskId) -> u8 {
    u8::try_from(task.0 % 5).unwrap()
}

/// What survives the gateway.
#[derive(Default)]
pub(crate) struct Disk {
    counters: gateway::state::Counters,
    nodes: BTreeMap<NodeName, Arc<Node>>,
    tasks: BTreeMap<TaskId, Arc<Task>>,
}

/// A node: its attempts survive the loss of its link.
pub(crate) struct Pretend {
    pub(crate) name: NodeName,
    pub(crate) link: Option<LinkId>,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) attempts: BTreeMap<AttemptId, Phase>,
    /// Lists on their way; a lost link loses them.
    pub(crate) mail: Vec<Assignments>,
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) now: u64,
    pub(crate) state: State,
    pub(crate) disk: Disk,
    pub(crate) nodes: Vec<Pretend>,
    pub(crate) next_link: u64,
    /// Seen by clients: ids that were printed.
    pub(crate) acknowledged: BTreeSet<TaskId>,
    pub(crate) killed: BTreeSet<TaskId>,
    /// Seen by nodes: what began, and how often.
    pub(crate) starts: BTreeMap<AttemptId, u32>,
    pub(crate) collect: BTreeSet<AttemptId>,
}

fn settings() -> Settings {
    Settings {
        keep_ended: 10_000,
        ..Settings::default()
    }
}

fn directory() -> Directory {
    let mut directory = Directory::default();
    let name = "alice".parse().unwrap();
    directory.put_account(Account {
        name,
        role: Role::Admin,
        disabled: false,
        created: 0,
    });
    directory
}

fn alice() -> Actor {
    Actor {
        account: "alice".parse().unwrap(),
        role: Role::Admin,
        proof: String::new(),
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut disk = Disk::default();
        disk.counters.epoch = 1;
        let mut nodes = Vec::new();
        for number in 0..3 {
            let name: NodeName = format!("n{number}").parse().unwrap();
            let node = Node {
                name: name.clone(),
                joined: Timestamp(0),
                certificate: 1,
                machine_id: name.to_string(),
                draining: false,
                facts: None,
                seen: None,
                lost: false,
            };
            disk.nodes.insert(name.clone(), Arc::new(node));
            nodes.push(Pretend {
                name,
                link: None,
                epoch: 0,
                version: 0,
                attempts: BTreeMap::new(),
                mail: Vec::new(),
            });
        }
        let state = Self::load(&disk, 0);
        Self {
            rng: StdRng::seed_from_u64(seed),
            now: 0,
            state,
            disk,
            nodes,
            next_link: 1,
            acknowledged: BTreeSet::new(),
            killed: BTreeSet::new(),
            starts: BTreeMap::new(),
            collect: BTreeSet::new(),
        }
    }

    fn load(disk: &Disk, now: u64) -> State {
        let nodes = disk.nodes.values().cloned().collect();
        let tasks = disk.tasks.values().cloned().collect();
        State::load(
            settings(),
            disk.counters,
            directory(),
            nodes,
            tasks,
            Timestamp(now),
        )
    }

    /// One thing that happens.
    pub(crate) fn step(&mut self) {
        self.now += self.rng.random_range(1..2_000);
        let node = self.rng.random_range(0..self.nodes.len());
        match self.rng.random_range(0..100) {
            0..20 => self.submit(),
            20..24 => self.kill(),
            24..50 => self.deliver(node),
            50..68 => self.work(node),
            68..82 => self.report(node),
            82..86 => self.connect(node),
            86..89 => self.cut(node),
            89..91 => self.crash(),
            91..92 => self.silence(),
            92..94 => self.tick(),
            _ => self.collect_one(),
        }
    }

    /// Everything is connected and given time: what was acknowledged must come to its end.
    pub(crate) fn settle(&mut self) {
        for _ in 0..2_000 {
            self.now += 100;
            for node in 0..self.nodes.len() {
                if self.nodes[node].link.is_none() {
                    self.connect(node);
                }
                self.deliver(node);
                self.work(node);
                self.report(node);
            }
            self.collect_one();
            if self
                .state
                .tasks()
                .all(|task| task.state.is_final() && task.collected)
                && self.nodes.iter().all(|node| node.attempts.is_empty())
            {
                return;
            }
        }
        let left: Vec<_> = self.state.tasks().filter(|task| !task.collected).collect();
        let kept: Vec<_> = self
            .nodes
            .iter()
            .map(|node| (&node.name, &node.attempts))
            .collect();
        panic!("never settled: {left:?} {kept:?}");
    }

    pub(crate) fn check(&self) {
        for id in &self.acknowledged {
            let task = self
                .disk
                .tasks
                .get(id)
                .unwrap_or_else(|| panic!("{id} was acknowledged and is lost"));
            let outcome = task.outcome.as_ref().unwrap();
            match task.state {
                TaskState::Completed | TaskState::Failed => {
                    assert_eq!(outcome.code, code_of(*id), "{id}: a wrong code");
                }
                TaskState::Killed => assert!(self.killed.contains(id), "{id}: nobody killed it"),
                TaskState::Lost => {}
                TaskState::PendingApproval
                | TaskState::Stopped
                | TaskState::Pending
                | TaskState::Assigning
                | TaskState::Running
                | TaskState::Paused
                | TaskState::TimedOut
                | TaskState::KilledOom
                | TaskState::Rejected => panic!("{id} is {}", task.state),
            }
        }
        let mut per_task: BTreeMap<TaskId, u32> = BTreeMap::new();
        for (attempt, count) in &self.starts {
            assert_eq!(*count, 1, "{attempt} began {count} times");
            *per_task.entry(attempt.task).or_default() += 1;
        }
        for (id, count) in per_task {
            let retries = self.disk.tasks[&id].retried;
            assert!(
                count <= retries + 1,
                "{id} began {count} times with {retries} retries"
            );
        }
    }

    pub(crate) fn give(&mut self, input: Input) -> Option<Result<Answer, shell::Failure>> {
        let effects = self.state.handle(input, Timestamp(self.now));
        // The commit: all of a turn, before anything is said or sent.
        for effect in &effects {
            if let Effect::Save(record) = effect {
                self.save(record);
            }
        }
        let mut answered = None;
        for effect in effects {
            match effect {
                Effect::Answer(_, answer) => answered = Some(answer),
                Effect::Publish(name) => {
                    let list = self.state.assignments(&name);
                    if let Some(node) = self
                        .nodes
                        .iter_mut()
                        .find(|node| node.name == name && node.link.is_some())
                    {
                        node.mail.push(list);
                    }
                }
                Effect::Collect { attempt, .. } => drop(self.collect.insert(attempt)),
                Effect::CloseLink(link, _) => {
                    for node in self.nodes.iter_mut().filter(|node| node.link == Some(link)) {
                        node.link = None;
                        node.mail.clear();
                    }
                }
                Effect::CloseNode(name, _) => {
                    for node in self.nodes.iter_mut().filter(|node| node.name == name) {
                        node.link = None;
                        node.mail.clear();
                    }
                }
                Effect::Save(_) | Effect::Audit(_) | Effect::DropSpool(_) | Effect::Changed(_) => {}
            }
        }
        answered
    }

    fn save(&mut self, record: &Record) {
        match record {
            Record::Task(task) => drop(self.disk.tasks.insert(task.id, Arc::clone(task))),
            Record::Node(node) => drop(self.disk.nodes.insert(node.name.clone(), Arc::clone(node))),
            Record::Counters(counters) => {
                assert!(counters.task >= self.disk.counters.task, "ids fell");
                assert!(counters.epoch >= self.disk.counters.epoch, "epochs fell");
                self.disk.counters = *counters;
            }
            Record::NodeRemoved(_)
            | Record::Account(_)
            | Record::Key(_)
            | Record::KeyRemoved { .. }
            | Record::Invitation(_)
            | Record::InvitationRemoved { .. }
            | Record::JoinToken(_)
            | Record::JoinTokenRemoved { .. } => {}
        }
    }

    fn submit(&mut self) {
        let spec = TaskSpec {
            cores: self.rng.random_range(0..3),
            retry_on_lost: self.rng.random_bool(0.5),
            priority: self.rng.random_range(-2..3),
            ..TaskSpec::of(vec!["true".into()])
        };
        let change = Change::Submit(Submit {
            specs: vec![spec],
            wait: false,
            batch: false,
            keys: false,
            spool: None,
        });
        let dice = std::array::from_fn(|_| self.rng.random());
        let input = Input::Change {
            ticket: Ticket(1),
            actor: alice(),
            change,
            dice,
        };
        // A crash between commit and answer: durable, and nobody was told.
        let heard = self.rng.random_bool(0.95);
        if let Some(Ok(Answer::Reply(Reply::Submitted { tasks, .. }))) = self.give(input) {
            for task in tasks {
                assert!(
                    !self.acknowledged.contains(&task.id),
                    "{} was given twice",
                    task.id
                );
                if heard {
                    self.acknowledged.insert(task.id);
                }
            }
        }
    }

    fn kill(&mut self) {
        let live: Vec<TaskId> = self
            .state
            .tasks()
            .filter(|task| !task.state.is_final())
            .map(|task| task.id)
            .collect();
        if live.is_empty() {
            return;
        }
        let id = live[self.rng.random_range(0..live.len())];
        self.killed.insert(id);
        let change = Change::TaskKill {
            tasks: vec![TaskRef(id.0.to_string())],
        };
        self.give(Input::Change {
            ticket: Ticket(2),
            actor: alice(),
            change,
            dice: [0; 32],
        });
    }

    /// The gateway dies: what was not committed is gone, and so are all links.
    fn crash(&mut self) {
        for node in &mut self.nodes {
            node.link = None;
            node.mail.clear();
        }
        self.collect.clear();
        self.disk.counters.epoch += 1;
        self.state = Self::load(&self.disk, self.now);
    }

    /// A node is not heard of for longer than `lost_after`.
    fn silence(&mut self) {
        self.now += 400_000;
        self.tick();
    }

    fn tick(&mut self) {
        self.give(Input::Tick);
    }

    fn collect_one(&mut self) {
        let Some(attempt) = self.collect.pop_first() else {
            return;
        };
        let there = self
            .nodes
            .iter()
            .any(|node| node.link.is_some() && node.attempts.contains_key(&attempt));
        if there {
            self.give(Input::Collected {
                attempt,
                output: OutputSize {
                    stdout: 1,
                    stderr: 0,
                },
            });
        }
    }
}

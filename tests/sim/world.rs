//! What happens: submits, kills, lists, work, reports, lost links, restarts; and what was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::{
    AttemptId, EngineKind, Node, NodeFacts, Outcome, Stdin, TaskId, TaskSpec, Timestamp,
};
use gateway::state::{Answer, Input, Settings, Ticket};
use harness::pretend::{Cluster, Disk, PretendNode};
use keys::{Account, Actor, NodeName, Role};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use runner::workloads::Step;
use shell::command::{Submit, TaskRef};
use shell::{Change, Reply};
use tunnel::wire::guest::GuestEnd;

/// Code that a task ends with: its own number tells, so that a wrong one is seen.
pub(crate) fn code_of(task: TaskId) -> u8 {
    u8::try_from(task.0 % 5).unwrap()
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) cluster: Cluster,
    /// Seen by clients: ids that were printed, and ends that could be read.
    pub(crate) acknowledged: BTreeSet<TaskId>,
    pub(crate) ends: BTreeMap<TaskId, Outcome>,
    /// Kills that were acknowledged, with the attempt they met.
    pub(crate) killed: BTreeMap<TaskId, u32>,
    /// … and those that may have been heard.
    pub(crate) wished: BTreeSet<TaskId>,
    /// Tasks whose node was silent too long or rebooted under them, or whose box vanished.
    pub(crate) unheard: BTreeSet<TaskId>,
    /// Nothing breaks any more.
    calm: bool,
    /// Attempts whose output reached the gateway.
    pub(crate) fetched: BTreeSet<AttemptId>,
}

fn facts(name: &NodeName) -> NodeFacts {
    NodeFacts {
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
    }
}

fn disk(names: &[NodeName]) -> Disk {
    let mut disk = Disk::default();
    disk.directory.put_account(Account {
        name: "alice".parse().unwrap(),
        role: Role::Admin,
        disabled: false,
        created: 0,
    });
    for name in names {
        let node = Node {
            name: name.clone(),
            joined: Timestamp(0),
            certificate: 1,
            machine_id: name.to_string(),
            draining: false,
            facts: None,
            seen: None,
            protocol: 0,
            lost: false,
        };
        disk.nodes.insert(name.clone(), Arc::new(node));
    }
    disk
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
        let names: Vec<NodeName> = ["n0", "n1", "n2"].map(|name| name.parse().unwrap()).into();
        let settings = Settings {
            keep_ended: 10_000,
            ..Settings::default()
        };
        let mut cluster = Cluster::new(settings, disk(&names), Timestamp(0));
        for name in names {
            let facts = facts(&name);
            cluster.nodes.push(PretendNode::new(name, facts));
        }
        Self {
            rng: StdRng::seed_from_u64(seed),
            cluster,
            acknowledged: BTreeSet::new(),
            ends: BTreeMap::new(),
            killed: BTreeMap::new(),
            wished: BTreeSet::new(),
            unheard: BTreeSet::new(),
            calm: false,
            fetched: BTreeSet::new(),
        }
    }

    /// One thing that happens.
    pub(crate) fn step(&mut self) {
        self.pass(2_000);
        let node = self.rng.random_range(0..self.cluster.nodes.len());
        if self.rng.random_bool(0.02) {
            self.cluster.falls = Some(self.rng.random_range(0..5));
        }
        match self.rng.random_range(0..100) {
            0..18 => self.submit(),
            18..22 => self.kill(),
            22..46 => self.deliver(node),
            46..66 => self.work(node),
            66..72 => self.cluster.report(node),
            72..76 => self.cluster.say(node),
            76..80 => self.cluster.hear(self.rng.random_bool(0.1)),
            80..84 => self.cluster.connect(node),
            84..87 => self.cluster.cut(node),
            87..89 => self.cluster.crash(),
            89..90 => self.silence(),
            90..92 => self.tick(),
            92..94 => self.restart(node),
            94..97 => self.meddle(node),
            97..98 => self.cluster.nodes[node].look(),
            _ => self.collect_one(),
        }
    }

    fn pass(&mut self, most_ms: u64) {
        self.cluster.now.0 += self.rng.random_range(1..most_ms);
    }

    /// Everything is connected and given time: what was acknowledged must come to its end.
    pub(crate) fn settle(&mut self) {
        self.calm = true;
        self.cluster.falls = None;
        while !self.cluster.wire.is_empty() {
            self.cluster.hear(false);
        }
        for _ in 0..2_000 {
            self.pass(200);
            for node in 0..self.cluster.nodes.len() {
                if self.cluster.nodes[node].link.is_none() {
                    self.cluster.connect(node);
                }
                self.deliver(node);
                self.cluster.nodes[node].look();
                self.work(node);
                self.cluster.report(node);
                self.watch();
            }
            self.collect_one();
            let mut tasks = self.cluster.state.tasks();
            let mut nodes = self.cluster.nodes.iter();
            if tasks.all(|task| task.state.is_final() && task.collected)
                && nodes.all(|node| node.attempts.is_empty())
            {
                return;
            }
        }
        let tasks = self.cluster.state.tasks();
        let left: Vec<_> = tasks.filter(|task| !task.collected).collect();
        let nodes = self.cluster.nodes.iter();
        let kept: Vec<_> = nodes.map(|node| (&node.name, &node.attempts)).collect();
        panic!("never settled: {left:?} {kept:?}");
    }

    /// Behind the runner's back.
    fn meddle(&mut self, node: usize) {
        let node = &mut self.cluster.nodes[node];
        let boxes = node.attempts.iter();
        let boxes = boxes.filter(|(_, attempt)| matches!(attempt.step, Step::Running { .. }));
        let ids: Vec<AttemptId> = boxes.map(|(id, _)| *id).collect();
        if !ids.is_empty() {
            node.meddle(ids[self.rng.random_range(0..ids.len())]);
        }
    }

    /// A list arrives; sometimes an older one arrives again.
    fn deliver(&mut self, node: usize) {
        let again = self.rng.random_bool(0.1);
        let node = &mut self.cluster.nodes[node];
        if node.mail.is_empty() {
            return;
        }
        let list = if again {
            node.mail[0].clone()
        } else {
            node.mail.remove(0)
        };
        node.take(&list);
    }

    /// Something on the node goes on: what its runner would do, or a box begins or ends.
    fn work(&mut self, node: usize) {
        let now = self.cluster.now;
        let node = &mut self.cluster.nodes[node];
        let ids = node.attempts.iter();
        let alive = |id: &AttemptId, step: &Step| {
            let boxed = matches!(step, Step::Starting { .. } | Step::Running { .. });
            boxed || node.due(*id, now).is_some()
        };
        let ids = ids.filter(|(id, attempt)| alive(id, &attempt.step));
        let ids: Vec<AttemptId> = ids.map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.rng.random_range(0..ids.len())];
        if let Some(action) = node.due(id, now) {
            node.act(id, action, now);
            return;
        }
        if !self.calm && self.rng.random_bool(0.03) && node.vanished(id) {
            self.unheard.insert(id.task);
            return;
        }
        let stopping = node.attempts[&id].stopping.is_some();
        if !node.started(id, now) {
            let end = match stopping && self.rng.random_bool(0.8) {
                true => GuestEnd::Stopped,
                false => GuestEnd::Exited {
                    code: code_of(id.task),
                },
            };
            node.ended(id, end, false, now);
        }
    }

    /// A runner starts anew, at times because its machine did; boxes may have gone meanwhile.
    fn restart(&mut self, node: usize) {
        let (rebooted, gone) = (self.rng.random_bool(0.3), self.rng.random_bool(0.2));
        self.cluster.cut(node);
        let now = self.cluster.now;
        let node = &mut self.cluster.nodes[node];
        let ids: Vec<AttemptId> = node.attempts.keys().copied().collect();
        for id in ids {
            let running = matches!(node.attempts[&id].step, Step::Running { .. });
            if running && (rebooted || gone && node.vanished(id)) {
                self.unheard.insert(id.task);
            }
        }
        node.restart(rebooted, now);
    }

    fn submit(&mut self) {
        let spec = TaskSpec {
            cores: self.rng.random_range(0..3),
            retries: self.rng.random_range(0..2),
            stdin: if self.rng.random_bool(0.2) {
                Stdin::Live
            } else {
                Stdin::Empty
            },
            retry_on_lost: self.rng.random_bool(0.5),
            priority: self.rng.random_range(-2..3),
            ..TaskSpec::of(vec!["true".into()])
        };
        let change = Change::Submit(Submit {
            specs: vec![spec],
            wait: false,
            batch: false,
            each: false,
            keys: false,
            make_key: false,
            spool: None,
            known: Vec::new(),
        });
        // A crash between commit and answer: durable, and nobody was told.
        let heard = self.rng.random_bool(0.95);
        let answer = self.change(change);
        if let Some(Ok(Answer::Reply(Reply::Submitted { tasks, .. }))) = answer {
            for task in tasks {
                let new = !self.acknowledged.contains(&task.id);
                assert!(new, "{} was given twice", task.id);
                if heard {
                    self.acknowledged.insert(task.id);
                }
            }
        }
    }

    fn kill(&mut self) {
        let live = self.cluster.state.tasks();
        let live = live.filter(|task| !task.state.is_final());
        let live: Vec<(TaskId, u32)> = live.map(|task| (task.id, task.attempt)).collect();
        if live.is_empty() {
            return;
        }
        let (id, attempt) = live[self.rng.random_range(0..live.len())];
        self.wished.insert(id);
        let answer = self.change(Change::TaskKill {
            tasks: vec![TaskRef::task(id.0.to_string())],
        });
        if matches!(answer, Some(Ok(_))) {
            self.killed.entry(id).or_insert(attempt);
        }
    }

    fn change(&mut self, change: Change) -> Option<Result<Answer, shell::Failure>> {
        let dice = std::array::from_fn(|_| self.rng.random());
        self.cluster.give(Input::Change {
            ticket: Ticket(1),
            actor: alice(),
            change,
            dice,
        })
    }

    /// Whoever is cut off is not heard of for longer than `lost_after`.
    fn silence(&mut self) {
        self.cluster.now.0 += 400_000;
        let cut = self.cluster.nodes.iter().filter(|node| node.link.is_none());
        let cut: Vec<&NodeName> = cut.map(|node| &node.name).collect();
        let placed = self.cluster.state.tasks().filter(|task| {
            let place = task.placement.as_ref();
            place.is_some_and(|place| cut.contains(&&place.node))
        });
        self.unheard.extend(placed.map(|task| task.id));
        self.tick();
    }

    fn tick(&mut self) {
        self.cluster.give(Input::Tick);
    }

    fn collect_one(&mut self) {
        if let Some(attempt) = self.cluster.collect.pop_first()
            && self.cluster.fetch(attempt)
        {
            self.fetched.insert(attempt);
        }
    }
}

//! What there is, and what happens: one thing after another, under a seed; and what was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster::{AttemptId, EngineKind, Node, NodeFacts, Outcome, TaskId, Timestamp};
use gateway::state::Settings;
use harness::pretend::{Cluster, Disk, PretendNode};
use keys::{Account, NodeName, Role};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::boxes::Wish;

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) cluster: Cluster,
    /// Seen by clients: ids that were printed, and ends that could be read.
    pub(crate) acknowledged: BTreeSet<TaskId>,
    pub(crate) ends: BTreeMap<TaskId, Outcome>,
    /// Every id that any life gave, also where nobody heard it.
    pub(crate) given: BTreeSet<TaskId>,
    /// What `--key` was answered with.
    pub(crate) keys: BTreeMap<String, TaskId>,
    /// Kills that were acknowledged, with the attempt they met.
    pub(crate) killed: BTreeMap<TaskId, u32>,
    /// … and those that may have been heard.
    pub(crate) wished: BTreeSet<TaskId>,
    /// What was last asked of a task or box that goes on, as long as it is sure that it was heard.
    pub(crate) wishes: BTreeMap<TaskId, Wish>,
    /// Nodes that take nothing new, since when.
    pub(crate) drained: BTreeMap<NodeName, Timestamp>,
    /// Tasks whose node was silent too long or rebooted under them, or whose box vanished; or of which a restore took
    /// something back.
    pub(crate) unheard: BTreeSet<TaskId>,
    /// Tasks that took more memory than there was.
    pub(crate) oomed: BTreeSet<TaskId>,
    /// Of these a restore forgot what became of them, and no node knows it any more: they may begin once more.
    pub(crate) again: BTreeSet<TaskId>,
    /// Tasks that were not over in a copy that was put back: their count of retries went back too.
    pub(crate) counted_anew: BTreeSet<TaskId>,
    pub(crate) restored: bool,
    /// As `river-gateway backup` made it, with what had begun until then.
    pub(crate) copy: Option<(Disk, BTreeSet<AttemptId>)>,
    /// Nothing breaks any more.
    pub(crate) calm: bool,
    /// Nothing ends by itself.
    pub(crate) still: bool,
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
        boot_id: "0".to_owned(),
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
            given: BTreeSet::new(),
            keys: BTreeMap::new(),
            killed: BTreeMap::new(),
            wished: BTreeSet::new(),
            wishes: BTreeMap::new(),
            drained: BTreeMap::new(),
            unheard: BTreeSet::new(),
            oomed: BTreeSet::new(),
            again: BTreeSet::new(),
            counted_anew: BTreeSet::new(),
            restored: false,
            copy: None,
            calm: false,
            still: false,
            fetched: BTreeSet::new(),
        }
    }

    /// One thing that happens.
    pub(crate) fn step(&mut self) {
        self.pass(2_000);
        self.note_silent();
        let node = self.rng.random_range(0..self.cluster.nodes.len());
        if self.rng.random_bool(0.02) {
            self.cluster.falls = Some(self.rng.random_range(0..1_000_000));
        }
        if self.rng.random_bool(0.04) {
            self.cluster.nodes[node].falls = Some(self.rng.random_range(1..6));
        }
        match self.rng.random_range(0..1000) {
            0..110 => self.submit(),
            110..150 => self.kill(),
            150..170 => self.freeze(),
            170..230 => self.vps(),
            230..240 => self.drain(),
            240..430 => self.deliver(node),
            430..630 => {
                for _ in 0..self.rng.random_range(1..5) {
                    self.work(node);
                }
            }
            630..740 => self.cluster.say(node),
            740..840 => self.hear(),
            840..870 => self.dial(node),
            870..890 => self.hang_up(node),
            890..905 => self.cluster.crash(),
            905..912 => self.silence(),
            912..925 => self.tick(),
            925..937 => self.restart(node),
            937..955 => self.meddle(node),
            955..965 => self.cluster.nodes[node].look(self.cluster.now),
            965..973 => self.engine(node),
            973..979 => self.fill(),
            979..981 => self.copy_or_restore(),
            _ => self.collect_one(),
        }
        self.bury();
    }

    pub(crate) fn pass(&mut self, most_ms: u64) {
        self.cluster.now.0 += self.rng.random_range(1..most_ms);
    }

    /// Everything is connected and given time: first what was wished must be so, and then what was acknowledged must come
    /// to its end.
    pub(crate) fn settle(&mut self) {
        self.calm = true;
        self.cluster.falls = None;
        self.cluster.full = false;
        for node in 0..self.cluster.nodes.len() {
            self.cluster.nodes[node].falls = None;
            self.cluster.nodes[node].away = false;
        }
        while !self.cluster.wire.links().is_empty() {
            self.hear();
        }
        self.still = true;
        for _ in 0..100 {
            self.round();
        }
        self.check_wishes();
        self.still = false;
        for node in 0..self.cluster.nodes.len() {
            self.undrain(self.cluster.nodes[node].name.clone());
        }
        for _ in 0..2_000 {
            self.round();
            self.resume_and_delete();
            self.forget_unknown();
            let mut tasks = self.cluster.state.tasks();
            let mut nodes = self.cluster.nodes.iter();
            if tasks.all(|task| task.state.is_final() && task.collected)
                && nodes.all(|node| node.attempts.is_empty() && self.left(node).is_empty())
            {
                return;
            }
        }
        let tasks = self.cluster.state.tasks();
        let left: Vec<_> = tasks.filter(|task| !task.collected).collect();
        let nodes = self.cluster.nodes.iter();
        let kept: Vec<_> = nodes.map(|node| (&node.name, &node.attempts)).collect();
        let nodes = self.cluster.nodes.iter();
        let boxes: Vec<_> = nodes.map(|node| self.left(node)).collect();
        panic!("never settled: {left:?} {kept:?} {boxes:?}");
    }

    fn round(&mut self) {
        self.pass(2_000);
        self.note_silent();
        for node in 0..self.cluster.nodes.len() {
            if self.cluster.nodes[node].link.is_none() {
                self.cluster.dial(node, (0, 0));
            }
            while !self.cluster.wire.links().is_empty() {
                self.hear();
            }
            self.deliver(node);
            self.cluster.nodes[node].look(self.cluster.now);
            for _ in 0..4 {
                self.work(node);
            }
            self.cluster.report(node);
            self.watch();
        }
        self.collect_one();
    }
}

//! A cluster on paper: the real decisions of gateway and runners on virtual time, without sockets,
//! disks or boxes.

mod disk;
mod node;

use std::collections::{BTreeSet, VecDeque};

use cluster::{AttemptId, Observation, Timestamp};
use gateway::state::{Answer, Effect, Input, LinkId, Settings, State};
use keys::NodeName;
use shell::Failure;
use tunnel::wire::{Hello, OLDEST, PROTOCOL};

pub use disk::Disk;
pub use node::{GRACE_MS, PretendNode};

/// One gateway that can die, and nodes that can be cut off.
pub struct Cluster {
    pub now: Timestamp,
    pub state: State,
    pub disk: Disk,
    pub nodes: Vec<PretendNode>,
    /// Ended attempts whose output the gateway is to fetch; a crash forgets them.
    pub collect: BTreeSet<AttemptId>,
    /// Observations on their way: of this node, said on this link.
    pub wire: VecDeque<(NodeName, LinkId, Observation)>,
    /// The gateway dies within its next turn: before the commit (0), or when it has told so many effects less one.
    pub falls: Option<usize>,
    settings: Settings,
    next_link: u64,
}

impl Cluster {
    /// The first life of a gateway with what is on this disk.
    #[must_use]
    pub fn new(settings: Settings, mut disk: Disk, now: Timestamp) -> Self {
        disk.counters.epoch += 1;
        Self {
            now,
            state: disk.load(&settings, now),
            disk,
            nodes: Vec::new(),
            collect: BTreeSet::new(),
            wire: VecDeque::new(),
            falls: None,
            settings,
            next_link: 1,
        }
    }

    /// As the driver: all records of a turn are committed before anything is said or sent.
    pub fn give(&mut self, input: Input) -> Option<Result<Answer, Failure>> {
        let effects = self.state.handle(input, self.now);
        let falls = self.falls.take();
        if falls == Some(0) {
            self.crash();
            return None;
        }
        self.disk.commit(&effects);
        let (mut answered, mut recalled) = (None, Vec::new());
        for (told, effect) in effects.into_iter().enumerate() {
            if falls == Some(told + 1) {
                self.crash();
                break;
            }
            match effect {
                Effect::Answer(_, answer) => answered = Some(answer),
                Effect::Publish(name) => {
                    let list = self.state.assignments(&name);
                    let node = self.nodes.iter_mut().find(|node| node.name == name);
                    if let Some(node) = node.filter(|node| node.link.is_some()) {
                        node.mail.push(list);
                    }
                }
                Effect::Collect { attempt, .. } => drop(self.collect.insert(attempt)),
                Effect::CloseLink(link, _) => {
                    for node in self.nodes.iter_mut().filter(|node| node.link == Some(link)) {
                        node.unlink();
                    }
                }
                Effect::CloseNode(name, _) => {
                    for node in self.nodes.iter_mut().filter(|node| node.name == name) {
                        node.unlink();
                    }
                }
                Effect::Recall { node, attempt } => {
                    if let Some(task) = self.disk.tasks.get(&attempt.task).cloned() {
                        recalled.push(Input::Recalled {
                            node,
                            attempt,
                            task,
                        });
                    }
                }
                Effect::Save(_) | Effect::Audit(_) | Effect::DropSpool(_) | Effect::Changed(_) => {}
            }
        }
        for input in recalled {
            self.give(input);
        }
        answered
    }

    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn find(&self, name: &NodeName) -> usize {
        let found = self.nodes.iter().position(|node| node.name == *name);
        found.unwrap_or_else(|| panic!("{name}: no such node"))
    }

    /// A control connection of this node comes up; an older one is replaced.
    pub fn connect(&mut self, node: usize) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let node = &mut self.nodes[node];
        node.unlink();
        node.link = Some(link);
        let hello = Hello {
            protocol: OLDEST,
            newest: PROTOCOL,
            facts: node.facts.clone(),
            highest_epoch: node.seen.epoch,
            highest_task: node.seen.task,
            instance: link.0,
        };
        let (node, hello) = (node.name.clone(), Box::new(hello));
        self.give(Input::LinkUp { node, link, hello });
    }

    /// The connection breaks: lists on their way are lost.
    pub fn cut(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if let Some(link) = node.unlink() {
            let node = node.name.clone();
            self.give(Input::LinkDown { node, link });
        }
    }

    /// The node says all that is true there.
    pub fn report(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        let Some(link) = node.link else { return };
        let observation = node.observation();
        node.told = Some(observation.clone());
        let node = node.name.clone();
        self.give(Input::Observed {
            node,
            link,
            observation,
        });
    }

    /// It says so, and is not heard yet.
    pub fn say(&mut self, node: usize) {
        let node = &self.nodes[node];
        if let Some(link) = node.link {
            let said = (node.name.clone(), link, node.observation());
            self.wire.push_back(said);
        }
    }

    /// What was said first is heard; with `again`, it will be heard once more. Its link may have gone meanwhile.
    pub fn hear(&mut self, again: bool) {
        if let Some((node, link, observation)) = self.wire.pop_front() {
            if again {
                self.wire
                    .push_front((node.clone(), link, observation.clone()));
            }
            self.give(Input::Observed {
                node,
                link,
                observation,
            });
        }
    }

    /// The output of an ended attempt is in the store, if its node is there to be asked.
    pub fn fetch(&mut self, attempt: AttemptId) -> bool {
        let mut here = self.nodes.iter().filter(|node| node.link.is_some());
        let output = here.find_map(|node| node.attempts.get(&attempt)?.output());
        if let Some(output) = output {
            self.give(Input::Collected { attempt, output });
        }
        output.is_some()
    }

    /// The gateway is stopped, a copy is put in the place of its store, and it starts.
    pub fn restore(&mut self, copy: &Disk) {
        self.disk.restore(copy);
        self.crash();
    }

    /// The gateway dies and starts: what was not committed is gone, and so are all links.
    pub fn crash(&mut self) {
        for node in &mut self.nodes {
            node.unlink();
        }
        self.collect.clear();
        self.disk.counters.epoch += 1;
        self.state = self.disk.load(&self.settings, self.now);
    }
}

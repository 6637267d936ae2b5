//! A cluster on paper: the real decisions of gateway and runners on virtual time, without sockets,
//! disks or boxes.

mod deeds;
mod disk;
mod machine;
mod node;
mod wire;

use std::collections::BTreeSet;

use cluster::{AttemptId, OutputSize, Timestamp};
use gateway::held;
use gateway::state::{Answer, Effect, Input, LinkId, Settings, State};
use keys::NodeName;
use shell::{Failure, Kind};
use tunnel::wire::{Hello, OLDEST, PROTOCOL};

pub use deeds::GRACE_MS;
pub use disk::Disk;
pub use machine::{Machine, PretendBox};
pub use node::PretendNode;
pub use wire::Wire;

/// One gateway that can die, and nodes that can be cut off.
pub struct Cluster {
    pub now: Timestamp,
    pub state: State,
    pub disk: Disk,
    pub nodes: Vec<PretendNode>,
    /// Ended attempts whose output the gateway is to fetch; a crash forgets them.
    pub collect: BTreeSet<AttemptId>,
    /// Output that is in its store, which the driver has not heard yet.
    pub fetched: Vec<(AttemptId, OutputSize)>,
    pub wire: Wire,
    /// The gateway dies within its next turn, at this of its places, counted round: before the commit (0), or when it has
    /// told so many effects less one.
    pub falls: Option<usize>,
    /// The disk takes nothing: a turn that would write is refused.
    pub full: bool,
    /// What is said again in the next turn, as the driver does it after a refusal.
    held: Vec<Input>,
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
            fetched: Vec::new(),
            wire: Wire::default(),
            falls: None,
            full: false,
            held: Vec::new(),
            settings,
            next_link: 1,
        }
    }

    /// As the driver: all records of a turn are committed before anything is said or sent; if they cannot be, nothing of
    /// it has happened, and what nobody waits for comes again.
    pub fn give(&mut self, input: Input) -> Option<Result<Answer, Failure>> {
        let mut batch = std::mem::take(&mut self.held);
        batch.push(input);
        let kept = batch.iter().filter_map(held::repeatable).collect();
        let before = self.state.clone();
        let effects = self.state.turn(batch, self.now);
        let written = |effect: &Effect| matches!(effect, Effect::Save(_) | Effect::Audit(_));
        if self.full && effects.iter().any(written) {
            self.state = before;
            self.held = held::newest(kept);
            let asked = effects
                .iter()
                .any(|effect| matches!(effect, Effect::Answer(..)));
            return asked.then(|| Err(Failure::new(Kind::Busy, "the disk is full")));
        }
        let (records, told): (Vec<Effect>, Vec<Effect>) = effects.into_iter().partition(written);
        let falls = self.falls.take().map(|place| place % (told.len() + 2));
        if falls == Some(0) {
            self.crash();
            return None;
        }
        self.disk.commit(&records);
        let mut answered = None;
        let told = in_order(told);
        let places = falls.map_or(told.len(), |place| place - 1);
        for effect in told.into_iter().take(places) {
            if let Some(answer) = self.tell(effect) {
                answered = Some(answer);
            }
        }
        if falls.is_some() {
            self.crash();
        }
        answered
    }

    /// One effect, after its commit.
    fn tell(&mut self, effect: Effect) -> Option<Result<Answer, Failure>> {
        match effect {
            Effect::Answer(_, answer) => return Some(answer),
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
                    self.wire.ends(node.name.clone(), link, 0);
                }
            }
            Effect::CloseNode(name, _) => {
                for node in self.nodes.iter_mut().filter(|node| node.name == name) {
                    node.unlink();
                }
            }
            Effect::Recall { node, attempt } => {
                // Read from the store, and heard a moment later.
                if let Some(task) = self.disk.tasks.get(&attempt.task).cloned() {
                    self.held.push(Input::Recalled {
                        node,
                        attempt,
                        task,
                    });
                }
            }
            Effect::Save(_) | Effect::Audit(_) | Effect::DropSpool(_) | Effect::Changed(_) => {}
        }
        None
    }

    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn find(&self, name: &NodeName) -> usize {
        let found = self.nodes.iter().position(|node| node.name == *name);
        found.unwrap_or_else(|| panic!("{name}: no such node"))
    }

    /// A control connection of this node comes up, and is heard of at once; an older one is replaced.
    pub fn connect(&mut self, node: usize) {
        self.nodes[node].unlink();
        let (_, up) = self.greeting(node);
        self.give(up);
    }

    fn greeting(&mut self, node: usize) -> (LinkId, Input) {
        let link = LinkId(self.next_link);
        self.next_link += 1;
        let node = &mut self.nodes[node];
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
        (link, Input::LinkUp { node, link, hello })
    }

    /// The connection breaks, and that is heard at once: lists on their way are lost.
    pub fn cut(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        if let Some(link) = node.unlink() {
            let node = node.name.clone();
            self.give(Input::LinkDown { node, link });
        }
    }

    /// The node says all that is true there, and is heard at once.
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

    /// Its runner dials: what it says from now on is on its way. It had no connection, or lost it now.
    pub fn dial(&mut self, node: usize, lost: (usize, usize)) {
        self.hang_up(node, lost);
        let (link, up) = self.greeting(node);
        self.wire.comes(link, up);
    }

    /// Its connection breaks: of what was said so many last words are lost, of the lists all that its runner did not have
    /// yet. What it has it will still take.
    pub fn hang_up(&mut self, node: usize, (words, lists): (usize, usize)) {
        let node = &mut self.nodes[node];
        let here = node.mail.len().saturating_sub(lists);
        let mut mail = std::mem::take(&mut node.mail);
        mail.truncate(here);
        if let Some(link) = node.unlink() {
            self.wire.ends(node.name.clone(), link, words);
        }
        node.mail = mail;
    }

    /// The node says all that is true there, and is not heard yet.
    pub fn say(&mut self, node: usize) {
        let node = &self.nodes[node];
        if let Some(link) = node.link {
            let said = Input::Observed {
                node: node.name.clone(),
                link,
                observation: node.observation(),
            };
            self.wire.says(link, said);
        }
    }

    /// The next word of this connection is heard.
    pub fn hear(&mut self, link: LinkId) {
        if let Some(said) = self.wire.hear(link) {
            self.give(said);
        }
    }

    /// The output of an ended attempt is in the store, if its node is there to be asked.
    pub fn fetch(&mut self, attempt: AttemptId) -> bool {
        let output = self.read(attempt);
        if let Some(output) = output {
            self.give(Input::Collected { attempt, output });
        }
        output.is_some()
    }

    /// The same, of which the driver does not hear yet.
    pub fn fetch_quietly(&mut self, attempt: AttemptId) -> bool {
        let output = self.read(attempt);
        self.fetched.extend(output.map(|output| (attempt, output)));
        output.is_some()
    }

    fn read(&self, attempt: AttemptId) -> Option<OutputSize> {
        let mut here = self.nodes.iter().filter(|node| node.link.is_some());
        here.find_map(|node| node.attempts.get(&attempt)?.output())
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
        self.fetched.clear();
        self.wire.clear();
        self.held.clear();
        self.disk.counters.epoch += 1;
        self.state = self.disk.load(&self.settings, self.now);
    }
}

/// Lists first, one of each node: as the driver tells what a turn came to.
fn in_order(told: Vec<Effect>) -> Vec<Effect> {
    let (mut lists, mut others) = (BTreeSet::new(), Vec::new());
    for effect in told {
        if let Effect::Publish(name) = effect {
            lists.insert(name);
        } else {
            others.push(effect);
        }
    }
    lists
        .into_iter()
        .map(Effect::Publish)
        .chain(others)
        .collect()
}

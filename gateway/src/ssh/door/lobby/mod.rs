//! Who has a place before having proved anything, who waits for one, and who yields. Pure.
//!
//! A place is free, or is taken from whoever has let this side wait longest: of the newcomer's own source
//! when that has all it may have, else of the source that has most. So a flood displaces itself. How long
//! somebody may let us wait depends on how many wait behind.

use core::net::IpAddr;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::pulse::Pulse;
use super::sources::{Sources, network};

/// Nobody yields who has let us wait for less: a round trip and a client's own work.
const EASY: Duration = Duration::from_secs(1);
/// The same in a crowd, and towards a source that has much less.
const HURRY: Duration = Duration::from_millis(100);
/// So many who wait halve the patience.
const CROWD: u32 = 8;
/// While so many sources wait nobody new has them all looked at: the next look is near.
const MANY: usize = 64;
/// A source that fails again and again has one place of so many.
const PENALTY: usize = 4;

/// A connection that has proved nothing.
pub(super) type Id = u64;

/// How many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Places in all.
    pub(super) all: usize,
    /// Places of one source.
    pub(super) one: usize,
    /// Connections that may wait for a place, in all.
    pub(super) waiting: usize,
    /// Of one source.
    pub(super) waiting_one: usize,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This one has a place now.
    Admit(Id),
    /// This one has none any more.
    Cut(Id),
    /// This one cannot even wait.
    Refuse(Id),
}

/// How a connection ceased to be unproved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    Proved,
    /// It went without having tried.
    Idle,
    /// It went after so many refused tries.
    Failed(u64),
}

struct Held {
    source: IpAddr,
    since: Duration,
    pulse: Pulse,
}

struct Waiter {
    id: Id,
    pulse: Pulse,
    not_before: Duration,
}

/// Who lets this side wait, how long, and who came first of those who do so equally.
type Slowest = (Duration, Reverse<Id>);

/// Who would yield, as things are.
#[derive(Default)]
struct Yielding {
    /// Places of the source that has most.
    most: usize,
    /// Of the sources that have so many.
    of_most: Option<Slowest>,
    of: HashMap<IpAddr, Slowest>,
}

/// See the module.
pub(super) struct Lobby {
    room: Room,
    next: Id,
    held: BTreeMap<Id, Held>,
    /// Places of each source that has some.
    counts: HashMap<IpAddr, usize>,
    /// Of each source in the order they came.
    waiting: BTreeMap<IpAddr, VecDeque<Waiter>>,
    sources: Sources,
    /// Nobody outside knows it.
    chance: RandomState,
}

impl Lobby {
    pub(super) fn new(room: Room) -> Self {
        Self {
            room,
            next: 0,
            held: BTreeMap::new(),
            counts: HashMap::new(),
            waiting: BTreeMap::new(),
            sources: Sources::default(),
            chance: RandomState::new(),
        }
    }

    /// A newcomer: its number, and what follows. Without a step for it, it waits.
    pub(super) fn arrive(
        &mut self,
        source: IpAddr,
        pulse: Pulse,
        now: Duration,
    ) -> (Id, Vec<Step>) {
        let source = network(source);
        let id = self.next;
        self.next += 1;
        let not_before = now + self.sources.pace(source, now);
        self.waiting.entry(source).or_default().push_back(Waiter {
            id,
            pulse,
            not_before,
        });
        let mut steps = self.look_unless_many(now);
        steps.extend(self.overflow(source).map(Step::Refuse));
        (id, steps)
    }

    /// It proved itself, gave up or was ended: also of one that was cut or still waits.
    pub(super) fn leave(
        &mut self,
        (id, source): (Id, IpAddr),
        parting: Parting,
        now: Duration,
    ) -> Vec<Step> {
        let source = network(source);
        match parting {
            Parting::Proved => {}
            Parting::Idle => self.sources.idle(source, now),
            Parting::Failed(refused) => self.sources.failed(source, refused, now),
        }
        self.drop_place(id);
        if let Some(queue) = self.waiting.get_mut(&source) {
            queue.retain(|waiter| waiter.id != id);
        }
        self.look_unless_many(now)
    }

    fn look_unless_many(&mut self, now: Duration) -> Vec<Step> {
        if self.waiting.len() > MANY {
            return Vec::new();
        }
        self.look(now)
    }

    /// Time has passed: who waits may have a place now. The source with fewest places comes first. Each source is
    /// tried once, and once more for each place it gets.
    pub(super) fn look(&mut self, now: Duration) -> Vec<Step> {
        let waiting = self.waiting.keys();
        let mut due: BinaryHeap<_> = waiting.filter_map(|it| self.first(*it, now)).collect();
        let mut yielding = self.yielding(now);
        let mut steps = Vec::new();
        while let Some(Reverse(next)) = due.pop() {
            let (own, id, source) = next;
            // What was noted before somebody yielded.
            if self.first(source, now) != Some(Reverse(next)) {
                continue;
            }
            let Some(victim) = self.place(source, own, &yielding, now) else {
                continue;
            };
            if let Some(victim) = victim {
                let poorer = self.drop_place(victim);
                steps.push(Step::Cut(victim));
                due.extend(poorer.and_then(|poorer| self.first(poorer, now)));
            }
            self.admit(source, now);
            steps.push(Step::Admit(id));
            due.extend(self.first(source, now));
            yielding = self.yielding(now);
        }
        self.waiting.retain(|_, queue| !queue.is_empty());
        steps
    }

    /// The first of a source's waiters, if it is time for it: by places, then in the order they came.
    fn first(&self, source: IpAddr, now: Duration) -> Option<Reverse<(usize, Id, IpAddr)>> {
        let queue = self.waiting.get(&source)?;
        let first = queue.front()?;
        let pressed = queue.len() >= self.room.waiting_one;
        let due = pressed || first.not_before <= now;
        due.then(|| Reverse((self.count(source), first.id, source)))
    }

    /// The first waiter of this source has a place.
    fn admit(&mut self, source: IpAddr, now: Duration) {
        let queue = self.waiting.get_mut(&source);
        let Some(first) = queue.and_then(VecDeque::pop_front) else {
            return;
        };
        *self.counts.entry(source).or_default() += 1;
        let held = Held {
            source,
            since: now,
            pulse: first.pulse,
        };
        self.held.insert(first.id, held);
    }

    /// Does anybody wait?
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many have a place, and how many wait for one.
    pub(super) fn crowd(&self) -> (u64, u64) {
        let waiting: usize = self.waiting.values().map(VecDeque::len).sum();
        let count = |size| u64::try_from(size).unwrap_or(u64::MAX);
        (count(self.held.len()), count(waiting))
    }

    /// How long a newcomer of this source waits for the first word.
    #[cfg(test)]
    pub(super) fn pace(&self, source: IpAddr, now: Duration) -> Duration {
        self.sources.pace(network(source), now)
    }

    /// How long each refused try takes somebody of this source.
    pub(super) fn slowness(&self, source: IpAddr, now: Duration) -> Duration {
        self.sources.slowness(network(source), now)
    }

    /// May a newcomer of this source, which has `own` places, come in, and who yields?
    fn place(
        &self,
        source: IpAddr,
        own: usize,
        yielding: &Yielding,
        now: Duration,
    ) -> Option<Option<Id>> {
        let capped = own >= self.share(source, now);
        if !capped && self.held.len() < self.room.all {
            return Some(None);
        }
        let most = yielding.most;
        let among_own = capped || most <= own;
        let patience = if !among_own && most > own + 1 {
            HURRY
        } else {
            let behind = self.waiting.get(&source).map_or(0, VecDeque::len);
            let crowd = 1 + u32::try_from(behind).unwrap_or(u32::MAX) / CROWD;
            (EASY / crowd).max(HURRY)
        };
        let slowest = if among_own {
            yielding.of.get(&source).copied()
        } else {
            yielding.of_most
        };
        slowest
            .filter(|(overdue, _)| *overdue >= patience)
            .map(|(_, Reverse(id))| Some(id))
    }

    fn yielding(&self, now: Duration) -> Yielding {
        let mut found = Yielding {
            most: self.counts.values().copied().max().unwrap_or_default(),
            ..Yielding::default()
        };
        for (id, held) in &self.held {
            let one = (held.pulse.overdue(held.since, now), Reverse(*id));
            let slowest = found.of.entry(held.source).or_insert(one);
            *slowest = one.max(*slowest);
            if self.count(held.source) == found.most {
                found.of_most = found.of_most.max(Some(one));
            }
        }
        found
    }

    /// Somebody who waits and has no room to: of this source, or of the one with most; of several, any.
    fn overflow(&mut self, source: IpAddr) -> Option<Id> {
        let own = self.waiting.get(&source).map_or(0, VecDeque::len);
        let all: usize = self.waiting.values().map(VecDeque::len).sum();
        let from = if own > self.room.waiting_one {
            source
        } else if all > self.room.waiting {
            self.longest()?
        } else {
            return None;
        };
        let last = self.waiting.get_mut(&from).and_then(VecDeque::pop_back);
        last.map(|waiter| waiter.id)
    }

    /// Of equals any: whoever floods must not choose whom it keeps out.
    fn longest(&self) -> Option<IpAddr> {
        let most = self.waiting.values().map(VecDeque::len).max()?;
        let longest = || self.waiting.iter().filter(|(_, queue)| queue.len() == most);
        let any = self.chance.hash_one(self.next);
        let count = u64::try_from(longest().count()).ok()?;
        let nth = usize::try_from(any.checked_rem(count)?).ok()?;
        longest().nth(nth).map(|(source, _)| *source)
    }

    fn share(&self, source: IpAddr, now: Duration) -> usize {
        if self.sources.slowness(source, now).is_zero() {
            self.room.one
        } else {
            (self.room.one / PENALTY).max(1)
        }
    }

    fn count(&self, source: IpAddr) -> usize {
        self.counts.get(&source).copied().unwrap_or_default()
    }

    /// Whose it was.
    fn drop_place(&mut self, id: Id) -> Option<IpAddr> {
        let held = self.held.remove(&id)?;
        if let Some(count) = self.counts.get_mut(&held.source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&held.source);
            }
        }
        Some(held.source)
    }
}

#[cfg(test)]
mod tests;

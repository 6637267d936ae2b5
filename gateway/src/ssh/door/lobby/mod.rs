//! Who has a place before having proved anything, who waits for one, and who yields. Pure.
//!
//! A place is free, or is taken from whoever has let this side wait longest: of the newcomer's own source or site
//! when that has all it may have, else of the site that has most, and there of the source that has most. So a
//! flood displaces itself. How long somebody may let us wait depends on how many wait behind.
//!
//! A site is to the door what one IPv4 address is, also one behind which many are: both may have a quarter of the
//! places and half of the queue, and whose site has fewest places comes first.

mod places;
mod queues;
mod yielding;

use core::net::IpAddr;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use self::places::Places;
use self::queues::{Queues, Waiter};
use self::yielding::Yielding;
use super::pulse::Pulse;
use super::sources::{Sources, network, site};

/// Nobody yields who has let us wait for less: a round trip and a client's own work.
const EASY: Duration = Duration::from_secs(1);
/// The same in a crowd, and towards a source or site that has much less.
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
    /// Places of one source, and of one site.
    pub(super) one: usize,
    /// Connections that may wait for a place, in all.
    pub(super) waiting: usize,
    /// Of one source, and of one site.
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

/// Whose turn it is of a site's sources: by places, then in the order they came.
type Turn = (usize, Id, IpAddr);

/// Sources of one site whose first waiter may come in now. What was noted before a place of theirs was given or taken
/// is no longer so.
type Line = BinaryHeap<Reverse<Turn>>;

/// See the module.
pub(super) struct Lobby {
    room: Room,
    next: Id,
    held: BTreeMap<Id, Held>,
    places: Places,
    waiting: Queues,
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
            places: Places::default(),
            waiting: Queues::default(),
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
        let waiter = Waiter {
            id,
            pulse,
            not_before,
        };
        self.waiting.push(source, waiter);
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
        self.waiting.remove(source, id);
        self.look_unless_many(now)
    }

    fn look_unless_many(&mut self, now: Duration) -> Vec<Step> {
        if self.waiting.sources().len() > MANY {
            return Vec::new();
        }
        self.look(now)
    }

    /// Time has passed: who waits may have a place now. The site with fewest places comes first, and there the source
    /// with fewest. Each source is tried once, and once more for each place it gets.
    pub(super) fn look(&mut self, now: Duration) -> Vec<Step> {
        let mut lines = self.lines(now);
        let heads = lines.values_mut().filter_map(|line| self.head(line, now));
        let mut due: BinaryHeap<_> = heads.collect();
        let mut yielding = Yielding::of(&self.held, &self.places, now);
        let mut steps = Vec::new();
        while let Some(next) = due.pop() {
            let Reverse((_, (_, id, source))) = next;
            let Some(line) = lines.get_mut(&site(source)) else {
                continue;
            };
            // What was noted before somebody yielded.
            if self.head(line, now) != Some(next) {
                continue;
            }
            line.pop();
            let Some(victim) = self.place(source, &yielding, now) else {
                due.extend(self.head(line, now));
                continue;
            };
            self.admit(source, now);
            let poorer = victim.and_then(|victim| self.drop_place(victim));
            steps.extend(victim.map(Step::Cut));
            steps.push(Step::Admit(id));
            for source in [Some(source), poorer].into_iter().flatten() {
                if let Some(line) = lines.get_mut(&site(source)) {
                    line.extend(self.first(source, now).map(Reverse));
                    due.extend(self.head(line, now));
                }
            }
            yielding = Yielding::of(&self.held, &self.places, now);
        }
        steps
    }

    /// Those who wait, by site.
    fn lines(&self, now: Duration) -> HashMap<IpAddr, Line> {
        let mut lines: HashMap<IpAddr, Line> = HashMap::new();
        for source in self.waiting.sources() {
            let line = lines.entry(site(source)).or_default();
            line.extend(self.first(source, now).map(Reverse));
        }
        lines
    }

    /// The first turn of a site's, after its places.
    fn head(&self, line: &mut Line, now: Duration) -> Option<Reverse<(usize, Turn)>> {
        while let Some(Reverse(turn)) = line.peek().copied() {
            let (_, _, source) = turn;
            if self.first(source, now) == Some(turn) {
                return Some(Reverse((self.places.of_site(source), turn)));
            }
            line.pop();
        }
        None
    }

    /// The turn of a source, if it is time for the first of its waiters.
    fn first(&self, source: IpAddr, now: Duration) -> Option<Turn> {
        let first = self.waiting.first(source)?;
        let pressed = self.waiting.of_site(source) >= self.room.waiting_one;
        let due = pressed || first.not_before <= now;
        due.then(|| (self.places.of(source), first.id, source))
    }

    /// The first waiter of this source has a place.
    fn admit(&mut self, source: IpAddr, now: Duration) {
        let Some(first) = self.waiting.pop_first(source) else {
            return;
        };
        self.places.add(source);
        let held = Held {
            source,
            since: now,
            pulse: first.pulse,
        };
        self.held.insert(first.id, held);
    }

    /// Does anybody wait?
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.len() > 0
    }

    /// How many have a place, and how many wait for one.
    pub(super) fn crowd(&self) -> (u64, u64) {
        let count = |size| u64::try_from(size).unwrap_or(u64::MAX);
        (count(self.held.len()), count(self.waiting.len()))
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

    /// May a newcomer of this source come in, and who yields?
    fn place(&self, source: IpAddr, yielding: &Yielding, now: Duration) -> Option<Option<Id>> {
        let (own, of_site) = (self.places.of(source), self.places.of_site(source));
        let capped = own >= self.share(source, now);
        let site_capped = of_site >= self.room.one;
        if !capped && !site_capped && self.held.len() < self.room.all {
            return Some(None);
        }
        let (most_in_site, of_most_in_site) = yielding.in_site(source);
        let (most, mine, slowest) = if !capped && !site_capped && yielding.most > of_site {
            (yielding.most, of_site, yielding.of_most)
        } else if !capped && most_in_site > own {
            (most_in_site, own, of_most_in_site)
        } else {
            (own, own, yielding.of_source(source))
        };
        let patience = if most > mine + 1 {
            HURRY
        } else {
            let behind = self.waiting.of_site(source);
            let crowd = 1 + u32::try_from(behind).unwrap_or(u32::MAX) / CROWD;
            (EASY / crowd).max(HURRY)
        };
        slowest
            .filter(|(overdue, _)| *overdue >= patience)
            .map(|(_, Reverse(id))| Some(id))
    }

    /// Somebody who waits and has no room to: of this site, or of the one with most; there of the source with most.
    /// Of equals any: whoever floods must not choose whom it keeps out.
    fn overflow(&mut self, source: IpAddr) -> Option<Id> {
        let any = self.chance.hash_one(self.next);
        let from = if self.waiting.of_site(source) > self.room.waiting_one {
            site(source)
        } else if self.waiting.len() > self.room.waiting {
            self.waiting.longest_site(any)?
        } else {
            return None;
        };
        let from = self.waiting.longest_in(from, any)?;
        self.waiting.pop_last(from).map(|waiter| waiter.id)
    }

    fn share(&self, source: IpAddr, now: Duration) -> usize {
        if self.sources.slowness(source, now).is_zero() {
            self.room.one
        } else {
            (self.room.one / PENALTY).max(1)
        }
    }

    /// Whose it was.
    fn drop_place(&mut self, id: Id) -> Option<IpAddr> {
        let held = self.held.remove(&id)?;
        self.places.take(held.source);
        Some(held.source)
    }
}

#[cfg(test)]
mod tests;

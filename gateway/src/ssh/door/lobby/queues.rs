//! Those who wait for a place: of each source in the order they came, and counted by site.

use core::net::IpAddr;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::super::pulse::Pulse;
use super::super::sources::site;
use super::Id;

pub(super) struct Waiter {
    pub(super) id: Id,
    pub(super) pulse: Pulse,
    pub(super) not_before: Duration,
}

/// Who has nobody that waits is not in it.
#[derive(Default)]
pub(super) struct Queues {
    /// Sources of one site are neighbours here.
    sources: BTreeMap<IpAddr, VecDeque<Waiter>>,
    sites: HashMap<IpAddr, usize>,
    all: usize,
}

impl Queues {
    pub(super) const fn len(&self) -> usize {
        self.all
    }

    pub(super) fn sources(&self) -> impl ExactSizeIterator<Item = IpAddr> {
        self.sources.keys().copied()
    }

    /// How many wait of the site that this source is of.
    pub(super) fn of_site(&self, source: IpAddr) -> usize {
        self.sites.get(&site(source)).copied().unwrap_or_default()
    }

    pub(super) fn first(&self, source: IpAddr) -> Option<&Waiter> {
        self.sources.get(&source)?.front()
    }

    pub(super) fn push(&mut self, source: IpAddr, waiter: Waiter) {
        self.sources.entry(source).or_default().push_back(waiter);
        *self.sites.entry(site(source)).or_default() += 1;
        self.all += 1;
    }

    pub(super) fn pop_first(&mut self, source: IpAddr) -> Option<Waiter> {
        let first = self.sources.get_mut(&source)?.pop_front();
        self.less(source, usize::from(first.is_some()));
        first
    }

    pub(super) fn pop_last(&mut self, source: IpAddr) -> Option<Waiter> {
        let last = self.sources.get_mut(&source)?.pop_back();
        self.less(source, usize::from(last.is_some()));
        last
    }

    pub(super) fn remove(&mut self, source: IpAddr, id: Id) {
        let Some(queue) = self.sources.get_mut(&source) else {
            return;
        };
        let before = queue.len();
        queue.retain(|waiter| waiter.id != id);
        let gone = before - queue.len();
        self.less(source, gone);
    }

    /// So many of this source do not wait any more.
    fn less(&mut self, source: IpAddr, gone: usize) {
        self.all -= gone;
        if let Some(count) = self.sites.get_mut(&site(source)) {
            *count -= gone;
            if *count == 0 {
                self.sites.remove(&site(source));
            }
        }
        if self.sources.get(&source).is_some_and(VecDeque::is_empty) {
            self.sources.remove(&source);
        }
    }

    /// The site of which most wait; of equals the one that this number falls on.
    pub(super) fn longest_site(&self, any: u64) -> Option<IpAddr> {
        longest(self.sites.iter().map(|(site, count)| (*site, *count)), any)
    }

    /// The source of which most wait, in this site; of equals the one that this number falls on.
    pub(super) fn longest_in(&self, of: IpAddr, any: u64) -> Option<IpAddr> {
        let from = self.sources.range(of..);
        let own = from.take_while(|(source, _)| site(**source) == of);
        longest(own.map(|(source, queue)| (*source, queue.len())), any)
    }
}

fn longest(counts: impl Iterator<Item = (IpAddr, usize)> + Clone, any: u64) -> Option<IpAddr> {
    let most = counts.clone().map(|(_, count)| count).max()?;
    let all = || counts.clone().filter(|(_, count)| *count == most);
    let nth = any.checked_rem(u64::try_from(all().count()).ok()?)?;
    let found = all().nth(usize::try_from(nth).ok()?);
    found.map(|(whose, _)| whose)
}

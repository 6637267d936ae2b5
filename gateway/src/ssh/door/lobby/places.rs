//! How many places sources and their sites have.

use core::net::IpAddr;
use std::collections::HashMap;

use super::super::sources::site;

/// Counts; who has none is not in it.
#[derive(Default)]
pub(super) struct Places {
    pub(super) sources: HashMap<IpAddr, usize>,
    pub(super) sites: HashMap<IpAddr, usize>,
}

impl Places {
    pub(super) fn of(&self, source: IpAddr) -> usize {
        self.sources.get(&source).copied().unwrap_or_default()
    }

    /// Of the site that this source is of.
    pub(super) fn of_site(&self, source: IpAddr) -> usize {
        self.sites.get(&site(source)).copied().unwrap_or_default()
    }

    /// Of the site that has most.
    pub(super) fn most(&self) -> usize {
        self.sites.values().copied().max().unwrap_or_default()
    }

    pub(super) fn add(&mut self, source: IpAddr) {
        *self.sources.entry(source).or_default() += 1;
        *self.sites.entry(site(source)).or_default() += 1;
    }

    pub(super) fn take(&mut self, source: IpAddr) {
        less(&mut self.sources, source);
        less(&mut self.sites, site(source));
    }
}

fn less(counts: &mut HashMap<IpAddr, usize>, whose: IpAddr) {
    if let Some(count) = counts.get_mut(&whose) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&whose);
        }
    }
}

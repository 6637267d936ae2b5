//! Who would yield, as things are: found in one walk over those who have a place.

use core::net::IpAddr;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::super::sources::site;
use super::places::Places;
use super::{Held, Id};

/// Who lets this side wait, how long, and who came first of those who do so equally.
pub(super) type Slowest = (Duration, Reverse<Id>);

/// See the module.
#[derive(Default)]
pub(super) struct Yielding {
    /// Places of the site that has most.
    pub(super) most: usize,
    /// Of the sites that have so many: of their sources that have most.
    pub(super) of_most: Option<Slowest>,
    /// Of each site: the places of its source that has most, and of the sources that have so many.
    sites: HashMap<IpAddr, (usize, Slowest)>,
    sources: HashMap<IpAddr, Slowest>,
}

impl Yielding {
    pub(super) fn of(held: &BTreeMap<Id, Held>, places: &Places, now: Duration) -> Self {
        let mut found = Self {
            most: places.most(),
            ..Self::default()
        };
        for (id, held) in held {
            let one = (held.pulse.overdue(held.since, now), Reverse(*id));
            let slowest = found.sources.entry(held.source).or_insert(one);
            *slowest = one.max(*slowest);
            let one = (places.of(held.source), one);
            let of_site = found.sites.entry(site(held.source)).or_insert(one);
            *of_site = one.max(*of_site);
        }
        for (site, (_, slowest)) in &found.sites {
            if places.of_site(*site) == found.most {
                found.of_most = found.of_most.max(Some(*slowest));
            }
        }
        found
    }

    /// In the site of this source: the places of its source that has most, and who of those yields.
    pub(super) fn in_site(&self, source: IpAddr) -> (usize, Option<Slowest>) {
        let found = self.sites.get(&site(source));
        found.map_or((0, None), |(most, slowest)| (*most, Some(*slowest)))
    }

    pub(super) fn of_source(&self, source: IpAddr) -> Option<Slowest> {
        self.sources.get(&source).copied()
    }
}

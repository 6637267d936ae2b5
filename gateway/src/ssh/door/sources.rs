//! What is remembered of addresses: connections that came to nothing, and keys that were refused again and
//! again. Pure. It makes such an address slower, and shuts nobody out.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::HashMap;
use std::time::Duration;

/// Addresses remembered at most; beyond, the older half is forgotten.
const REMEMBERED: usize = 65_536;
/// Connections that came to nothing, and are nobody's business: a scan, a health check, a wrong port.
const IDLE_CALLS: u64 = 8;
/// One of them is forgotten in each of these.
const IDLE_FORGOTTEN: Duration = Duration::from_secs(1);
/// How long the next ones of such an address wait for the first word: from the first to the most.
const PACE: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(1));
/// Failed connections that are still an honest mistake.
const MISTAKES: u64 = 10;
/// One of them is forgotten in each of these.
const MISTAKE_FORGOTTEN: Duration = Duration::from_secs(10);
/// Neither is remembered beyond so many.
const MOST: u64 = 60;
/// What a refused key costs an address that has failed too often: from the first to the most.
const SLOWER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// One source: an IPv4 address, or the /64 that one IPv6 host usually has all of.
pub(super) fn network(source: IpAddr) -> IpAddr {
    first_bits(source, 64)
}

/// The site that a source is of: the /48 of IPv6 that one household or firm has at most (RFC 6177), in which it can
/// be 65,536 sources. An IPv4 address is a site by itself. A /16 of those is no site: its holders share nothing
/// but a provider, one of them would stand in the others' way, and each address costs whoever floods from it.
pub(super) fn site(source: IpAddr) -> IpAddr {
    first_bits(source, 48)
}

/// Of an IPv6 address so many bits; an IPv4 address is left whole, however it is written.
fn first_bits(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let rest = u128::MAX.checked_shr(bits).unwrap_or_default();
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !rest))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A count that goes down by one in each span of time.
#[derive(Clone, Copy, Default)]
struct Fading {
    count: u64,
    at: Duration,
}

impl Fading {
    fn now(self, now: Duration, span: Duration) -> u64 {
        let spans = now.saturating_sub(self.at).as_millis() / span.as_millis().max(1);
        self.count
            .saturating_sub(u64::try_from(spans).unwrap_or(u64::MAX))
    }

    fn add(&mut self, more: u64, now: Duration, span: Duration) {
        self.count = (self.now(now, span) + more).min(MOST);
        self.at = now;
    }
}

#[derive(Clone, Copy, Default)]
struct Record {
    idle: Fading,
    failed: Fading,
}

/// See the module.
#[derive(Default)]
pub(super) struct Sources {
    young: HashMap<IpAddr, Record>,
    old: HashMap<IpAddr, Record>,
}

impl Sources {
    /// A connection ended without having tried to sign in.
    pub(super) fn idle(&mut self, source: IpAddr, now: Duration) {
        self.record(source).idle.add(1, now, IDLE_FORGOTTEN);
    }

    /// A connection ended with so many refused tries, and no good one.
    pub(super) fn failed(&mut self, source: IpAddr, refused: u64, now: Duration) {
        let more = refused.div_ceil(6).max(1);
        self.record(source).failed.add(more, now, MISTAKE_FORGOTTEN);
    }

    /// How long a newcomer waits for the first word.
    pub(super) fn pace(&self, source: IpAddr, now: Duration) -> Duration {
        let calls = self.get(source).idle.now(now, IDLE_FORGOTTEN);
        match calls.saturating_sub(IDLE_CALLS) {
            0 => Duration::ZERO,
            beyond => (PACE.0 + Duration::from_millis(15 * beyond)).min(PACE.1),
        }
    }

    /// How long each refused try takes an address that fails again and again; zero for all others.
    pub(super) fn slowness(&self, source: IpAddr, now: Duration) -> Duration {
        let failed = self.get(source).failed.now(now, MISTAKE_FORGOTTEN);
        match failed.saturating_sub(MISTAKES) {
            0 => Duration::ZERO,
            beyond => (SLOWER.0 * u32::try_from(beyond).unwrap_or(u32::MAX)).min(SLOWER.1),
        }
    }

    fn get(&self, source: IpAddr) -> Record {
        let found = self.young.get(&source).or_else(|| self.old.get(&source));
        found.copied().unwrap_or_default()
    }

    fn record(&mut self, source: IpAddr) -> &mut Record {
        if self.young.len() >= REMEMBERED / 2 && !self.young.contains_key(&source) {
            self.old = std::mem::take(&mut self.young);
        }
        let older = self.old.remove(&source);
        self.young
            .entry(source)
            .or_insert_with(|| older.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_ipv4_source_is_itself_however_it_is_written_and_an_ipv6_host_has_its_64() {
        let network = |text: &str| network(text.parse().unwrap());
        assert_eq!(network("::ffff:10.1.2.3"), network("10.1.2.3"));
        assert_ne!(network("10.1.2.3"), network("10.1.2.4"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }

    #[test]
    fn a_site_is_a_48_of_ipv6_and_one_address_of_ipv4() {
        let site = |text: &str| site(text.parse().unwrap());
        assert_eq!(site("2001:db8::1"), site("2001:db8:0:ffff::1"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:1::1"));
        assert_eq!(site("::ffff:10.1.2.3"), site("10.1.2.3"));
        assert_ne!(site("10.1.2.3"), site("10.1.2.4"));
    }

    #[test]
    fn mistakes_are_free_and_failing_on_and_on_gets_slower_until_it_is_forgotten() {
        let mut sources = Sources::default();
        for _ in 0..MISTAKES {
            sources.failed(address(1), 1, at(0));
        }
        assert_eq!(sources.slowness(address(1), at(0)), Duration::ZERO);
        sources.failed(address(1), 1, at(0));
        assert_eq!(sources.slowness(address(1), at(0)), SLOWER.0);
        for _ in 0..1000 {
            sources.failed(address(1), 20, at(0));
        }
        assert_eq!(sources.slowness(address(1), at(0)), SLOWER.1);
        assert_eq!(sources.slowness(address(2), at(0)), Duration::ZERO);
        assert!(sources.slowness(address(1), at(400)) > Duration::ZERO);
        assert_eq!(sources.slowness(address(1), at(500)), Duration::ZERO);
    }

    #[test]
    fn calls_that_come_to_nothing_are_paced_and_soon_forgotten() {
        let mut sources = Sources::default();
        for call in 0..=IDLE_CALLS {
            assert_eq!(sources.pace(address(1), at(0)), Duration::ZERO, "{call}");
            sources.idle(address(1), at(0));
        }
        assert!(sources.pace(address(1), at(0)) > PACE.0);
        for _ in 0..1000 {
            sources.idle(address(2), at(0));
        }
        assert_eq!(sources.pace(address(2), at(0)), PACE.1);
        assert_eq!(sources.pace(address(2), at(60)), Duration::ZERO);
        assert_eq!(sources.slowness(address(1), at(0)), Duration::ZERO);
        assert_eq!(sources.pace(address(1), at(1)), Duration::ZERO);
    }

    #[test]
    fn a_million_addresses_take_the_room_of_65536_and_the_busy_one_is_remembered() {
        let mut sources = Sources::default();
        for number in 0..1_000_000 {
            sources.idle(address(number), at(0));
            sources.failed(address(7), 20, at(0));
            assert!(sources.young.len() + sources.old.len() <= REMEMBERED);
        }
        assert_eq!(sources.slowness(address(7), at(0)), SLOWER.1);
    }
}

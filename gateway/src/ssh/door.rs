//! How many may stand at the door before they have proved who they are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Unproved connections in all; later ones wait in the kernel's queue.
const ALL: usize = 256;
/// Unproved connections of one address; later ones are closed.
const ONE: usize = 64;

#[derive(Clone)]
pub(super) struct Door {
    all: Arc<Semaphore>,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place at the door; given back when dropped.
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    source: IpAddr,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Door {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            sources: Arc::default(),
        }
    }

    /// Waits for a place in all. Queued fairly, not dropped by chance.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// `None`: too many of this address.
    pub(super) fn enter(&self, source: IpAddr, all: OwnedSemaphorePermit) -> Option<Place> {
        let source = network(source);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sources.entry(source).or_default();
        if *count >= ONE {
            return None;
        }
        *count += 1;
        Some(Place {
            _all: all,
            source,
            sources: Arc::clone(&self.sources),
        })
    }
}

/// One source: an IPv4 address, or the /64 that one IPv6 host usually has all of.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_source_cannot_take_all_places_and_gives_back_what_it_leaves() {
        let door = Door::new();
        let mut inside = Vec::new();
        for host in 0..ONE {
            let source = format!("2001:db8::{host:x}").parse().unwrap();
            inside.push(door.enter(source, door.wait().await.unwrap()).unwrap());
        }
        let again = "2001:db8::ffff:1".parse().unwrap();
        assert!(door.enter(again, door.wait().await.unwrap()).is_none());
        let other = "2001:db8:0:1::1".parse().unwrap();
        assert!(door.enter(other, door.wait().await.unwrap()).is_some());
        assert_eq!(door.all.available_permits(), ALL - ONE);
        inside.pop();
        assert!(door.enter(again, door.wait().await.unwrap()).is_some());
        inside.clear();
        assert!(door.sources.lock().unwrap().is_empty());
        assert_eq!(door.all.available_permits(), ALL);
    }

    #[test]
    fn an_ipv4_source_is_itself_however_it_is_written() {
        assert_eq!(
            network("::ffff:10.1.2.3".parse().unwrap()),
            network("10.1.2.3".parse().unwrap())
        );
        assert_ne!(
            network("10.1.2.3".parse().unwrap()),
            network("10.1.2.4".parse().unwrap())
        );
    }
}

//! Memory of the gateway that people fill: what they send before it is whole, and what they were told and do not read.
//! All of them together have so much of it, and nobody has all.

use std::sync::Arc;

use keys::UserName;
use shell::{Failure, Kind};

use crate::seats::{Full, Seat, Seats};

/// Bytes, of all together.
const ALL: usize = 256 << 20;
/// Of one account: two of the longest batches.
const EACH: usize = 128 << 20;
/// What is as short as this is not counted.
const SHORT: usize = 64 << 10;

/// There is one of it.
#[derive(Debug)]
pub struct Memory(Arc<Seats<UserName>>);

/// Some of it, until this is dropped.
#[derive(Debug)]
pub struct Share(Seat<UserName>);

impl Default for Memory {
    fn default() -> Self {
        Self(Seats::of(EACH, ALL))
    }
}

impl Memory {
    /// Nothing yet.
    #[must_use]
    pub fn share(&self, account: &UserName) -> Share {
        Share(self.0.none(account))
    }
}

impl Share {
    /// Now it is so many bytes in all. What is longer than all that one account may have is counted as that.
    ///
    /// # Errors
    /// [`Kind::Busy`]: there are not so many; what was held before still is.
    pub fn grow(&mut self, to: usize) -> Result<(), Failure> {
        if to <= SHORT {
            return Ok(());
        }
        self.0.grow(to.min(EACH)).map_err(|full| {
            let sentence = match full {
                Full::Own(own) => format!(
                    "{}: the gateway holds {} MiB of what you send or have not read, and may hold no more",
                    self.0.whose(),
                    own >> 20
                ),
                Full::All => {
                    "the gateway holds as much of what people send or have not read as it may".to_owned()
                }
            };
            Failure::new(Kind::Busy, sentence).hint("nothing has changed: try again in a moment")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn name(name: &str) -> UserName {
        name.parse().unwrap()
    }

    #[test]
    fn nobody_has_all_and_what_is_dropped_is_free_again() {
        let memory = Memory::default();
        let (alice, bob, carol) = (name("alice"), name("bob"), name("carol"));
        let mut first = memory.share(&alice);
        first.grow(64 * MIB).unwrap();
        first.grow(60 * MIB).unwrap();
        let mut second = memory.share(&alice);
        second.grow(60 * MIB).unwrap();
        assert_eq!(second.grow(65 * MIB).unwrap_err().kind, Kind::Busy);
        second.grow(64 * MIB).unwrap();
        let mut other = memory.share(&bob);
        other.grow(EACH).unwrap();
        let mut third = memory.share(&carol);
        let refused = third.grow(MIB).unwrap_err();
        assert!(refused.sentence.contains("people"), "{}", refused.sentence);
        third.grow(SHORT).unwrap();
        drop(other);
        third.grow(MIB).unwrap();
        drop((first, second, third));
        memory.share(&alice).grow(ALL + MIB).unwrap();
        assert!(memory.0.is_free());
    }
}

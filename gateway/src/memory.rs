//! Memory of the gateway that people fill: what they send before it is whole, and what they were told and do not read.
//! All of them together have so much of it, and nobody has all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use keys::UserName;
use shell::{Failure, Kind};

/// Bytes, of all together.
const ALL: usize = 256 << 20;
/// Of one account: two of the longest batches.
const EACH: usize = 128 << 20;
/// What is as short as this is not counted.
const SHORT: usize = 64 << 10;

/// There is one of it.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<UserName, usize>,
}

/// Some of it, until this is dropped.
#[derive(Debug)]
pub struct Share {
    memory: Arc<Memory>,
    account: UserName,
    bytes: usize,
}

impl Memory {
    /// Nothing yet.
    #[must_use]
    pub fn share(self: &Arc<Self>, account: &UserName) -> Share {
        Share {
            memory: Arc::clone(self),
            account: account.clone(),
            bytes: 0,
        }
    }
}

impl Share {
    /// Now it is so many bytes in all. What is longer than all that one account may have is counted as that.
    ///
    /// # Errors
    /// [`Kind::Busy`]: there are not so many; what was held before still is.
    pub fn grow(&mut self, to: usize) -> Result<(), Failure> {
        let to = to.min(EACH);
        let more = to.saturating_sub(self.bytes);
        if to <= SHORT || more == 0 {
            return Ok(());
        }
        let taken = &mut *self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.each.get(&self.account).copied().unwrap_or_default();
        if own + more > EACH {
            let sentence = format!(
                "{}: the gateway holds {} MiB of what you send or have not read, and may hold no more",
                self.account,
                own >> 20
            );
            return Err(busy(sentence));
        }
        if taken.all + more > ALL {
            let sentence =
                "the gateway holds as much of what people send or have not read as it may";
            return Err(busy(sentence));
        }
        taken.all += more;
        taken.each.insert(self.account.clone(), own + more);
        self.bytes = to;
        Ok(())
    }
}

fn busy(sentence: impl Into<String>) -> Failure {
    Failure::new(Kind::Busy, sentence).hint("nothing has changed: try again in a moment")
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.bytes;
        let left = taken
            .each
            .get(&self.account)
            .map_or(0, |own| own - self.bytes);
        if left == 0 {
            taken.each.remove(&self.account);
        } else {
            taken.each.insert(self.account.clone(), left);
        }
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
        let memory = Arc::new(Memory::default());
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
        let taken = memory.0.lock().unwrap();
        assert!(taken.all == 0 && taken.each.is_empty(), "{taken:?}");
    }
}

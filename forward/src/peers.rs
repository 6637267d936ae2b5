//! Who has spoken lately, by number: so many at once, and nobody for ever.

use std::collections::HashMap;
use std::time::Duration;

/// Peers of one forward, at both of its ends.
pub const MOST: usize = 256;
/// Who has said and heard nothing for so long is forgotten.
pub const IDLE: Duration = Duration::from_secs(300);

/// When they are too many, whoever was silent longest goes. `now` is what a clock shows that only goes forward.
#[derive(Debug)]
pub struct Peers<V> {
    entries: HashMap<u32, (V, Duration)>,
}

impl<V> Default for Peers<V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
        }
    }
}

impl<V> Peers<V> {
    /// One that speaks now, or is spoken to.
    pub fn get(&mut self, number: u32, now: Duration) -> Option<&V> {
        let (value, used) = self
            .entries
            .get_mut(&number)
            .filter(|(_, used)| !idle(*used, now))?;
        *used = now;
        Some(value)
    }

    /// The one that had to go for it.
    pub fn insert(&mut self, number: u32, value: V, now: Duration) -> Option<V> {
        let full = self.entries.len() >= MOST && !self.entries.contains_key(&number);
        let silent = self.entries.iter().min_by_key(|(_, (_, used))| *used);
        let silent = silent.map(|(number, _)| *number).filter(|_| full);
        let gone = silent.and_then(|number| self.entries.remove(&number));
        let replaced = self.entries.insert(number, (value, now));
        gone.or(replaced).map(|(value, _)| value)
    }

    /// Those that were silent too long.
    pub fn expire(&mut self, now: Duration) -> Vec<V> {
        let gone = self.entries.extract_if(|_, (_, used)| idle(*used, now));
        gone.map(|(_, (value, _))| value).collect()
    }
}

fn idle(used: Duration, now: Duration) -> bool {
    now.saturating_sub(used) >= IDLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silent_go_and_those_who_speak_stay() {
        let after = Duration::from_secs;
        let mut peers = Peers::default();
        assert_eq!(peers.insert(1, "a", after(0)), None);
        assert_eq!(peers.insert(2, "b", after(1)), None);
        assert_eq!(peers.get(1, after(200)), Some(&"a"));
        assert_eq!(peers.get(2, after(301)), None, "silent for 300 s");
        assert_eq!(peers.expire(after(301)), ["b"]);
        assert_eq!(peers.get(1, after(499)), Some(&"a"));
        assert_eq!(peers.insert(1, "c", after(500)), Some("a"));
        assert_eq!(peers.get(9, after(500)), None);
    }

    #[test]
    fn one_too_many_takes_the_place_of_the_most_silent() {
        let mut peers = Peers::default();
        let most = u32::try_from(MOST).unwrap();
        for number in 0..most {
            let now = Duration::from_millis(u64::from(number));
            assert_eq!(peers.insert(number, number, now), None);
        }
        let now = Duration::from_secs(1);
        assert_eq!(peers.get(0, now), Some(&0));
        assert_eq!(peers.insert(most, most, now), Some(1));
        assert_eq!(peers.entries.len(), MOST);
        assert_eq!(peers.get(1, now), None);
    }
}

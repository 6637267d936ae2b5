//! The only place that sleeps.

use std::time::{Duration, Instant};

/// Until it holds; fails after a minute, which no condition here takes.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

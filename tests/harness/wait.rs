//! The only place that sleeps.

use std::time::{Duration, Instant};

/// Until it holds; fails after a minute, which no condition here takes.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(what, Duration::from_secs(60), holds);
}

/// As [`until`], for what takes its time by design, such as a peer's silence that is noticed.
pub fn until_within(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A fault that lasts so long: for programs that make faults, not for tests that wait.
pub fn rest(time: Duration) {
    std::thread::sleep(time);
}

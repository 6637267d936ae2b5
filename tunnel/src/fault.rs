//! Places in the life of a task where a test may end the process (feature `fault`; without it nothing is left of them).
//!
//! `RIVER_FAULT=P3@2` is `kill -9` of this process the second time that it passes P3; several are separated by commas.

/// Along the life of a task, gateway and runner in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A line of somebody was read.
    P1,
    /// It was judged and made into records; nothing is durable.
    P2,
    /// Durable; nobody was told.
    P3,
    /// Its caller was told.
    P4,
    /// It has a node; that is not durable.
    P5,
    /// That is durable; the node was not told.
    P6,
    /// Its node's list is on its way.
    P7,
    /// Durable at the runner; nothing was made of it.
    P8,
    /// Its box is made, not started.
    P9,
    /// Its box is started.
    P10,
    /// Some of its output is on its way to somebody.
    P11,
    /// Its end was seen.
    P12,
    /// Its result is durable at the runner.
    P13,
    /// Its result is on its way to the gateway.
    P14,
    /// Its result is durable at the gateway.
    P15,
    /// Its node was told to forget it.
    P16,
    /// Its box is gone.
    P17,
    /// Nothing of it is left at the runner.
    P18,
}

#[cfg(not(feature = "fault"))]
#[inline(always)]
pub fn pass(_: Point) {}

#[cfg(feature = "fault")]
pub use armed::pass;

#[cfg(feature = "fault")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::Point;

    /// A place, and how often it is passed before the end.
    struct Charge {
        name: String,
        left: AtomicU32,
    }

    fn charges() -> &'static [Charge] {
        static CHARGES: OnceLock<Vec<Charge>> = OnceLock::new();
        CHARGES.get_or_init(|| parse(&std::env::var("RIVER_FAULT").unwrap_or_default()))
    }

    fn parse(text: &str) -> Vec<Charge> {
        let charges = text.split(',').filter_map(|charge| {
            let (name, count) = charge.split_once('@').unwrap_or((charge, "1"));
            let left = AtomicU32::new(count.parse().ok()?);
            let name = name.to_owned();
            (!name.is_empty()).then_some(Charge { name, left })
        });
        charges.collect()
    }

    /// Here the process ends, if it was asked to.
    pub fn pass(point: Point) {
        let name = format!("{point:?}");
        for charge in charges().iter().filter(|charge| charge.name == name) {
            if charge.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                // As a power failure: nothing is unwound, flushed or said.
                let _ = kill(Pid::this(), Signal::SIGKILL);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_charge_has_a_place_and_a_count() {
            let charges = parse("P3@2,P14,,x@y");
            let read: Vec<(&str, u32)> = charges
                .iter()
                .map(|it| (it.name.as_str(), it.left.load(Ordering::Relaxed)))
                .collect();
            assert_eq!(read, [("P3", 2), ("P14", 1)]);
        }
    }
}

//! One line a figure: the row, what, how much, its bar.

use std::time::{Duration, Instant};

/// How a figure is judged.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// Somebody wants to know.
    None,
}

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) row: &'static str,
    short: Vec<String>,
}

impl Report {
    pub(crate) fn figure(&mut self, what: &str, value: f64, unit: &str, bar: Bar) {
        let (good, bar) = match bar {
            Bar::AtMost(most) => (value <= most, format!("<= {most}")),
            Bar::AtLeast(least) => (value >= least, format!(">= {least}")),
            Bar::None => (true, String::new()),
        };
        let mark = match (good, bar.is_empty()) {
            (_, true) => "",
            (true, false) => "ok",
            (false, false) => "SHORT",
        };
        let value = format!("{value:.2} {unit}");
        println!("{:<6} {what:<58} {value:>18} {bar:>10} {mark}", self.row);
        if !good {
            self.short.push(format!("{} {what}", self.row));
        }
    }

    pub(crate) fn note(&mut self, what: &str, value: f64, unit: &str) {
        self.figure(what, value, unit, Bar::None);
    }

    pub(crate) fn end(&self) {
        if self.short.is_empty() {
            println!("every bar met");
        } else {
            println!(
                "short of its bar: {}; causes: docs/benchmarks.md",
                self.short.join("; ")
            );
        }
    }
}

/// The value that this share of all is not above; zero of none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some thousands, and a share below 1"
)]
pub(crate) fn rank(values: &[Duration], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort();
    let at = ((sorted.len() as f64) * share) as usize;
    sorted.get(at).map_or(0.0, Duration::as_secs_f64) * 1e3
}

/// How long `work` took, so many times.
pub(crate) fn times(rounds: usize, mut work: impl FnMut()) -> Vec<Duration> {
    (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect()
}

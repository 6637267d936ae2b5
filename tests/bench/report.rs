//! One line a measurement: ours, theirs, the ratio, the bar.

use std::time::{Duration, Instant};

/// How a ratio is judged.
#[derive(Clone, Copy)]
pub(super) enum Bar {
    /// Ours over theirs, in time.
    AtMost(f64),
    /// Ours over theirs, in speed.
    AtLeast(f64),
}

#[derive(Default)]
pub(super) struct Report {
    short: Vec<String>,
}

impl Report {
    fn line(&mut self, what: &str, ours: &str, theirs: &str, value: f64, bar: Bar) {
        let (good, bar) = match bar {
            Bar::AtMost(most) => (value <= most, format!("<= {most:.2}")),
            Bar::AtLeast(least) => (value >= least, format!(">= {least:.2}")),
        };
        let mark = if good { "ok" } else { "SHORT" };
        println!("{what:<34} {ours:>11} {theirs:>27} {value:>6.2} {bar:>8} {mark}");
        if !good {
            self.short.push(what.to_owned());
        }
    }

    /// Seconds against seconds.
    pub(super) fn time(&mut self, what: &str, pair: &Pair, peer: &str, bar: Bar) {
        let ours = format!("{:.2} ms", pair.ours * 1e3);
        let theirs = format!("{peer} {:.2} ms", pair.theirs * 1e3);
        self.line(what, &ours, &theirs, pair.ratio, bar);
    }

    /// `amount` of `unit` in so many seconds each.
    pub(super) fn speed(
        &mut self,
        what: &str,
        pair: &Pair,
        (amount, unit): (f64, &str),
        peer: &str,
        bar: Bar,
    ) {
        let ours = format!("{:.1} {unit}", amount / pair.ours);
        let theirs = format!("{peer} {:.1} {unit}", amount / pair.theirs);
        self.line(what, &ours, &theirs, 1.0 / pair.ratio, bar);
    }

    /// A figure with a bar of its own, not a ratio.
    pub(super) fn figure(&mut self, what: &str, value: f64, unit: &str, most: f64) {
        let ours = format!("{value:.2} {unit}");
        self.line(what, &ours, "", value / most, Bar::AtMost(1.0));
    }

    /// A figure that somebody wants to know, without a bar.
    pub(super) fn note(what: &str, value: f64, unit: &str) {
        println!("{what:<34} {:>11}", format!("{value:.2} {unit}"));
    }

    pub(super) fn end(&self) {
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

/// Medians of paired rounds, in seconds; the ratio is the median of the rounds' own.
pub(super) struct Pair {
    pub ours: f64,
    pub theirs: f64,
    pub ratio: f64,
}

impl Pair {
    pub(super) fn of(ours: f64, theirs: f64) -> Self {
        Self {
            ours,
            theirs,
            ratio: ours / theirs,
        }
    }
}

/// The value that this share of all is not above.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "some thousands, and a share below 1"
)]
pub(super) fn rank(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() as f64) * share) as usize]
}

/// Runs both in turn, so that what else the machine does strikes both.
pub(super) fn pair(rounds: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> Pair {
    ours();
    theirs();
    let mut seen = Vec::new();
    for round in 0..rounds {
        // Who begins changes: neither always finds the caches of the other.
        let both = if round % 2 == 0 {
            let mine = took(&mut ours);
            (mine, took(&mut theirs))
        } else {
            let other = took(&mut theirs);
            (took(&mut ours), other)
        };
        seen.push(both);
    }
    Pair {
        ours: median(seen.iter().map(|both| both.0)),
        theirs: median(seen.iter().map(|both| both.1)),
        ratio: median(seen.iter().map(|both| both.0 / both.1)),
    }
}

pub(super) fn took(work: &mut impl FnMut()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Lets the machine rest: what is measured next is idleness.
pub(super) fn rest(time: Duration) {
    std::thread::park_timeout(time);
}

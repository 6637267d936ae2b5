//! `make bench`: ratios, in one run, against what one would use instead. `make bench ONLY=task` runs some.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

mod bulk;
mod idle;
mod peer;
mod report;
mod submit;
mod task;
mod vps;

use report::Report;

/// One part of the whole.
type Measure = fn(&mut Report);

fn main() {
    // The programs that people install, not those of everyday work.
    if std::env::var_os("RIVER_PROFILE").is_none() {
        let own = std::env::current_exe().unwrap();
        let status = std::process::Command::new(own)
            .args(std::env::args_os().skip(1))
            .env("RIVER_PROFILE", "release")
            .status();
        std::process::exit(status.unwrap().code().unwrap_or(1));
    }
    let only = std::env::args().nth(1).unwrap_or_default();
    let mut report = Report::default();
    let parts: [(&str, Measure); 5] = [
        ("task", task::measure as Measure),
        ("submit", submit::measure),
        ("bulk", bulk::measure),
        ("vps", vps::measure),
        ("idle", idle::measure),
    ];
    for (name, measure) in parts {
        if only.is_empty() || name == only {
            measure(&mut report);
        }
    }
    report.end();
}

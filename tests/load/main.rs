//! `make load`: how much a gateway carries, on one machine with its clients beside it. `make load ONLY=L2` runs a row.
//!
//! One line a figure, with its bar where it has one, in one run with sshd's where there is such. `SECONDS_EACH` (15)
//! for the rows that last, `SESSIONS` (5000), `RUNNERS` (500), `USERS` (2000), `QUEUED` (100000), `ENDED` (1000000), `REST` (60),
//! `SILENT` (2000), `DEAF` (100), `GUESSERS` (50).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so and ends"
)]

mod client;
mod crowd;
mod fleet;
mod hostile;
mod idle;
mod newcomers;
mod process;
mod queue;
mod report;
mod rest;
mod runners;
mod sshd;
mod store;
mod submits;

use harness::River;
use report::Report;

/// A row: its name, and what it measures.
type Row = (&'static str, fn(&mut Bench));

const ROWS: [Row; 8] = [
    ("L1", idle::measure),
    ("L2", newcomers::measure),
    ("L4", runners::measure),
    ("L5", submits::measure),
    ("L6", queue::measure),
    ("L8", rest::measure),
    ("L9", hostile::measure),
    ("store", store::measure),
];

/// What rows share.
struct Bench {
    report: Report,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    /// The connections of a row end with it.
    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// A fresh gateway.
    fn river() -> River {
        River::gateway_alone("")
    }
}

/// What would take longer than this never comes.
const LONG: std::time::Duration = std::time::Duration::from_secs(300);

/// A count that may be given by the environment.
fn count(name: &str, otherwise: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |given| given.parse().unwrap())
}

/// How long a row lasts that could last for ever.
fn seconds() -> std::time::Duration {
    std::time::Duration::from_secs(count("SECONDS_EACH", 15) as u64)
}

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
    process::open_files();
    let only: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let mut bench = Bench {
        report: Report::default(),
        runtime: runtime.unwrap(),
    };
    for (name, measure) in ROWS {
        if only.is_empty() || only.iter().any(|wanted| wanted == name) {
            bench.report.row = name;
            measure(&mut bench);
        }
    }
    bench.report.end();
}

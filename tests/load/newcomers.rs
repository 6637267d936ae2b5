//! L2: people who come, sign in by key, ask once, and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Login, address};
use crate::process::mega;
use crate::report::{Bar, rank};
use crate::sshd::Sshd;

/// People at the same time.
const AT_ONCE: usize = 16;

/// For all that sshd shows.
const SHORT: Duration = Duration::from_secs(15);

/// What came of them.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) times: Vec<Duration>,
    pub(crate) failed: usize,
    lasted: Duration,
}

impl Seen {
    pub(crate) fn rate(&self) -> f64 {
        self.times.len() as f64 / self.lasted.as_secs_f64().max(0.001)
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.times.extend(more.times);
        self.failed += more.failed;
        self.lasted += more.lasted;
    }
}

/// As many as there can be for so long, each from one of a thousand addresses.
pub(crate) async fn come(login: &Login, line: &'static str, time: Duration) -> Seen {
    let (over, next) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let begun = Instant::now();
    let mut people = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (login, over, next) = (login.clone(), Arc::clone(&over), Arc::clone(&next));
        people.spawn(async move {
            let (mut times, mut failed) = (Vec::new(), 0);
            while !over.load(Ordering::Relaxed) {
                let from = address(2, next.fetch_add(1, Ordering::Relaxed) % 1000);
                let begun = Instant::now();
                let one = async {
                    let client = login.enter(from).await?;
                    client.run(line).await?;
                    client.leave().await;
                    Ok::<_, anyhow::Error>(())
                };
                match one.await {
                    Ok(()) => times.push(begun.elapsed()),
                    Err(error) => {
                        if failed == 0 {
                            eprintln!("failed: {error:#}");
                        }
                        failed += 1;
                    }
                }
            }
            (times, failed)
        });
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut seen = Seen::default();
    for (times, failed) in people.join_all().await {
        seen.times.extend(times);
        seen.failed += failed;
    }
    seen.lasted = begun.elapsed();
    seen
}

pub(crate) fn measure(bench: &mut Bench) {
    let river = Bench::river();
    let ours = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    let sshd = Sshd::start();
    let theirs = Login::new(sshd.port, "root", &sshd.key());
    let (mut us, mut them) = (Seen::default(), Seen::default());
    let processor = crate::process::processor(river.pids().0);
    // In turn, so that what else the machine does strikes both; sshd has no ten minutes to prove.
    let (time, short) = (crate::seconds(), crate::seconds().min(SHORT));
    let mut memory = Vec::new();
    for _ in 0..3 {
        us.add(bench.run(come(&ours, "task list", time / 3)));
        memory.push(mega(river.memory()));
        them.add(bench.run(come(&theirs, "true", short / 3)));
    }
    let used = crate::process::processor(river.pids().0) - processor;
    let each = used / us.times.len() as f64 * 1e3;
    let report = &mut bench.report;
    report.figure(
        "new sessions, key and `task list`",
        us.rate(),
        "/s",
        Bar::AtLeast(250.0),
    );
    report.figure(
        "  half of them within",
        rank(&us.times, 0.5),
        "ms",
        Bar::None,
    );
    report.figure(
        "  99 of 100 within",
        rank(&us.times, 0.99),
        "ms",
        Bar::AtMost(300.0),
    );
    report.figure("  failed", us.failed as f64, "", Bar::AtMost(0.0));
    report.note("  of the gateway's processor, each", each, "ms");
    for (third, memory) in memory.into_iter().enumerate() {
        report.note(
            &format!("  RSS after {} of 3 parts", third + 1),
            memory,
            "MB",
        );
    }
    report.note("sshd, key and `true`", them.rate(), "/s");
    report.note("  99 of 100 within", rank(&them.times, 0.99), "ms");
    report.note("  failed", them.failed as f64, "");
    // Without it there is nothing to compare with, and the bar is missed.
    let ratio = if them.failed == 0 {
        us.rate() / them.rate()
    } else {
        0.0
    };
    report.figure("river over sshd", ratio, "", Bar::AtLeast(4.0));
}

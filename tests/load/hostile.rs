//! L9: people who come while others do what they can to keep them out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use crate::Bench;
use crate::client::{Client, Login, address};
use crate::newcomers::come;
use crate::process::{mega, processor};
use crate::report::{Bar, rank};
use crate::submits::each;

/// Of each, between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// Before one that was thrown out is there again.
const AGAIN: Duration = Duration::from_secs(5);

/// Sockets that never say a word, and people who try keys that nobody knows, each from an address of their own. They
/// come back whenever they are thrown out.
fn crowd(login: &Login, guesses: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for number in 0..crate::count("SILENT", 2000) {
        let login = login.clone();
        crowd.spawn(async move {
            loop {
                // Twenty hosts.
                if let Ok(mut socket) = login.socket(address(4, number % 20)).await {
                    let mut bytes = [0; 256];
                    while socket.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
    for number in 0..crate::count("GUESSERS", 50) {
        let (login, guesses) = (login.stranger(), Arc::clone(guesses));
        crowd.spawn(async move {
            loop {
                let from = address(5, number);
                if matches!(login.try_enter(from).await, Ok(None)) {
                    guesses.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    crowd
}

/// Sessions that ask for much and never read: the gateway wants to tell them more than their sockets hold.
async fn deaf(login: &Login) -> Vec<Client> {
    let mut deaf = Vec::new();
    for number in 0..crate::count("DEAF", 100) {
        let client = login.enter(address(6, number)).await.unwrap();
        for _ in 0..4 {
            let channel = client.handle.channel_open_session().await.unwrap();
            channel.exec(false, "audit -n 10000").await.unwrap();
        }
        client.be_deaf();
        deaf.push(client);
    }
    deaf
}

pub(crate) fn measure(bench: &mut Bench) {
    let river = Bench::river();
    let login = Login::new(river.port, "alice", &river.dir.path().join("alice_key"));
    bench.run(async {
        let client = login.enter(address(1, 1)).await.unwrap();
        each(&client, 10_000).await;
    });
    let mut alone = bench.run(come(&login, "task list", crate::seconds() / 2));
    let pid = river.pids().0;
    let guesses = Arc::new(AtomicUsize::new(0));
    let (beside, guessed, spent) = bench.run(async {
        let deaf = deaf(&login).await;
        let crowd = crowd(&login, &guesses);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let before = processor(pid);
        tokio::time::sleep(AGAIN).await;
        let spent = (processor(pid) - before) / AGAIN.as_secs_f64();
        let before = guesses.load(Ordering::Relaxed);
        let beside = come(&login, "task list", crate::seconds()).await;
        let guessed = guesses.load(Ordering::Relaxed) - before;
        drop((deaf, crowd));
        (beside, guessed, spent)
    });
    // Before and after: what else the machine does changes.
    alone.add(bench.run(come(&login, "task list", crate::seconds() / 2)));
    let (quiet, loud) = (rank(&alone.times, 0.99), rank(&beside.times, 0.99));
    let report = &mut bench.report;
    report.note("nobody else there: new sessions", alone.rate(), "/s");
    report.note("  99 of 100 within", quiet, "ms");
    report.note(
        "2,000 silent, 100 deaf, 50 who guess: new sessions",
        beside.rate(),
        "/s",
    );
    report.note("  99 of 100 within", loud, "ms");
    report.figure(
        "  over that without them",
        loud / quiet,
        "",
        Bar::AtMost(2.0),
    );
    report.figure("  failed", beside.failed as f64, "", Bar::AtMost(0.0));
    report.note(
        "  wrong keys, whole handshakes on the same cores",
        guessed as f64 / crate::seconds().as_secs_f64(),
        "/s",
    );
    report.note("  they alone: of a core", spent * 100.0, "%");
    report.figure(
        "the most memory it ever had",
        mega(river.peak()),
        "MB",
        Bar::AtMost(400.0),
    );
}

//! Many submits at a steady pace, by clients that come back after each fall of the gateway.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::cluster::Cluster;
use crate::ledger::{Job, Ledger};
use crate::node::Engine;

/// So that each has keys of its own.
static LOADS: AtomicU64 = AtomicU64::new(0);

/// What the clients heard.
#[derive(Default)]
struct Tally {
    acks: Mutex<Vec<String>>,
    /// Without an answer: nobody knows whether they were taken. They are asked again, with the same key.
    unheard: AtomicU64,
    /// Without an answer a second time.
    twice: AtomicU64,
    /// Answers that were no acknowledgement.
    refused: Mutex<Vec<String>>,
    stop: AtomicBool,
}

pub(crate) struct Load {
    tally: Arc<Tally>,
    thread: JoinHandle<()>,
    job: Job,
}

impl Load {
    /// So many a second in all, by some connections; `options` of `task submit`.
    pub(crate) fn start(cluster: &Cluster, per_second: u32, options: &str, job: Job) -> Self {
        const CLIENTS: u32 = 5;
        let tally = Arc::new(Tally::default());
        let key = cluster.base().join("alice_key");
        let engines: BTreeSet<Engine> = cluster.nodes.iter().map(|node| node.engine).collect();
        // Most of them where a task costs least.
        let (first, many) = (*engines.first().unwrap(), *engines.last().unwrap());
        let line = |engine| {
            let words = job.words(&cluster.starts(), engine);
            format!("{options} {words}")
        };
        let lines: Vec<String> = (0..CLIENTS)
            .map(|client| line(if client == 0 { first } else { many }))
            .collect();
        let shared = Arc::clone(&tally);
        let load = LOADS.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let pause = Duration::from_secs(1) * CLIENTS / per_second;
                let clients = lines.into_iter().zip(0..).map(|(line, client)| {
                    let line = (format!("load-{load}-{client}"), line);
                    tokio::spawn(submit(key.clone(), line, pause, Arc::clone(&shared)))
                });
                for client in clients.collect::<Vec<_>>() {
                    client.await.unwrap();
                }
            });
        });
        Self { tally, thread, job }
    }

    /// Ends it; every acknowledgement goes into the ledger. How many submits were not answered, and how many of
    /// those not when they were asked again.
    pub(crate) fn stop(self, ledger: &mut Ledger) -> (u64, u64) {
        self.tally.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let refused = self.tally.refused.lock().unwrap();
        assert!(refused.is_empty(), "refused: {refused:?}");
        for text in self.tally.acks.lock().unwrap().iter() {
            let known = ledger.acks.len();
            let id = ledger.acknowledge(text, self.job);
            assert!(ledger.acks.len() > known, "I1: task-{id} was given twice");
        }
        (
            self.tally.unheard.load(Ordering::Relaxed),
            self.tally.twice.load(Ordering::Relaxed),
        )
    }
}

async fn submit(key: PathBuf, line: (String, String), pause: Duration, tally: Arc<Tally>) {
    let mut client: Option<Client> = None;
    let mut beat = tokio::time::interval(pause);
    let (mut number, mut tries) = (0, 0);
    while !tally.stop.load(Ordering::Relaxed) {
        beat.tick().await;
        let Some(open) = &client else {
            client = Client::connect(&key, "alice").await.ok();
            continue;
        };
        let (own, rest) = &line;
        let heard = open
            .run(&format!("task submit --key {own}-{number} {rest}"))
            .await;
        match heard.code {
            Some(0) => {
                let text = String::from_utf8_lossy(&heard.stdout).into_owned();
                tally.acks.lock().unwrap().push(text);
                (number, tries) = (number + 1, 0);
            }
            // Without its code an answer is not whole, whatever came of it.
            None => {
                if heard.asked {
                    let count = if tries == 0 {
                        &tally.unheard
                    } else {
                        &tally.twice
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                    tries += 1;
                }
                client = None;
            }
            Some(75) => {}
            Some(code) => {
                let said = String::from_utf8_lossy(&heard.stderr).into_owned();
                tally
                    .refused
                    .lock()
                    .unwrap()
                    .push(format!("{code}: {said}"));
            }
        }
    }
}

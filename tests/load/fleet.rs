//! Runners without boxes: the link is the real one, over SSH, with certificates of real joins; what is started there
//! says that it runs, and never ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{AttemptReport, EngineKind, NodeFacts, Observation, Phase, Timestamp, Wanted};
use keys::Role;
use keys::token::JoinTokenText;
use runner::agent::{Dialer, Event, dial_for_ever};
use runner::journal::Seen;
use russh::keys::{Algorithm, Certificate, PrivateKey};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tunnel::ssh::DialConfig;
use tunnel::wire::ToRunner;

use crate::client::Client;

/// Between two words of a runner that has nothing to say.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Joins at the same time.
const AT_ONCE: usize = 16;
/// Connections beside control, as real runners have.
const BULK: usize = 2;

/// Ends with it.
pub(crate) struct Fleet {
    connected: Arc<AtomicUsize>,
    _runners: JoinSet<()>,
}

impl Fleet {
    /// `n1` and so on, each with so many cores.
    pub(crate) async fn start(admin: &Client, port: u16, nodes: usize, cores: u32) -> Self {
        let connected = Arc::new(AtomicUsize::new(0));
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut runners = JoinSet::new();
        for number in 1..=nodes {
            let line = format!("node invite -q n{number}");
            let token = String::from_utf8(admin.run(&line).await.unwrap()).unwrap();
            let (room, connected) = (Arc::clone(&room), Arc::clone(&connected));
            let gateway = format!("127.0.0.1:{port}");
            runners.spawn(async move {
                let place = room.acquire_owned().await.unwrap();
                let machine = format!("machine-{number}");
                let config = join(gateway, token.trim(), &machine).await.unwrap();
                drop(place);
                run(config, facts(cores, &machine), &connected).await;
            });
        }
        Self {
            connected,
            _runners: runners,
        }
    }

    /// Runners that have a link now.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

async fn join(gateway: String, token: &str, machine: &str) -> anyhow::Result<DialConfig> {
    let token = JoinTokenText::parse(token)?;
    let config = DialConfig {
        gateway,
        host_pins: vec![token.host_key.parse()?],
        key: PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519)?,
        certificate: None,
        bulk: BULK,
        instance: rand::random(),
    };
    let joined = tunnel::ssh::join(&config, &token.secret, machine).await?;
    Ok(DialConfig {
        host_pins: vec![joined.host_key.parse()?],
        certificate: Some(Certificate::from_openssh(joined.certificate.trim())?),
        ..config
    })
}

fn facts(cores: u32, machine: &str) -> NodeFacts {
    NodeFacts {
        cores: (0..cores).collect(),
        memory: 64 << 30,
        engine: EngineKind::Docker,
        engine_version: "20.10.24".to_owned(),
        open_to: Role::User,
        kernel: "Linux 6.1".to_owned(),
        arch: "x86_64".to_owned(),
        runner_version: env!("CARGO_PKG_VERSION").to_owned(),
        machine_id: machine.to_owned(),
        boot_id: "b".to_owned(),
    }
}

async fn run(config: DialConfig, facts: NodeFacts, connected: &AtomicUsize) {
    let (sender, mut events) = mpsc::channel(64);
    let (observed, observations) = watch::channel(Some(Observation::default()));
    let dialer = Dialer {
        config,
        facts,
        seen: Seen::default(),
    };
    let dialing = tokio::spawn(dial_for_ever(dialer, sender, observations));
    // Not all in the same moment.
    let first = HEARTBEAT.mul_f64(rand::random());
    let mut heart = tokio::time::interval_at(tokio::time::Instant::now() + first, HEARTBEAT);
    let mut up = false;
    loop {
        let event = tokio::select! {
            _ = heart.tick() => {
                observed.send_modify(|_| {});
                continue;
            }
            event = events.recv() => event,
        };
        match event {
            Some(Event::LinkUp(_)) if !up => {
                up = true;
                connected.fetch_add(1, Ordering::Relaxed);
            }
            Some(Event::LinkDown) if up => {
                up = false;
                connected.fetch_sub(1, Ordering::Relaxed);
            }
            Some(Event::Said(ToRunner::Assignments(list))) => {
                let runs = list.list.iter().filter(|it| it.wanted == Wanted::Run);
                let report = |attempt| AttemptReport {
                    attempt,
                    phase: Phase::Running {
                        started: Timestamp(1),
                    },
                };
                observed.send_replace(Some(Observation {
                    version: list.version,
                    attempts: runs.map(|it| report(it.attempt)).collect(),
                    ..Observation::default()
                }));
            }
            Some(_) => {}
            None => break,
        }
    }
    dialing.abort();
}

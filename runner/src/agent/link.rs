//! The way to the gateway: dialled, spoken over, dialled again. Work goes on without it.

use std::sync::Arc;
use std::time::Duration;

use cluster::{NodeFacts, Observation, Phase};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};
use tunnel::fault::{self, Point};
use tunnel::ssh::{DialConfig, RunnerLink};
use tunnel::wire::{FromRunner, Hello, OLDEST, OURS, PROTOCOL, ToRunner, version};

use super::Event;
use crate::journal::Seen;

/// Between two tries: from the first to the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Tries at the first pause: a gateway that restarts is back within seconds.
const QUICK: u32 = 25;

pub struct Dialer {
    pub config: DialConfig,
    pub facts: NodeFacts,
    pub seen: Seen,
}

/// Never returns: without a gateway it goes on trying.
pub async fn dial_for_ever(
    mut dialer: Dialer,
    events: mpsc::Sender<Event>,
    observations: watch::Receiver<Option<Observation>>,
) {
    let mut tries = 0;
    loop {
        match tunnel::ssh::dial(&dialer.config).await {
            Ok(link) => {
                let said = talk(&mut dialer, Arc::new(link), &events, observations.clone()).await;
                let _ = events.send(Event::LinkDown).await;
                match said {
                    Ok(()) => info!("the gateway ended the link"),
                    Err(error) => info!(%error, "the link to the gateway ended"),
                }
                tries = 0;
            }
            Err(error) if tries % 10 == 0 => warn!(
                error = format!("{error:#}"),
                "the gateway cannot be reached"
            ),
            Err(_) => {}
        }
        tries += 1;
        let pause = if tries <= QUICK {
            PAUSE.0
        } else {
            (PAUSE.0 * (tries - QUICK)).min(PAUSE.1)
        };
        tokio::time::sleep(pause).await;
    }
}

async fn talk(
    dialer: &mut Dialer,
    link: Arc<RunnerLink>,
    events: &mpsc::Sender<Event>,
    mut observations: watch::Receiver<Option<Observation>>,
) -> anyhow::Result<()> {
    let hello = Hello {
        protocol: OLDEST,
        newest: PROTOCOL,
        facts: dialer.facts.clone(),
        highest_epoch: dialer.seen.epoch,
        highest_task: dialer.seen.task,
        instance: dialer.config.instance,
    };
    link.send(&FromRunner::Hello(Box::new(hello))).await?;
    match link.recv().await? {
        Some(ToRunner::Welcome(welcome)) => {
            let own = dialer.facts.runner_version.as_str();
            let gateway = (welcome.gateway_version.as_str(), welcome.versions());
            if let Err(why) = version::judge((own, OURS), gateway) {
                warn!(
                    why,
                    "this runner and its gateway do not understand each other"
                );
                drop(link);
                tokio::time::sleep(PAUSE.1).await;
                return Ok(());
            }
            info!(node = %welcome.node, epoch = welcome.epoch, "connected");
            dialer.seen.epoch = dialer.seen.epoch.max(welcome.epoch);
        }
        Some(ToRunner::Refused(why)) => {
            warn!(why, "the gateway refuses this node");
            tokio::time::sleep(PAUSE.1).await;
            return Ok(());
        }
        Some(ToRunner::Assignments(_) | ToRunner::Signal { .. } | ToRunner::Ping) | None => {
            anyhow::bail!("no welcome")
        }
    }
    tell(events, Event::LinkUp(Arc::clone(&link))).await?;
    observations.mark_changed();
    loop {
        tokio::select! {
            said = link.recv() => match said? {
                Some(ToRunner::Ping) => link.send(&FromRunner::Pong).await?,
                Some(ToRunner::Refused(why)) => {
                    warn!(why, "the gateway refuses this node");
                    return Ok(());
                }
                Some(ToRunner::Assignments(list)) => {
                    let list_of = list.list.iter().map(|one| &one.attempt);
                    let newest = list_of.chain(&list.unread).map(|attempt| attempt.task).max();
                    dialer.seen.task = dialer.seen.task.max(newest.unwrap_or_default());
                    tell(events, Event::Said(ToRunner::Assignments(list))).await?;
                }
                Some(said) => tell(events, Event::Said(said)).await?,
                None => return Ok(()),
            },
            stream = link.incoming() => match stream {
                Some((name, stream)) => tell(events, Event::Stream(name, stream)).await?,
                None => return Ok(()),
            },
            changed = observations.changed() => {
                changed?;
                let newest = observations.borrow_and_update().clone();
                if let Some(newest) = newest {
                    report(&link, newest).await?;
                }
            }
            () = link.closed() => return Ok(()),
        }
    }
}

async fn report(link: &RunnerLink, newest: Observation) -> anyhow::Result<()> {
    let ended = newest
        .attempts
        .iter()
        .any(|report| matches!(report.phase, Phase::Ended { .. }));
    link.send(&FromRunner::Observed(newest)).await?;
    if ended {
        fault::pass(Point::P14);
    }
    Ok(())
}

async fn tell(events: &mpsc::Sender<Event>, event: Event) -> anyhow::Result<()> {
    events
        .send(event)
        .await
        .map_err(|_| anyhow::anyhow!("the agent has ended"))
}

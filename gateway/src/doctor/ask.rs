//! One node is asked how it is: whatever comes of it, within [`LIMIT`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use cluster::Timestamp;
use keys::NodeName;
use tokio::time::{Instant, timeout_at};
use tunnel::ssh::{Frames, LinkConnection};
use tunnel::wire::ChannelName;
use tunnel::wire::examine::{Health, LIMIT_MS, Question, Told};

use super::verdict::node::{Answer, Examined};
use crate::head::{Head, now};

/// For all of it. A node gives up looking earlier.
const LIMIT: Duration = Duration::from_millis(2 * LIMIT_MS);
/// For the first sign of life.
const FIRST: Duration = Duration::from_millis(LIMIT_MS);

/// `None`: it is no node any more.
pub(super) async fn node(head: Arc<Head>, name: NodeName) -> Option<Examined> {
    let carriers = head.links.carriers(&name);
    let (asked, answered) = match head.links.control(&name) {
        None => (Answer::Away, 0),
        Some((control, _)) => {
            tokio::join!(answer(&head, &name, &control), living(&carriers))
        }
    };
    let state = head.state();
    let row = state.node_row(state.node(&name)?);
    Some(Examined {
        row,
        answer: asked,
        carriers: (carriers.len(), answered),
    })
}

async fn living(carriers: &[LinkConnection]) -> usize {
    let mut asked = tokio::task::JoinSet::new();
    for carrier in carriers {
        let carrier = carrier.clone();
        asked.spawn(async move { carrier.alive(FIRST).await });
    }
    let answers = asked.join_all().await;
    answers.into_iter().filter(|alive| *alive).count()
}

async fn answer(head: &Head, name: &NodeName, control: &LinkConnection) -> Answer {
    let begun = Instant::now();
    if !control.alive(FIRST).await {
        // Gone or standing still: only the latter has still a link.
        return match head.links.control(name) {
            None => Answer::Away,
            Some(_) => Answer::Silent {
                limit: FIRST,
                quiet: control.quiet(),
            },
        };
    }
    let round_trip = begun.elapsed();
    let by = begun + LIMIT;
    let half = |off_ms, why: String| Answer::Half {
        round_trip,
        off_ms,
        why,
    };
    let late = || "it took too long".to_owned();
    let opened = match timeout_at(by, head.links.open(name, ChannelName::Examine)).await {
        Ok(Ok(stream)) => stream,
        // RFC 4254, 5.1: a stream that it does not know, not one too many.
        Ok(Err(error))
            if error.kind() == io::ErrorKind::ConnectionRefused
                && !error.to_string().contains("ResourceShortage") =>
        {
            return Answer::Old { round_trip };
        }
        Ok(Err(error)) => return half(None, error.to_string()),
        Err(_) => return half(None, late()),
    };
    let mut frames = Frames::hostile(opened);
    let (off_ms, round_trip) = match timeout_at(by, clock(&mut frames)).await {
        Ok(Ok(measured)) => measured,
        Ok(Err(why)) => return half(None, why),
        Err(_) => return half(None, late()),
    };
    match timeout_at(by, health(&mut frames)).await {
        Ok(Ok(health)) => Answer::Whole {
            round_trip,
            off_ms,
            health,
        },
        Ok(Err(why)) => half(Some(off_ms), why),
        Err(_) => half(Some(off_ms), late()),
    }
}

/// How much its clock is ahead, as if it had answered in the middle of the round trip; and that.
async fn clock(frames: &mut Frames) -> Result<(i64, Duration), String> {
    let (before, begun) = (now(), Instant::now());
    let there = match ask(frames, Question::Clock).await? {
        Told::Clock(there) => there,
        Told::Failed(why) => return Err(why),
        Told::Health(_) => return Err("it answers something else".to_owned()),
    };
    let round_trip = begun.elapsed();
    let here = before + round_trip / 2;
    Ok((ahead(there, here), round_trip))
}

fn ahead(there: Timestamp, here: Timestamp) -> i64 {
    let apart = i128::from(there.0) - i128::from(here.0);
    i64::try_from(apart).unwrap_or(if apart < 0 { i64::MIN } else { i64::MAX })
}

async fn health(frames: &mut Frames) -> Result<Box<Health>, String> {
    match ask(frames, Question::Health).await? {
        Told::Health(health) => Ok(health),
        Told::Failed(why) => Err(why),
        Told::Clock(_) => Err("it answers something else".to_owned()),
    }
}

async fn ask(frames: &mut Frames, question: Question) -> Result<Told, String> {
    let sent = frames.send(&question).await;
    sent.map_err(|error| error.to_string())?;
    match frames.recv().await {
        Ok(Some(told)) => Ok(told),
        Ok(None) => Err("it hung up".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_be_as_wrong_as_they_like() {
        assert_eq!(ahead(Timestamp(5_000), Timestamp(2_000)), 3_000);
        assert_eq!(ahead(Timestamp(0), Timestamp(u64::MAX)), i64::MIN);
        assert_eq!(ahead(Timestamp(u64::MAX), Timestamp(0)), i64::MAX);
    }
}

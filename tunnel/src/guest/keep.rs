//! A box without a command of its own: it stays until it is stopped.

use std::time::Duration;

use cluster::OutputSize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::serve::Server;
use super::{processes, record};
use crate::wire::guest::{ExitRecord, GuestEnd, GuestSpec, GuestStream, ToGuest, Unwritten};

/// Between two looks at what still runs while the box is stopped.
const LOOK: Duration = Duration::from_millis(50);

pub(super) async fn keep(
    spec: &GuestSpec,
    server: &Server,
    orders: &mut mpsc::Receiver<ToGuest>,
) -> anyhow::Result<ExitRecord> {
    let started = record::now();
    let mut children = signal(SignalKind::child())?;
    let mut term = signal(SignalKind::terminate())?;
    let grace = loop {
        tokio::select! {
            _ = children.recv() => {
                let _ = processes::reap(None, &server.children);
            }
            _ = term.recv() => break spec.grace_ms,
            order = orders.recv() => match order {
                Some(ToGuest::Open { id, stream: GuestStream::Session }) => server.open(id),
                Some(ToGuest::Stop { grace_ms }) => break grace_ms,
                Some(ToGuest::Freeze { frozen }) => processes::freeze(frozen),
                // It has neither input nor a command that takes signals.
                Some(ToGuest::Open { .. } | ToGuest::Signal { .. }) => {}
                None => std::future::pending().await,
            },
        }
    };
    processes::freeze(false);
    processes::term_all();
    let by = Instant::now() + Duration::from_millis(grace);
    while Instant::now() < by && !processes::none_left() {
        tokio::time::sleep(LOOK).await;
        let _ = processes::reap(None, &server.children);
    }
    processes::kill_all();
    Ok(ExitRecord {
        attempt: spec.attempt,
        started: Some(started),
        ended: record::now(),
        end: GuestEnd::Stopped,
        output: OutputSize::default(),
        unwritten: Unwritten::default(),
    })
}

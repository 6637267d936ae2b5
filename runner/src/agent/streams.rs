//! Streams that the gateway opens: to an attempt's output, its input, or its box; or to ask how the node is.

use std::sync::Arc;

use cluster::{Assignment, OutputSize};
use tunnel::ssh::Stream;
use tunnel::wire::ChannelName;

use super::Agent;
use crate::engine::{BoxPlan, Engine};
use crate::examine::Patient;
use crate::guest::Guests;
use crate::workloads::Step;
use crate::{errands, examine, relay};

impl<E: Engine> Agent<E> {
    pub(super) fn plan(&self, assignment: &Assignment) -> BoxPlan {
        let folder = self.journal.place(assignment);
        self.starter.plan(assignment, &folder)
    }

    pub(super) fn on_stream(&self, name: &ChannelName, stream: Stream) {
        match name {
            ChannelName::Output {
                attempt,
                stdout,
                stderr,
                follow,
            } => {
                // Not ours: dropping the stream refuses it.
                let Some(ended) = self.ended.get(attempt) else {
                    return;
                };
                let out = self.journal.folder(*attempt).join("out");
                let from = OutputSize {
                    stdout: *stdout,
                    stderr: *stderr,
                };
                tokio::spawn(relay::read_output(
                    (out, self.watches.clone()),
                    *attempt,
                    from,
                    *follow,
                    ended.subscribe(),
                    stream,
                ));
            }
            ChannelName::Stdin { attempt } => {
                let guests: Guests = self.starter.guests.clone();
                tokio::spawn(relay::write_input(guests, *attempt, stream));
            }
            ChannelName::Guest { attempt, .. } => {
                // Not ours, or over: dropping the stream refuses it.
                if self.attempts.contains_key(attempt) {
                    let guests: Guests = self.starter.guests.clone();
                    tokio::spawn(relay::enter(guests, *attempt, stream));
                }
            }
            ChannelName::Errand { vps } => {
                let attempt = self.attempts.values().rev().find(|attempt| {
                    attempt.assignment.attempt.task == *vps && attempt.assignment.spec.vps.is_some()
                });
                if let Some(attempt) = attempt {
                    let ended = matches!(attempt.step, Step::Ended(_));
                    let plan = self.plan(&attempt.assignment);
                    let starter = Arc::clone(&self.starter);
                    let events = self.events.clone();
                    tokio::spawn(errands::serve((starter, events), plan, ended, stream));
                }
            }
            ChannelName::Examine => {
                let patient = Patient {
                    engine: Arc::clone(&self.starter.engine),
                    state_dir: self.journal.dir().to_owned(),
                    guest: self.starter.guest.clone(),
                };
                tokio::spawn(examine::serve(patient, stream));
            }
            ChannelName::Spool { .. } => {}
        }
    }
}

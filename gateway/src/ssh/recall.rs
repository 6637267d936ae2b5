//! Who signed in, looked at again whenever accounts or keys change: what was theirs ends with the right to it. Who has
//! too many connections has no right to one more.

use std::sync::{Arc, OnceLock};

use keys::{Actor, UserName};

use super::auth::Caller;
use super::destination::Destination;
use crate::head::Head;
use crate::permission;
use crate::seats::{Seat, Seats};
use crate::state::State;

/// What the peer hears last.
const NO_RIGHT: &str = "your key or your account may not do this any more";
const NO_SEAT: &str = "your account has as many connections as one may have: end some of them";

/// Who is there, once that is known.
#[derive(Clone, Default)]
pub(super) struct Recall(Arc<OnceLock<Who>>);

/// A person, and what they signed in for.
struct Who {
    actor: Actor,
    destination: Destination,
    /// `None`: there was none left.
    seat: Option<Seat<UserName>>,
}

impl Recall {
    /// Of a person; newcomers and runners have an end of their own.
    pub(super) fn is(&self, caller: &Caller, seats: &Arc<Seats<UserName>>) {
        if let Caller::Person { actor, destination } = caller {
            let _ = self.0.set(Who {
                actor: actor.clone(),
                destination: destination.clone(),
                seat: seats.take(&actor.account),
            });
        }
    }

    /// Resolves when who is there would not be let in any more, or only as less than they were; with the reason.
    pub(super) async fn recalled(&self, head: &Head) -> &'static str {
        if self.0.get().is_some_and(|who| who.seat.is_none()) {
            return NO_SEAT;
        }
        let mut changes = head.people();
        while self.0.get().is_none_or(|who| stands(&head.state(), who)) {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        NO_RIGHT
    }
}

fn stands(state: &State, who: &Who) -> bool {
    let Actor {
        account,
        role,
        proof,
    } = &who.actor;
    if let Some(now) = state.directory().actor(proof) {
        return now.account == *account && now.role >= *role;
    }
    // A key of one box alone. Without the box its sessions are over anyhow.
    match who.destination {
        Destination::Vps(id) | Destination::Task(id) => state
            .task(id)
            .is_none_or(|task| permission::judge_enter(state, proof, task).is_ok()),
        Destination::Shell | Destination::Invite(_) | Destination::Join | Destination::Node => {
            false
        }
    }
}

//! Who signed in, looked at again whenever accounts or keys change: what was theirs ends with the right to it. Who has
//! too many connections has no right to one more.

use std::sync::{Arc, OnceLock};

use keys::Actor;

use super::destination::Destination;
use crate::head::Head;
use crate::permission;
use crate::seats::{Full, Holder, Seat};
use crate::state::State;

/// What the peer hears last.
const NO_RIGHT: &str = "your key or your account may not do this any more";

/// Who is there, once that is known.
#[derive(Clone, Default)]
pub(super) struct Recall(Arc<OnceLock<Who>>);

/// A person, and what they signed in for.
struct Who {
    actor: Actor,
    destination: Destination,
    /// An error: there was none left, in words.
    seat: Result<Seat<Holder>, String>,
}

impl Recall {
    /// Of a person; newcomers and runners have an end of their own.
    pub(super) fn is(&self, actor: &Actor, destination: &Destination, head: &Head) {
        let known = head.state().directory().actor(&actor.proof).is_some();
        let holder = match known {
            true => Holder::Account(actor.account.clone()),
            false => Holder::Key(actor.proof.clone()),
        };
        let seat = head.seats.take(&holder).map_err(|full| match full {
            Full::Own(own) => {
                format!("{holder} has {own} connections, the most there may be: end some of them")
            }
            Full::All => {
                "there are as many connections as there may be: come back in a moment".to_owned()
            }
        });
        let _ = self.0.set(Who {
            actor: actor.clone(),
            destination: destination.clone(),
            seat,
        });
    }

    /// Why nothing may be begun on this connection.
    pub(super) fn refuses(&self) -> Option<&str> {
        self.0.get()?.seat.as_ref().err().map(String::as_str)
    }

    /// Resolves when who is there would not be let in any more, or only as less than they were; with the reason.
    pub(super) async fn recalled(&self, head: &Head) -> &str {
        if let Some(why) = self.refuses() {
            return why;
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

//! `connect`: a terminal in a box that stays when its viewer leaves.

use std::sync::Arc;

use keys::{Action, Actor};
use shell::Failure;
use shell::command::{Connect, Format};
use tunnel::wire::session::{Attach, Session as Wanted};

use super::{Caller, Session};
use crate::dispatch;
use crate::head::Head;
use crate::ssh::enter::{self, Place, Wish};

pub(super) async fn connect(head: Arc<Head>, actor: Actor, wanted: Connect, mut session: Session) {
    let found = match session.pty.take() {
        Some(pty) => dispatch::attach(&head, &actor, "connect", Action::EnterTask, &wanted.place)
            .await
            .map(|task| (task, pty)),
        None => Err(Failure::usage("connect needs a terminal")
            .hint(format!("type `ssh -t river connect {}`", wanted.place.0))),
    };
    let (task, pty) = match found {
        Ok(found) => found,
        Err(failure) => {
            let (caller, inbox) = Caller::new(session);
            drop(inbox);
            let code = caller
                .fail(&failure, &caller.view(Format::Text, false))
                .await;
            return caller.exit(code).await;
        }
    };
    let wish = Wish::Terminal(Attach {
        name: wanted.terminal,
        read_only: wanted.read_only,
        session: Wanted {
            pty: Some(pty),
            ..Wanted::default()
        },
    });
    let (place, handle) = (
        Place::new(head, actor.proof, task.id, None),
        session.handle.clone(),
    );
    enter::serve(place, wish, session, handle, None).await;
}

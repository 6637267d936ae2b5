//! What takes the whole channel into a box: a terminal that stays when its viewer leaves, and datagrams.

use std::sync::Arc;

use cluster::Task;
use keys::{Action, Actor};
use shell::Failure;
use shell::command::{Connect, Datagrams, Format};
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
        // What is not there, is not there for a terminal either.
        None => dispatch::find(&head, &actor, "connect", Action::EnterTask, &wanted.place)
            .await
            .and_then(|_| {
                Err(Failure::usage("connect needs a terminal")
                    .hint(format!("type `ssh -t river connect {}`", wanted.place.text)))
            }),
    };
    let (task, pty) = match found {
        Ok(found) => found,
        Err(failure) => return refuse(&failure, session).await,
    };
    let wish = Wish::Terminal(Attach {
        name: wanted.terminal,
        read_only: wanted.read_only,
        session: Wanted {
            pty: Some(pty),
            ..Wanted::default()
        },
    });
    into(head, &actor, &task, wish, session).await;
}

/// `forward --proto udp --stdio`: for river-forward, which speaks in frames.
pub(super) async fn datagrams(head: Arc<Head>, actor: Actor, wanted: Datagrams, session: Session) {
    let found = if session.pty.is_some() {
        Err(by_hand(&wanted))
    } else {
        dispatch::attach(&head, &actor, "forward", Action::EnterTask, &wanted.place).await
    };
    match found {
        Ok(task) => {
            let wish = Wish::Datagrams { port: wanted.port };
            into(head, &actor, &task, wish, session).await;
        }
        Err(failure) => refuse(&failure, session).await,
    }
}

/// To somebody who typed it.
pub(super) fn by_hand(wanted: &Datagrams) -> Failure {
    let Datagrams { place, port } = wanted;
    Failure::usage("--stdio: it speaks with river-forward, not with a person")
        .hint(format!("type `river-forward river {} {port}`", place.text))
}

async fn into(head: Arc<Head>, actor: &Actor, task: &Task, wish: Wish, session: Session) {
    let place = Place::new(head, actor.proof.clone(), task.id, None);
    let handle = session.handle.clone();
    enter::serve(place, wish, session, handle, None).await;
}

async fn refuse(failure: &Failure, session: Session) {
    let (caller, inbox) = Caller::new(session);
    drop(inbox);
    let view = caller.view(Format::Text, false);
    let code = caller.fail(failure, &view).await;
    caller.exit(code).await;
}

//! `task run` and `task attach`.

use std::sync::Arc;

use cluster::{OutputSize, Stdin};
use keys::{Action, Actor};
use shell::command::{LogStream, Submit, TaskRef};
use shell::{Change, Failure, Kind, Reply, View};

use super::batch;
use super::caller::Caller;
use super::follow::{Follow, Start, Whose};
use super::input::{Input, Keyboard, To};
use crate::dispatch;
use crate::head::Head;

pub(super) async fn run(
    head: &Arc<Head>,
    actor: &Actor,
    mut submit: Submit,
    caller: &mut Caller,
    mut keyboard: Keyboard,
    view: &View,
) -> u8 {
    let terminal = caller.terminal.is_some();
    let mut live = false;
    for spec in &mut submit.specs {
        if spec.stdin == Stdin::Live && terminal {
            spec.stdin = Stdin::Typed;
        }
        live |= spec.stdin.streams();
    }
    let reply = if live {
        dispatch::change(head, actor, Change::Submit(submit)).await
    } else {
        batch::submitted(head, actor, submit, &mut keyboard, terminal).await
    };
    let task = match reply {
        Ok(Reply::Submitted { tasks, .. }) => match tasks.as_slice() {
            [task] => task.id,
            _ => return caller.fail(&unexpected(), view).await,
        },
        Ok(_) => return caller.fail(&unexpected(), view).await,
        Err(failure) => return caller.fail(&failure, view).await,
    };
    if terminal {
        let _ = caller.say(&format!("river: {task}\n")).await;
    }
    let to = live.then_some(To {
        task,
        typed: terminal,
    });
    let input = Input::start(head, keyboard, to, terminal);
    let start = Start {
        task,
        owner: actor.account.clone(),
        attempt: None,
        seen: OutputSize::default(),
        only: LogStream::Both,
    };
    Follow::new(head, start, Whose::Own(actor.clone()))
        .show_all(caller, input, view)
        .await
}

pub(super) async fn attach(
    head: &Arc<Head>,
    actor: &Actor,
    wanted: &TaskRef,
    caller: &mut Caller,
    keyboard: Keyboard,
    view: &View,
) -> u8 {
    let task = match dispatch::attach(head, actor, "task attach", Action::EnterTask, wanted).await {
        Ok(task) => task,
        Err(failure) => return caller.fail(&failure, view).await,
    };
    let typed = task.spec.stdin == Stdin::Typed && !task.state.is_final();
    let to = typed.then_some(To {
        task: task.id,
        typed,
    });
    let input = Input::start(head, keyboard, to, caller.terminal.is_some());
    let start = Start {
        task: task.id,
        owner: task.owner.clone(),
        attempt: task.current(),
        seen: OutputSize::default(),
        only: LogStream::Both,
    };
    Follow::new(head, start, Whose::Guest)
        .show_all(caller, input, view)
        .await
}

fn unexpected() -> Failure {
    Failure::new(Kind::River, "the gateway answered something else").hint("tell the operator")
}

//! `task wait`, `task watch`, and listings that draw themselves again.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Task, TaskState};
use keys::{Action, Actor};
use shell::command::{Format, TaskRef};
use shell::{Failure, Kind, Query, Reply, View};

use super::caller::Caller;
use super::input::{Input, Keyboard};
use super::serve::{answer, rendered};
use super::{INTERRUPTED, SessionEvent};
use crate::dispatch;
use crate::head::Head;
use crate::state::State;

/// Between two drawings of a listing at least.
const REDRAW: Duration = Duration::from_millis(500);

/// Until all have ended, or so many milliseconds are over; the code is 0 or the first that is not.
pub(super) async fn wait(
    head: &Arc<Head>,
    actor: &Actor,
    (tasks, timeout_ms): (&[TaskRef], Option<u64>),
    caller: &Caller,
    keyboard: Keyboard,
    view: &View,
) -> u8 {
    let mut waiting = Vec::new();
    for wanted in tasks {
        match dispatch::attach(head, actor, "task wait", Action::ReadTask, wanted).await {
            Ok(task) => waiting.push(task),
            Err(failure) => return caller.fail(&failure, view).await,
        }
    }
    let code = wait_all(head, (&waiting, timeout_ms), caller, keyboard, view).await;
    if view.format == Format::Json {
        let state = head.state();
        let now = latest_of(head, &waiting).await;
        let rows = now.iter().map(|task| state.task_row(task)).collect();
        let _ = answer(caller, Ok(Reply::TaskDetails(rows)), view).await;
    }
    code
}

/// The tasks as they are now: ended, unless the waiting was.
pub(super) async fn latest_of(head: &Arc<Head>, tasks: &[Arc<Task>]) -> Vec<Arc<Task>> {
    let state = head.state();
    let mut now = Vec::with_capacity(tasks.len());
    for task in tasks {
        now.push(latest(head, &state, task).await);
    }
    now
}

/// As [`wait`], of tasks that were found, or were submitted by who waits.
pub(super) async fn wait_all(
    head: &Arc<Head>,
    (waiting, timeout_ms): (&[Arc<Task>], Option<u64>),
    caller: &Caller,
    keyboard: Keyboard,
    view: &View,
) -> u8 {
    let mut input = Input::start(head, keyboard, None, caller.terminal.is_some());
    let limit = timeout_ms.map_or(Duration::MAX, Duration::from_millis);
    let all = async {
        let mut code = 0;
        for task in waiting {
            let ended = end_of(head, task).await;
            let this = finished(&ended, caller, view).await;
            code = if code == 0 { this } else { code };
        }
        code
    };
    tokio::select! {
        code = all => code,
        () = caller.closed() => INTERRUPTED,
        () = head.ending.leaving() => {
            caller.restarts("what runs goes on, `task wait` again in a moment").await;
            Kind::River.code()
        }
        () = input.interrupted() => {
            let _ = caller.say("river: no longer waiting; what runs goes on\n").await;
            INTERRUPTED
        }
        () = tokio::time::sleep(limit) => {
            let failure = Failure::new(Kind::Busy, "the time is over and not all have ended")
                .hint("`task wait` again, or `task why` says what a task waits for");
            caller.fail(&failure, view).await
        }
    }
}

/// The task as it is now. What left memory has ended; what was last seen of it may be older than that.
async fn latest(head: &Arc<Head>, state: &State, task: &Arc<Task>) -> Arc<Task> {
    match state.task(task.id) {
        Some(now) => Arc::clone(now),
        None => {
            let old = head.old(task.id, &task.owner).await;
            old.unwrap_or_else(|| Arc::clone(task))
        }
    }
}

async fn end_of(head: &Arc<Head>, task: &Arc<Task>) -> Arc<Task> {
    let mut watch = head.watch();
    loop {
        let state = Arc::clone(&watch.borrow_and_update());
        let now = latest(head, &state, task).await;
        if now.state.is_final() || watch.changed().await.is_err() {
            return now;
        }
    }
}

/// One line a change of state.
pub(super) async fn watch(
    head: &Arc<Head>,
    actor: &Actor,
    wanted: &TaskRef,
    caller: &Caller,
    keyboard: Keyboard,
    view: &View,
) -> u8 {
    let task = match dispatch::attach(head, actor, "task watch", Action::ReadTask, wanted).await {
        Ok(task) => task,
        Err(failure) => return caller.fail(&failure, view).await,
    };
    let mut input = Input::start(head, keyboard, None, caller.terminal.is_some());
    let mut watch = head.watch();
    let mut shown: Option<(TaskState, u32)> = None;
    loop {
        let state = Arc::clone(&watch.borrow_and_update());
        let now = latest(head, &state, &task).await;
        if shown != Some((now.state, now.attempt)) {
            shown = Some((now.state, now.attempt));
            let at = shell::render::units::time(crate::head::now());
            let node = now
                .placement
                .as_ref()
                .map(|p| format!(" on {}", p.node))
                .unwrap_or_default();
            let line = format!("{at} {} {}{node}\n", now.id, now.state);
            if caller.print(&line).await.is_err() {
                return INTERRUPTED;
            }
        }
        if now.state.is_final() {
            return finished(&now, caller, view).await;
        }
        tokio::select! {
            changed = watch.changed() => if changed.is_err() {
                return finished(&now, caller, view).await;
            },
            () = input.interrupted() => {
                let _ = caller.say("river: no longer watching; the task goes on\n").await;
                return INTERRUPTED;
            }
            () = caller.closed() => return INTERRUPTED,
            () = head.ending.leaving() => {
                return caller.restarts("the task goes on, watch it again in a moment").await;
            }
        }
    }
}

/// A listing, again when something changed: a terminal is cleared, a pipe gets one after the other.
pub(super) async fn listing(
    head: &Arc<Head>,
    actor: &Actor,
    query: Query,
    caller: &mut Caller,
    keyboard: Keyboard,
    view: &View,
) -> u8 {
    let mut input = Input::start(head, keyboard, None, caller.terminal.is_some());
    let mut events = caller.events.take();
    let drawing = async {
        let mut watch = head.watch();
        loop {
            watch.borrow_and_update();
            let now = caller.view(view.format, view.quiet);
            let (text, share) = match rendered(head, actor, query.clone(), now).await {
                Ok((text, share)) => (text.stdout, share),
                Err(failure) => return caller.fail(&failure, view).await,
            };
            // CUP and ED 0 (ECMA-48): home, then clear what is below.
            let clear = if caller.terminal.as_ref().is_some_and(|t| !t.dumb) {
                "\x1b[H\x1b[J"
            } else {
                ""
            };
            if caller.print(&format!("{clear}{text}")).await.is_err() {
                return 0;
            }
            drop(share);
            tokio::select! {
                changed = watch.changed() => if changed.is_err() {
                    return 0;
                },
                Some(event) = super::event(&mut events) => match event {
                    SessionEvent::Window(window) => caller.resize(super::columns(window)),
                    SessionEvent::Signal(_) => {}
                },
                () = caller.closed() => return 0,
            }
            tokio::time::sleep(REDRAW).await;
        }
    };
    let code = tokio::select! {
        code = drawing => Some(code),
        () = input.interrupted() => Some(0),
        () = head.ending.leaving() => None,
    };
    caller.events = events;
    match code {
        Some(code) => code,
        None => caller.restarts("watch again in a moment").await,
    }
}

/// Says how it ended where the code alone does not, and gives the code.
pub(super) async fn finished(task: &Task, caller: &Caller, view: &View) -> u8 {
    let Some(outcome) = &task.outcome else {
        let failure = Failure::new(Kind::River, "the gateway is stopping; the task goes on")
            .hint("`task wait` again in a moment");
        return caller.fail(&failure, view).await;
    };
    let _ = caller.say(&shell::render_end(task.id, outcome)).await;
    outcome.code
}

//! `task run`, `task attach` and `task logs -f`: live output to the end, and the task's own code.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cluster::{AttemptId, OutputSize, Task, TaskId};
use keys::{Actor, UserName};
use shell::command::LogStream;
use shell::{Failure, Kind, View};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tunnel::wire::output::OutputFrame;

use super::caller::{Caller, Gone};
use super::input::{Input, Key};
use super::logs::put;
use super::source::{Opened, Source, count, ready};
use super::wait::finished;
use super::{INTERRUPTED, SessionEvent};
use crate::head::Head;
use crate::ssh::Departure;
use crate::state;

/// Between two tries to open a task's output.
const PAUSE: Duration = Duration::from_millis(200);
/// How long what an attempt left unread may take, once another has begun.
const DRAIN: Duration = Duration::from_secs(5);

/// Who follows.
pub(super) enum Whose {
    /// The caller of `task run`: going away stops the task.
    Own(Actor),
    /// Somebody who looks on: going away only detaches.
    Guest,
}

/// Where to begin, and what to show.
pub(super) struct Start {
    pub(super) task: TaskId,
    pub(super) owner: UserName,
    /// `None`: the first there will be.
    pub(super) attempt: Option<AttemptId>,
    /// Bytes of that attempt that were shown.
    pub(super) seen: OutputSize,
    pub(super) only: LogStream,
}

/// One task's output on its way to one caller.
pub(super) struct Follow {
    head: Arc<Head>,
    from: Start,
    whose: Whose,
    feed: Feed,
    /// The attempt's output was shown to its end.
    whole: bool,
    /// When another attempt is turned to at the latest.
    turn_by: Option<Instant>,
    interrupted: bool,
}

/// Where the output comes from at the moment.
enum Feed {
    Nothing { until: Instant },
    Opening(Pin<Box<dyn Future<Output = Opened> + Send>>),
    Open(Source),
}

/// What a [`Feed`] gives.
enum Fed {
    Opened(Opened),
    Frame(anyhow::Result<Option<OutputFrame>>),
}

impl Follow {
    pub(super) fn new(head: &Arc<Head>, from: Start, whose: Whose) -> Self {
        Self {
            head: Arc::clone(head),
            from,
            whose,
            feed: Feed::Nothing {
                until: Instant::now(),
            },
            whole: false,
            turn_by: None,
            interrupted: false,
        }
    }

    /// Shows everything, then says how the task ended; the code is the task's.
    pub(super) async fn show_all(
        mut self,
        caller: &mut Caller,
        mut input: Input,
        view: &View,
    ) -> u8 {
        let mut events = caller.events.take();
        let code = self.follow(caller, &mut input, &mut events, view).await;
        caller.events = events;
        code
    }

    async fn follow(
        &mut self,
        caller: &mut Caller,
        input: &mut Input,
        events: &mut Option<mpsc::Receiver<SessionEvent>>,
        view: &View,
    ) -> u8 {
        let mut watch = self.head.watch();
        let closing = caller.closing();
        loop {
            let task = watch.borrow_and_update().task(self.from.task).cloned();
            let task = match task {
                Some(task) => Some(task),
                // An ended task that left the gateway's memory.
                None => self.head.old(self.from.task, &self.from.owner).await,
            };
            let Some(task) = task else {
                return caller.fail(&unreadable(self.from.task), view).await;
            };
            if self.turn_to(&task, caller).await.is_err() {
                return self.gone(caller).await;
            }
            let current = self.from.attempt == task.current();
            if task.state.is_final()
                && current
                && (self.whole || task.current().is_none() || self.from.seen == task.output)
            {
                return finished(&task, caller, view).await;
            }
            self.begin(&task);
            let retry = match &self.feed {
                Feed::Nothing { until } if !self.whole && ready(&task) => Some(*until),
                Feed::Nothing { .. } | Feed::Opening(_) | Feed::Open(_) => self.turn_by,
            };
            tokio::select! {
                fed = next(&mut self.feed) => {
                    if self.fed(fed, &task, caller).await.is_err() {
                        return self.gone(caller).await;
                    }
                }
                changed = watch.changed() => if changed.is_err() {
                    return finished(&task, caller, view).await;
                },
                key = input.key() => {
                    if let Some(code) = self.typed(key, caller).await {
                        return code;
                    }
                }
                Some(event) = super::event(events) => self.event(event, &task, caller),
                () = closing.closed() => return self.gone(caller).await,
                () = self.head.ending.leaving() => return restarts(self.from.task, caller).await,
                () = until(retry) => {}
            }
        }
    }

    /// A new attempt begins its output anew, after what the one before left unread.
    async fn turn_to(&mut self, task: &Task, caller: &Caller) -> Result<(), Gone> {
        let Some(current) = task
            .current()
            .filter(|_| task.current() != self.from.attempt)
        else {
            return Ok(());
        };
        if matches!(self.feed, Feed::Open(_)) && !self.whole {
            let by = *self.turn_by.get_or_insert_with(|| Instant::now() + DRAIN);
            if Instant::now() < by {
                return Ok(());
            }
        }
        let first = self.from.attempt.is_none();
        self.from.attempt = Some(current);
        self.from.seen = OutputSize::default();
        self.feed = Feed::Nothing {
            until: Instant::now(),
        };
        self.whole = false;
        self.turn_by = None;
        if first {
            return Ok(());
        }
        let line = format!("river: {}: attempt {} begins\n", task.id, current.number);
        caller.say(&line).await
    }

    /// Asks for output when there may be some, and it is time.
    fn begin(&mut self, task: &Arc<Task>) {
        let (Feed::Nothing { until }, Some(attempt)) = (&self.feed, self.from.attempt) else {
            return;
        };
        if self.whole || !ready(task) || Instant::now() < *until {
            return;
        }
        let (head, task, seen) = (Arc::clone(&self.head), Arc::clone(task), self.from.seen);
        self.feed = Feed::Opening(Box::pin(async move {
            Source::open(&head, &task, attempt, seen, true).await
        }));
    }

    async fn fed(&mut self, fed: Fed, task: &Task, caller: &Caller) -> Result<(), Gone> {
        let again = Feed::Nothing {
            until: Instant::now() + PAUSE,
        };
        let frame = match fed {
            Fed::Opened(Opened::Source(source)) => {
                self.feed = Feed::Open(source);
                return Ok(());
            }
            Fed::Opened(Opened::Later) => {
                self.feed = again;
                return Ok(());
            }
            Fed::Opened(Opened::Never) => return self.missing(task, caller).await,
            Fed::Frame(frame) => frame,
        };
        match frame {
            Ok(Some(OutputFrame::End)) => {
                self.whole = true;
                self.feed = again;
                Ok(())
            }
            Ok(Some(frame)) => self.show(frame, caller).await,
            Ok(None) | Err(_) => {
                let last = matches!(&self.feed, Feed::Open(source) if source.is_last());
                // Cut: opened again from where we are.
                self.feed = again;
                if last {
                    return self.missing(task, caller).await;
                }
                Ok(())
            }
        }
    }

    async fn show(&mut self, frame: OutputFrame, caller: &Caller) -> Result<(), Gone> {
        count(&frame, &mut self.from.seen);
        let only = self.from.only;
        match frame {
            OutputFrame::Stdout(bytes) => put(caller, only, false, bytes).await,
            OutputFrame::Stderr(bytes) => put(caller, only, true, bytes).await,
            OutputFrame::StdoutGap(gap) => caller.gap(gap, "stdout").await,
            OutputFrame::StderrGap(gap) => caller.gap(gap, "stderr").await,
            OutputFrame::End => Ok(()),
        }
    }

    /// What was not shown never will be.
    async fn missing(&mut self, task: &Task, caller: &Caller) -> Result<(), Gone> {
        self.whole = true;
        self.feed = Feed::Nothing {
            until: Instant::now(),
        };
        let left = |written: u64, seen: u64| written.saturating_sub(seen);
        let stdout = left(task.output.stdout, self.from.seen.stdout);
        let stderr = left(task.output.stderr, self.from.seen.stderr);
        if stdout > 0 {
            caller.gap(stdout, "stdout").await?;
        }
        if stderr > 0 {
            caller.gap(stderr, "stderr").await?;
        }
        if (stdout, stderr) == (0, 0) {
            // How much it was went with its node.
            caller
                .say("\n[river: what it wrote after this is lost]\n")
                .await?;
        }
        Ok(())
    }

    async fn typed(&mut self, key: Key, caller: &Caller) -> Option<u8> {
        match (key, &self.whose) {
            (Key::Echo(bytes), _) => {
                let _ = caller.stdout(bytes).await;
                None
            }
            (Key::Interrupt, Whose::Guest) => {
                let id = self.from.task.0;
                let _ = caller
                    .say(&format!("river: detached; task attach {id} comes back\n"))
                    .await;
                Some(INTERRUPTED)
            }
            // Twice: they do not want to wait for the task's end.
            (Key::Interrupt, Whose::Own(_)) if self.interrupted => Some(INTERRUPTED),
            (Key::Interrupt, Whose::Own(actor)) => {
                self.interrupted = true;
                self.head
                    .tell(state::Input::CallerGone {
                        task: self.from.task,
                        actor: actor.clone(),
                    })
                    .await;
                None
            }
        }
    }

    fn event(&self, event: SessionEvent, task: &Task, caller: &mut Caller) {
        match event {
            SessionEvent::Window(window) => caller.resize(super::columns(window)),
            SessionEvent::Signal(signal) => {
                if let (Whose::Own(_), Some(placement), Some(attempt)) =
                    (&self.whose, &task.placement, task.current())
                {
                    self.head.links.signal(&placement.node, attempt, signal);
                }
            }
        }
    }

    async fn gone(&mut self, caller: &Caller) -> u8 {
        if let Whose::Own(actor) = &self.whose
            && !self.head.ending.is_leaving()
            && caller.departure().await == Departure::Left
        {
            self.head
                .tell(state::Input::CallerGone {
                    task: self.from.task,
                    actor: actor.clone(),
                })
                .await;
        }
        INTERRUPTED
    }
}

async fn next(feed: &mut Feed) -> Fed {
    match feed {
        Feed::Nothing { .. } => std::future::pending().await,
        Feed::Opening(opening) => Fed::Opened(opening.await),
        Feed::Open(source) => Fed::Frame(source.next().await),
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The gateway's end stops nothing.
async fn restarts(task: TaskId, caller: &Caller) -> u8 {
    let hint = format!("{task} goes on, `task attach {}` in a moment", task.0);
    caller.restarts(&hint).await;
    Kind::River.code()
}

fn unreadable(task: TaskId) -> Failure {
    Failure::new(Kind::River, format!("{task}: its record cannot be read"))
        .hint("the gateway's log says more")
}

//! `task submit --batch --each`: a line is taken when it comes, and answered when it is durable, in its order.
//!
//! Nothing is read while [`WINDOW`] lines wait for their answers, or the caller does not read them: the sender is
//! slowed down, and memory is bounded however much is sent. What waits is committed together.

use std::collections::VecDeque;
use std::sync::Arc;

use cluster::{Task, TaskSpec};
use keys::Actor;
use shell::command::Submit;
use shell::{Change, Failure, Kind, Reply, View};
use tunnel::fault::{self, Point};
use tunnel::ssh::Received;

use super::caller::{Caller, Gone};
use super::input::Keyboard;
use super::lines::Lines;
use crate::dispatch;
use crate::head::{Asked, Head, dice};
use crate::state::Input;

/// Lines that wait for their answers at most: a turn of the driver, so that others have their turn too.
const WINDOW: usize = 256;
/// Their bytes at most, beside the last one's.
const BYTES: usize = 4 << 20;

/// A line that will be answered.
struct Waiting {
    number: u64,
    /// Bytes of the line.
    length: usize,
    answer: Answer,
}

/// A line that asks for something, and what.
struct Asks {
    number: u64,
    length: usize,
    spec: Result<TaskSpec, Failure>,
}

enum Answer {
    Asked(Asked),
    Refused(Failure),
}

impl Waiting {
    /// May be dropped and called again.
    async fn answer(&mut self) -> Result<Reply, Failure> {
        match &mut self.answer {
            Answer::Refused(failure) => Err(failure.clone()),
            Answer::Asked(asked) => {
                let reply = asked.reply().await;
                reply.map_err(|failure| failure.of_line(self.number))
            }
        }
    }
}

/// The code is 0, or that of the first line that was refused.
pub(super) async fn each(
    head: &Arc<Head>,
    actor: &Actor,
    caller: &Caller,
    mut keyboard: Keyboard,
    view: &View,
) -> u8 {
    let mut lines = Lines::default();
    let mut waiting = VecDeque::new();
    let (mut code, mut open) = (0, true);
    loop {
        let more = put(head, actor, &mut lines, &mut waiting).await && open;
        if !more && waiting.is_empty() {
            return code;
        }
        let has_some = !waiting.is_empty();
        tokio::select! {
            biased;
            () = head.ending.leaving(), if open => {
                let begun = lines.begun();
                return leave(caller, waiting, begun, view).await;
            }
            answers = answers(&mut waiting), if has_some => {
                let Ok(refused) = show(caller, answers, view).await else {
                    return Kind::Failed.code();
                };
                code = if code == 0 { refused } else { code };
            }
            received = keyboard.next(), if more => match received {
                Received::Data(bytes) => lines.take(&bytes),
                Received::Eof => {
                    lines.end();
                    open = false;
                }
                // Nobody hears the answers; what was taken is taken.
                Received::Closed => return Kind::Failed.code(),
            },
        }
    }
}

/// The lines that there is room for.
fn next(lines: &mut Lines, waiting: &VecDeque<Waiting>) -> (Vec<Asks>, bool) {
    let mut asks: Vec<Asks> = Vec::new();
    let mut bytes: usize = waiting.iter().map(|line| line.length).sum();
    while asks.len() + waiting.len() < WINDOW && bytes < BYTES {
        let Some(line) = lines.next() else {
            return (asks, true);
        };
        if let Some(spec) = line.spec() {
            let (number, length) = (line.number, line.len());
            bytes += length;
            asks.push(Asks {
                number,
                length,
                spec,
            });
        }
    }
    (asks, false)
}

/// Asks the driver for what there is room for, in its order. `true`: there is room for more.
async fn put(
    head: &Arc<Head>,
    actor: &Actor,
    lines: &mut Lines,
    waiting: &mut VecDeque<Waiting>,
) -> bool {
    let (asks, more) = next(lines, waiting);
    if asks.is_empty() {
        return more;
    }
    let specs = asks.iter().filter_map(|ask| ask.spec.as_ref().ok());
    let keys = specs.filter_map(|spec| spec.key.clone()).collect();
    let mut judged = match dispatch::refresh(head, actor) {
        Ok(actor) => {
            let known = dispatch::keyed(head, &actor, keys).await;
            known.map(|known| (actor, known.into_iter()))
        }
        Err(failure) => Err(failure),
    };
    for ask in asks {
        let (number, length) = (ask.number, ask.length);
        let answer = match (ask.spec, &mut judged) {
            (Err(failure), _) => Answer::Refused(failure),
            (Ok(_), Err(failure)) => Answer::Refused(failure.clone().of_line(number)),
            (Ok(spec), Ok((actor, known))) => {
                let before = spec.key.as_ref().and_then(|_| known.next().flatten());
                Answer::Asked(submit(head, actor.clone(), spec, before).await)
            }
        };
        waiting.push_back(Waiting {
            number,
            length,
            answer,
        });
    }
    more
}

/// `before`: the task that had its key already.
async fn submit(head: &Head, actor: Actor, spec: TaskSpec, before: Option<Arc<Task>>) -> Asked {
    let change = Change::Submit(Submit {
        specs: vec![spec],
        known: before.into_iter().collect(),
        ..Submit::default()
    });
    head.put(|ticket| Input::Change {
        ticket,
        actor,
        change,
        dice: dice(),
    })
    .await
}

/// The answer to the first, and to those after it that are there by then.
async fn answers(waiting: &mut VecDeque<Waiting>) -> Vec<(u64, Result<Reply, Failure>)> {
    let mut answers = Vec::new();
    while let Some(first) = waiting.front_mut() {
        let number = first.number;
        let answer = if answers.is_empty() {
            first.answer().await
        } else {
            // Not dropped between an answer and its place in the list: nothing is waited for here.
            match futures_util::FutureExt::now_or_never(first.answer()) {
                Some(answer) => answer,
                None => break,
            }
        };
        answers.push((number, answer));
        waiting.pop_front();
    }
    answers
}

/// The code of the first that was refused, or 0.
async fn show(
    caller: &Caller,
    answers: Vec<(u64, Result<Reply, Failure>)>,
    view: &View,
) -> Result<u8, Gone> {
    let (mut stdout, mut stderr, mut code) = (String::new(), String::new(), 0);
    for (number, answer) in answers {
        let text = shell::render_line(number, &answer, view);
        stdout.push_str(&text.stdout);
        stderr.push_str(&text.stderr);
        match answer {
            Err(failure) if code == 0 => code = failure.kind.code(),
            Err(_) | Ok(_) => {}
        }
    }
    caller.print(stdout).await?;
    caller.say(&stderr).await?;
    fault::pass(Point::P4);
    Ok(code)
}

/// The gateway ends: what was asked is answered, and the rest is for the next one.
async fn leave(caller: &Caller, mut waiting: VecDeque<Waiting>, next: u64, view: &View) -> u8 {
    while !waiting.is_empty() {
        let answers = answers(&mut waiting).await;
        if show(caller, answers, view).await.is_err() {
            break;
        }
    }
    let hint = format!("line {next} and those after it were not taken, send them again");
    caller.restarts(&hint).await
}

//! `task logs`: what there is now, or its last lines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cluster::{AttemptId, OutputSize, Task, TaskState};
use keys::{Action, Actor};
use shell::command::{LogStream, Logs};
use shell::{Failure, Kind, View};
use tunnel::wire::output::OutputFrame;

use super::caller::{Caller, Gone};
use super::follow::{Follow, Start, Whose};
use super::input::{Input, Keyboard};
use super::source::{Opened, Source, count, ready};
use crate::dispatch;
use crate::head::Head;

/// Most bytes kept for `-n`, of each stream.
const TAIL: usize = 16 << 20;
/// How often output that was cut is asked for again, and after how long.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn logs(
    head: &Arc<Head>,
    actor: &Actor,
    wanted: &Logs,
    caller: &mut Caller,
    keyboard: Keyboard,
    view: &View,
) -> u8 {
    let task =
        match dispatch::attach(head, actor, "task logs", Action::ReadTask, &wanted.task).await {
            Ok(task) => task,
            Err(failure) => return caller.fail(&failure, view).await,
        };
    let mut seen = OutputSize::default();
    if !wanted.follow || wanted.lines.is_some() {
        match present(head, &task, wanted, caller).await {
            Ok(shown) => seen = shown,
            Err(Shown::Gone) => return 0,
            Err(Shown::Failed(failure)) => return caller.fail(&failure, view).await,
        }
    }
    if !wanted.follow {
        return 0;
    }
    let input = Input::start(head, keyboard, None, caller.terminal.is_some());
    let start = Start {
        task: task.id,
        owner: task.owner.clone(),
        attempt: task.current(),
        seen,
        only: wanted.stream,
    };
    Follow::new(head, start, Whose::Guest)
        .show_all(caller, input, view)
        .await
}

enum Shown {
    Gone,
    Failed(Failure),
}

impl From<Gone> for Shown {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

/// Shows what there is now; returns how far that is.
async fn present(
    head: &Head,
    task: &Task,
    wanted: &Logs,
    caller: &Caller,
) -> Result<OutputSize, Shown> {
    let mut seen = OutputSize::default();
    let (Some(attempt), true) = (task.current(), ready(task)) else {
        return Ok(seen);
    };
    let lost = |task: &Task| task.state == TaskState::Lost && task.started.is_some();
    if task.state.is_final() && task.output == seen && !lost(task) {
        return Ok(seen);
    }
    let source = match Source::open(head, task, attempt, seen, false).await {
        Opened::Source(source) => source,
        Opened::Later => return Err(Shown::Failed(unreachable(head, task))),
        Opened::Never => return Err(Shown::Failed(nowhere(task, lost(task)))),
    };
    let mut whole = Whole {
        head,
        task: task.clone(),
        attempt,
        source,
        seen,
        tries: TRIES,
    };
    let mut tails = wanted
        .lines
        .map(|lines| (Tail::new(lines), Tail::new(lines)));
    loop {
        let frame = whole.next().await;
        let (bytes, stderr) = match frame.map_err(|error| Shown::Failed(cut(task, &error)))? {
            OutputFrame::Stdout(bytes) => (bytes, false),
            OutputFrame::Stderr(bytes) => (bytes, true),
            OutputFrame::StdoutGap(gap) => {
                caller.gap(gap, "stdout").await?;
                continue;
            }
            OutputFrame::StderrGap(gap) => {
                caller.gap(gap, "stderr").await?;
                continue;
            }
            OutputFrame::End => break,
        };
        match &mut tails {
            Some((_, tail)) if stderr => tail.push(&bytes),
            Some((tail, _)) => tail.push(&bytes),
            None => put(caller, wanted.stream, stderr, bytes).await?,
        }
    }
    seen = whole.seen;
    if let Some((out, err)) = tails {
        if out.cut || err.cut {
            let line = format!("river: -n keeps {} MiB at most\n", TAIL >> 20);
            caller.say(&line).await?;
        }
        put(caller, wanted.stream, false, out.bytes()).await?;
        put(caller, wanted.stream, true, err.bytes()).await?;
    }
    Ok(seen)
}

/// Output that is read to its end, wherever it is meanwhile: a node drops it once the gateway has it.
struct Whole<'a> {
    head: &'a Head,
    task: Task,
    attempt: AttemptId,
    source: Source,
    seen: OutputSize,
    tries: u32,
}

impl Whole<'_> {
    async fn next(&mut self) -> anyhow::Result<OutputFrame> {
        loop {
            match self.source.next().await {
                Ok(Some(frame)) => {
                    count(&frame, &mut self.seen);
                    return Ok(frame);
                }
                Err(error) if self.source.is_last() || self.tries == 0 => return Err(error),
                Ok(None) if self.source.is_last() || self.tries == 0 => {
                    anyhow::bail!("it was cut")
                }
                Ok(None) | Err(_) => {}
            }
            self.tries -= 1;
            tokio::time::sleep(PAUSE).await;
            let known = self.head.state().task(self.task.id).cloned();
            if let Some(known) = known {
                self.task = (*known).clone();
            }
            let opened = Source::open(self.head, &self.task, self.attempt, self.seen, false);
            if let Opened::Source(source) = opened.await {
                self.source = source;
            }
        }
    }
}

/// To the channel's stream that is for it, if it was asked for.
pub(super) async fn put(
    caller: &Caller,
    only: LogStream,
    stderr: bool,
    bytes: Bytes,
) -> Result<(), Gone> {
    if bytes.is_empty() {
        return Ok(());
    }
    match (only, stderr) {
        (LogStream::Both | LogStream::Stdout, false) | (LogStream::Stderr, true) => {
            caller.stdout(bytes).await
        }
        (LogStream::Both, true) => caller.stderr(bytes).await,
        (LogStream::Stdout, true) | (LogStream::Stderr, false) => Ok(()),
    }
}

fn unreachable(head: &Head, task: &Task) -> Failure {
    let node = task
        .placement
        .as_ref()
        .map(|p| p.node.to_string())
        .unwrap_or_default();
    let connected = task
        .placement
        .as_ref()
        .is_some_and(|p| head.state().link(&p.node).is_some());
    let why = if connected {
        "does not give it now"
    } else {
        "is not connected"
    };
    Failure::new(
        Kind::Busy,
        format!("{}: its output is on {node}, which {why}", task.id),
    )
    .hint("try again in a moment")
}

fn nowhere(task: &Task, lost: bool) -> Failure {
    if lost {
        return Failure::new(
            Kind::Failed,
            format!("{}: its output was lost with its node", task.id),
        )
        .hint(format!("`task status {}` says more", task.id.0));
    }
    Failure::new(
        Kind::Failed,
        format!("{}: its output is kept no longer", task.id),
    )
    .hint("keep_output_days in the gateway's configuration says how long it is")
}

fn cut(task: &Task, error: &anyhow::Error) -> Failure {
    Failure::new(
        Kind::Busy,
        format!("{}: its output was cut: {error}", task.id),
    )
    .hint("try again in a moment")
}

/// The last lines of a stream, in no more room than their bytes take: a stream may be nothing but ends of lines.
struct Tail {
    lines: usize,
    kept: VecDeque<u8>,
    /// Ends of lines in `kept`.
    ends: usize,
    /// Lines that were asked for did not fit.
    cut: bool,
}

impl Tail {
    fn new(lines: u64) -> Self {
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        Self {
            lines,
            kept: VecDeque::new(),
            ends: 0,
            cut: false,
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(TAIL) {
            self.ends += piece.iter().filter(|byte| **byte == b'\n').count();
            self.kept.extend(piece);
            while self.count() > self.lines || self.kept.len() > TAIL {
                self.cut |= self.count() <= self.lines;
                let end = self.kept.iter().position(|byte| *byte == b'\n');
                self.ends -= usize::from(end.is_some());
                self.kept
                    .drain(..end.map_or(self.kept.len(), |end| end + 1));
            }
        }
    }

    /// The last line may be without its end yet.
    fn count(&self) -> usize {
        self.ends + usize::from(self.kept.back().is_some_and(|last| *last != b'\n'))
    }

    fn bytes(self) -> Bytes {
        Vec::from(self.kept).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_whole_lines_however_they_came() {
        let mut tail = Tail::new(2);
        for piece in ["one\ntw", "o\nth", "ree\nfour"] {
            tail.push(piece.as_bytes());
        }
        assert_eq!(tail.bytes(), "three\nfour");
        let mut none = Tail::new(0);
        none.push(b"x\n");
        assert!(none.bytes().is_empty());
        let mut empty = Tail::new(u64::MAX);
        for _ in 0..3 {
            empty.push(&vec![b'\n'; TAIL / 2]);
        }
        assert!(empty.cut && empty.kept.capacity() <= 2 * TAIL);
        assert_eq!(empty.bytes().len(), TAIL);
    }
}

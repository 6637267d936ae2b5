//! The prompt: one line after the other, at a terminal.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use keys::Actor;
use shell::Query;
use shell::command::Format;
use tokio::sync::{Mutex, mpsc};
use tunnel::ssh::{Inbox, Received};

use super::SessionEvent;
use super::caller::{Caller, Gone};
use super::input::Keyboard;
use super::serve::{answer, command};
use crate::dispatch;
use crate::head::Head;

/// Longest line typed here, in bytes.
const LONGEST: usize = 4096;

/// What a byte did to the line.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    Echo(Bytes),
    /// As typed: what reads it says what is wrong with it.
    Line(Vec<u8>),
    Again,
    Leave,
    Nothing,
}

/// A line that is being typed.
#[derive(Default)]
struct Editor {
    line: Vec<u8>,
    /// Inside an escape sequence, which is dropped.
    escape: bool,
}

impl Editor {
    fn take(&mut self, byte: u8) -> Typed {
        if self.escape {
            // CSI ends with a byte from 0x40 on; its introducer `[` does not end it.
            self.escape = byte == b'[' || byte == b'O' || !(0x40..=0x7e).contains(&byte);
            return Typed::Nothing;
        }
        match byte {
            b'\r' | b'\n' => Typed::Line(std::mem::take(&mut self.line)),
            0x03 => {
                self.line.clear();
                Typed::Again
            }
            0x04 if self.line.is_empty() => Typed::Leave,
            0x15 => {
                let shown = String::from_utf8_lossy(&self.line).chars().count();
                self.line.clear();
                Typed::Echo("\x08 \x08".repeat(shown).into())
            }
            0x7f | 0x08 => {
                let Ok(text) = std::str::from_utf8(&self.line) else {
                    return Typed::Nothing;
                };
                let Some(last) = text.chars().next_back() else {
                    return Typed::Nothing;
                };
                self.line.truncate(self.line.len() - last.len_utf8());
                Typed::Echo(Bytes::from_static(b"\x08 \x08"))
            }
            0x1b => {
                self.escape = true;
                Typed::Nothing
            }
            byte if byte < 0x20 || self.line.len() >= LONGEST => Typed::Nothing,
            byte => {
                self.line.push(byte);
                Typed::Echo(Bytes::copy_from_slice(&[byte]))
            }
        }
    }
}

/// What lines are read from.
struct Desk {
    inbox: Inbox,
    /// Typed ahead, and not for the command that ran meanwhile.
    ahead: VecDeque<Received>,
    /// An end of file came: it is told again and again.
    ended: bool,
}

impl Desk {
    async fn next(&mut self) -> Received {
        let received = match self.ahead.pop_front() {
            Some(received) => received,
            None if self.ended => Received::Eof,
            None => self.inbox.next().await,
        };
        self.ended |= received == Received::Eof;
        received
    }
}

/// Until the person leaves.
pub(super) async fn prompt(
    head: &Arc<Head>,
    actor: &Actor,
    caller: &mut Caller,
    inbox: Inbox,
) -> u8 {
    let mut desk = Desk {
        inbox,
        ahead: VecDeque::new(),
        ended: false,
    };
    let view = caller.view(Format::Text, false);
    let welcome = dispatch::query(head, actor, Query::Welcome).await;
    answer(caller, welcome, &view).await;
    let mut editor = Editor::default();
    if caller.print("\nriver> ").await.is_err() {
        return 0;
    }
    loop {
        let mut events = caller.events.take();
        let received = tokio::select! {
            received = desk.next() => Ok(received),
            Some(event) = super::event(&mut events) => Err(event),
            () = head.ending.leaving() => {
                let _ = caller.print("\n").await;
                return caller.restarts("come back in a moment").await;
            }
        };
        caller.events = events;
        let mut bytes = match received {
            Ok(Received::Data(bytes)) => bytes,
            Ok(Received::Eof | Received::Closed) => return 0,
            Err(SessionEvent::Window(window)) => {
                caller.resize(super::columns(window));
                continue;
            }
            Err(SessionEvent::Signal(_)) => continue,
        };
        while !bytes.is_empty() {
            let typed = editor.take(bytes.get_u8());
            if matches!(typed, Typed::Line(_)) && !bytes.is_empty() {
                // What was typed ahead is for the command first.
                let ahead = Received::Data(std::mem::take(&mut bytes));
                desk.ahead.push_front(ahead);
            }
            match key(head, actor, caller, &mut desk, typed).await {
                Ok(true) => {}
                Ok(false) | Err(Gone) => return 0,
            }
        }
    }
}

/// `false`: the person leaves.
async fn key(
    head: &Arc<Head>,
    actor: &Actor,
    caller: &mut Caller,
    desk: &mut Desk,
    typed: Typed,
) -> Result<bool, Gone> {
    match typed {
        Typed::Nothing => {}
        Typed::Echo(bytes) => caller.stdout(bytes).await?,
        Typed::Again => caller.print("^C\nriver> ").await?,
        Typed::Leave => {
            caller.print("\n").await?;
            return Ok(false);
        }
        Typed::Line(line) => {
            caller.print("\n").await?;
            let line = line.trim_ascii();
            if matches!(line, b"exit" | b"quit" | b"logout") {
                return Ok(false);
            }
            if !line.is_empty() {
                run(head, actor, caller, desk, line).await;
            }
            caller.print("river> ").await?;
        }
    }
    Ok(true)
}

/// Runs one line; what is typed meanwhile is the command's.
async fn run(head: &Arc<Head>, actor: &Actor, caller: &mut Caller, desk: &mut Desk, line: &[u8]) {
    let line = line.strip_prefix(b"ssh river ").unwrap_or(line);
    let (keys, keyboard) = mpsc::channel(1);
    let keyboard = Arc::new(Mutex::new(keyboard));
    let theirs = Keyboard::Prompt(Arc::clone(&keyboard));
    {
        // On the heap while it runs: a prompt at which nothing happens has no room for it.
        let mut running = Box::pin(command(head, actor, line, caller, theirs));
        loop {
            let received = tokio::select! {
                biased;
                _ = &mut running => break,
                Ok(place) = keys.reserve() => tokio::select! {
                    biased;
                    _ = &mut running => break,
                    received = desk.next() => {
                        place.send(received.clone());
                        received
                    }
                },
            };
            match received {
                Received::Data(_) => {}
                Received::Eof | Received::Closed => {
                    running.await;
                    break;
                }
            }
        }
    }
    // A command that reads no keys leaves them to the next line.
    if let Ok(unread) = keyboard.lock().await.try_recv() {
        desk.ahead.push_front(unread);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn typed(keys: &[u8]) -> Vec<Vec<u8>> {
        let mut editor = Editor::default();
        let keys = keys.iter().map(|byte| editor.take(*byte));
        keys.filter_map(|typed| {
            if let Typed::Line(line) = typed {
                Some(line)
            } else {
                None
            }
        })
        .collect()
    }

    #[test]
    fn a_line_is_what_was_left_of_it() {
        assert_eq!(typed(b"taks\x7f\x7fsk list\r"), [b"task list"]);
        let two: [&[u8]; 2] = [b"xy", b"z"];
        assert_eq!(typed("abc\x15xé\x7fy\rq\x03z\r".as_bytes()), two);
        assert_eq!(typed(b"a\x1b[Ab\r"), [b"ab"]);
    }

    /// What was no UTF-8 once became other words, and they were obeyed.
    #[test]
    fn a_line_that_is_no_text_is_not_made_one() {
        assert_eq!(typed(b"task kill \xff\r"), [b"task kill \xff"]);
    }

    proptest! {
        #[test]
        fn no_key_panics(keys in proptest::collection::vec(any::<u8>(), 0..200)) {
            for line in typed(&keys) {
                prop_assert!(line.len() <= LONGEST && line.iter().all(|byte| *byte >= 0x20));
            }
        }
    }

    #[test]
    fn control_d_leaves_only_an_empty_line() {
        let mut editor = Editor::default();
        assert_eq!(editor.take(4), Typed::Leave);
        editor.take(b'a');
        assert_ne!(editor.take(4), Typed::Leave);
    }
}

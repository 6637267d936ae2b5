//! A session channel and its program in the box.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::server::Handle;
use russh::{ChannelWriteHalf, Sig, server::Msg};
use tokio::sync::{Semaphore, mpsc};
use tunnel::pieces::{ENOUGH, gather, join};
use tunnel::ssh::{Closing, Inbox, Received, StreamReader, StreamWriter};
use tunnel::wire::session::{
    Attach, CREDIT, Exit, Frames, Kind, PIECE, Request, Session as Wanted, frame, head, json,
};

use super::forward::{self, DRAIN, closed_for};
use super::{Display, Opened, Place, STEP};
use crate::console::{self, SessionEvent};

/// RFC 4254, 5.2.
const STDERR: u32 = 1;
/// What a client sees as the code of a session that was cut: as of ssh(1) itself.
const CUT: u32 = 255;
/// The box goes on, its sessions do not.
const RESTARTS: &str =
    "river: the gateway restarts: the box goes on, enter it again in a moment\r\n";
/// How much longer a program is asked for after its client closed: its command was accepted.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the client asked for on this channel.
#[derive(Clone, Debug)]
pub enum Wish {
    Program(Wanted),
    Terminal(Attach),
    Sftp,
    /// To and from this port, for river-forward.
    Datagrams {
        port: u16,
    },
}

/// From its begin to its exit code. The client's display in the box goes with the program.
pub async fn serve(
    place: Place,
    wish: Wish,
    session: console::Session,
    handle: Handle,
    display: Option<Display>,
) {
    let console::Session {
        inbox,
        half,
        events,
        ..
    } = session;
    let closing = inbox.closing();
    let exit = tokio::select! {
        exit = run(&place, wish, inbox, &half, events, &handle) => exit,
        () = place.head.ending.leaving() => {
            let text = Bytes::from_static(RESTARTS.as_bytes());
            let _ = Mouth { half: &half, closing: &closing }.say(Some(STDERR), text).await;
            Some(Exit::Code(CUT))
        }
    };
    drop(display);
    // russh has answered a close: strict clients take any further word for a breach.
    if let Some(exit) = exit.filter(|_| !closing.is_closed()) {
        end(&half, &handle, &exit).await;
    }
}

/// `None`: the client closed before the program ended.
async fn run(
    place: &Place,
    wish: Wish,
    inbox: Inbox,
    half: &ChannelWriteHalf<Msg>,
    events: mpsc::Receiver<SessionEvent>,
    handle: &Handle,
) -> Option<Exit> {
    let closing = inbox.closing();
    let (request, typed) = match wish {
        Wish::Program(mut wanted) => {
            if wanted.agent.is_some() {
                wanted.agent = super::agent(place, handle).await;
            }
            let typed = wanted.pty.is_some();
            (Request::Session(wanted), typed)
        }
        Wish::Terminal(attach) => (Request::Attach(attach), true),
        Wish::Sftp => (Request::Sftp, false),
        Wish::Datagrams { port } => (Request::Udp { port }, false),
    };
    let opening = tokio::select! {
        opening = place.open(&request, typed) => opening,
        // Somebody gave up waiting.
        () = closed_for(PATIENCE, &closing) => return None,
    };
    let opened = match opening {
        Ok(opened) => opened,
        Err(failure) => {
            let text = shell::render_failure(&failure, &plain());
            let text = if typed {
                text.replace('\n', "\r\n")
            } else {
                text
            };
            let _ = Mouth {
                half,
                closing: &closing,
            }
            .say(Some(STDERR), Bytes::from(text))
            .await;
            return Some(Exit::Code(u32::from(failure.kind.code())));
        }
    };
    if request == Request::Sftp {
        forward::serve(inbox, half, opened).await;
        return Some(Exit::Code(0));
    }
    if let Request::Udp { .. } = request {
        return datagrams(place, inbox, half, opened).await;
    }
    let Opened {
        reader,
        writer,
        frames,
    } = opened;
    let credit = Arc::new(Semaphore::new(CREDIT as usize));
    let mouth = Mouth {
        half,
        closing: &closing,
    };
    let exit = tokio::select! {
        exit = outward(reader, frames, &mouth, &credit) => exit,
        () = inward(inbox, events, writer, &credit) => return None,
    };
    if exit.is_some() || closing.is_closed() {
        return exit;
    }
    let text = "river: the connection to the box was lost\r\n";
    let text = Bytes::from_static(text.as_bytes());
    let _ = mouth.say(Some(STDERR), text).await;
    Some(Exit::Code(CUT))
}

/// Until the client says no more, or the box, which it should not.
async fn datagrams(
    place: &Place,
    inbox: Inbox,
    half: &ChannelWriteHalf<Msg>,
    opened: Opened,
) -> Option<Exit> {
    let hello = Bytes::from_static(::forward::frame::HELLO);
    let closing = inbox.closing();
    let mouth = Mouth {
        half,
        closing: &closing,
    };
    if mouth.say(None, hello).await.is_none() || !forward::until_left(inbox, half, opened).await {
        return Some(Exit::Code(0)).filter(|_| !closing.is_closed());
    }
    let failure = place.lost();
    let text = shell::render_failure(&failure, &plain());
    let _ = mouth.say(Some(STDERR), Bytes::from(text)).await;
    Some(Exit::Code(u32::from(failure.kind.code())))
}

/// Speaks to the client; to one that closed, no word. russh leaves who waits for a window waiting when the connection
/// ends.
struct Mouth<'a> {
    half: &'a ChannelWriteHalf<Msg>,
    closing: &'a Closing,
}

impl Mouth<'_> {
    async fn say(&self, code: Option<u32>, bytes: Bytes) -> Option<()> {
        let saying = async {
            match code {
                None => self.half.data_bytes(bytes).await,
                Some(code) => self.half.extended_data_bytes(code, bytes).await,
            }
        };
        tokio::select! {
            biased;
            () = self.closing.closed() => Some(()),
            said = saying => said.ok(),
        }
    }
}

fn plain() -> shell::View {
    shell::View {
        format: shell::command::Format::Text,
        quiet: false,
        pty: false,
        width: 0,
        now: crate::head::now(),
    }
}

/// What the program says, until its end; `None` when that was not heard.
async fn outward(
    mut reader: StreamReader,
    mut frames: Frames,
    mouth: &Mouth<'_>,
    credit: &Semaphore,
) -> Option<Exit> {
    let mut pieces = Vec::new().into_iter();
    loop {
        while let Some((kind, body)) = frames.take().ok()? {
            match kind {
                Kind::Stdout => mouth.say(None, body).await?,
                Kind::Stderr => mouth.say(Some(STDERR), body).await?,
                Kind::Credit => {
                    let more = u32::from_be_bytes(body.first_chunk().copied()?);
                    // More than was taken would be a guest's lie.
                    let room = (CREDIT as usize).saturating_sub(credit.available_permits());
                    credit.add_permits(room.min(more as usize));
                }
                Kind::Exit => return serde_json::from_slice(&body).ok(),
                Kind::Failed => {
                    let text = format!("river: {}\r\n", super::words_of(&body));
                    mouth.say(Some(STDERR), Bytes::from(text)).await?;
                    return Some(Exit::Code(1));
                }
                Kind::Stdin
                | Kind::Eof
                | Kind::Window
                | Kind::Signal
                | Kind::Ready
                | Kind::Listening
                | Kind::Accepted => return None,
            }
        }
        if pieces.len() == 0 {
            pieces = gather(reader.next_pieces(STEP).await.ok()?).into_iter();
        }
        frames.add(pieces.next()?);
    }
}

/// What the client sends, until it has closed and all of it has arrived: before that, the end is the program's.
async fn inward(
    mut inbox: Inbox,
    mut events: mpsc::Receiver<SessionEvent>,
    mut writer: StreamWriter,
    credit: &Semaphore,
) {
    let closing = inbox.closing();
    loop {
        let sent = tokio::select! {
            // A window that changed before a key was pressed is told before it.
            biased;
            Some(event) = events.recv() => writer.send(told(&event)).await,
            received = inbox.next_pieces(PIECE) => match received {
                Received::Data(pieces) => tokio::select! {
                    fed = feed(&mut writer, pieces.into(), credit, &mut events) => fed,
                    () = closed_for(DRAIN, &closing) => return,
                },
                Received::Eof => writer.send(frame(Kind::Eof, b"")).await,
                Received::Closed => return,
            },
        };
        if sent.is_err() {
            // The reader hears why.
            std::future::pending::<()>().await;
        }
    }
}

fn told(event: &SessionEvent) -> Bytes {
    match event {
        SessionEvent::Window(window) => json(Kind::Window, window),
        SessionEvent::Signal(number) => frame(Kind::Signal, &[*number]),
    }
}

/// As the guest grants; a signal or a window does not wait for that.
async fn feed(
    writer: &mut StreamWriter,
    mut pieces: VecDeque<Bytes>,
    credit: &Semaphore,
    events: &mut mpsc::Receiver<SessionEvent>,
) -> std::io::Result<()> {
    loop {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        if length == 0 {
            return Ok(());
        }
        let ready = credit.available_permits().clamp(1, PIECE).min(length);
        let permit = tokio::select! {
            permit = credit.acquire_many(u32::try_from(ready).unwrap_or(1)) => permit,
            Some(event) = events.recv() => {
                writer.send(told(&event)).await?;
                continue;
            }
        };
        let Ok(permit) = permit else { return Ok(()) };
        permit.forget();
        let mut body = split(&mut pieces, ready);
        body.insert(0, Bytes::copy_from_slice(&head(Kind::Stdin, ready)));
        // A head of its own pays only before much.
        if ready < ENOUGH {
            body = vec![join(&body)];
        }
        for piece in body {
            writer.send(piece).await?;
        }
    }
}

/// The first so many bytes off the front.
fn split(pieces: &mut VecDeque<Bytes>, mut length: usize) -> Vec<Bytes> {
    let mut front = Vec::with_capacity(pieces.len() + 1);
    while length > 0
        && let Some(mut piece) = pieces.pop_front()
    {
        if piece.len() > length {
            pieces.push_front(piece.split_off(length));
        }
        length -= piece.len();
        front.push(piece);
    }
    front
}

async fn end(half: &ChannelWriteHalf<Msg>, handle: &Handle, exit: &Exit) {
    match exit {
        Exit::Code(code) => {
            let _ = half.exit_status(*code).await;
        }
        Exit::Signal { name, core } => {
            let signal = sig(name);
            let said =
                handle.exit_signal_request(half.id(), signal, *core, String::new(), String::new());
            let _ = said.await;
        }
    }
    // Not before the code: a client that hears that nothing more comes may close, and russh then answers with a
    // close of its own, and the code would never be told.
    let _ = half.eof().await;
    let _ = half.close().await;
}

/// RFC 4254, 6.10. Of a tenant: only what a signal's name can be.
fn sig(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(
            other
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(16)
                .collect(),
        ),
    }
}

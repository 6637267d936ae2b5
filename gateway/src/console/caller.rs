//! The person's end of a session: bytes out, an exit code at the end.

use bytes::{BufMut, Bytes, BytesMut};
use russh::{ChannelWriteHalf, server::Msg};
use shell::command::Format;
use shell::{Failure, Kind, View};
use tokio::sync::mpsc;
use tunnel::ssh::{Closing, Inbox};

use super::{Session, SessionEvent, Terminal};
use crate::head::now;
use crate::ssh::{Connection, Departure};

/// RFC 4254, 5.2: extended data of type 1 is standard error.
const STDERR: u32 = 1;

/// Writes wait for the client's window, and end when it has gone.
pub struct Caller {
    half: ChannelWriteHalf<Msg>,
    closing: Closing,
    connection: Connection,
    pub terminal: Option<Terminal>,
    /// Taken by whoever listens to them.
    pub events: Option<mpsc::Receiver<SessionEvent>>,
}

/// Nobody listens any more.
#[derive(Clone, Copy, Debug)]
pub struct Gone;

impl Caller {
    /// Takes a session apart: what is said to the person, and what the person sends.
    #[must_use]
    pub fn new(session: Session) -> (Self, Inbox) {
        let Session {
            inbox,
            half,
            events,
            terminal,
            connection,
            pty: _,
            handle: _,
        } = session;
        let closing = inbox.closing();
        (
            Self {
                half,
                closing,
                connection,
                terminal,
                events: Some(events),
            },
            inbox,
        )
    }

    #[must_use]
    pub fn view(&self, format: Format, quiet: bool) -> View {
        let width = self
            .terminal
            .as_ref()
            .map_or(0, |terminal| terminal.width.max(40));
        View {
            format,
            quiet,
            pty: self.terminal.is_some(),
            width,
            now: now(),
        }
    }

    /// Resolves when nobody listens any more.
    pub async fn closed(&self) {
        self.closing.closed().await;
    }

    #[must_use]
    pub fn closing(&self) -> Closing {
        self.closing.clone()
    }

    /// Why the channel is closed; once it is.
    pub async fn departure(&self) -> Departure {
        self.connection.departure(self.half.id()).await
    }

    /// # Errors
    /// [`Gone`]
    pub async fn stdout(&self, bytes: Bytes) -> Result<(), Gone> {
        let bytes = self.lines(bytes);
        tokio::select! {
            sent = self.half.data_bytes(bytes) => sent.map_err(|_| Gone),
            () = self.closing.closed() => Err(Gone),
        }
    }

    /// # Errors
    /// [`Gone`]
    pub async fn stderr(&self, bytes: Bytes) -> Result<(), Gone> {
        let bytes = self.lines(bytes);
        tokio::select! {
            sent = self.half.extended_data_bytes(STDERR, bytes) => sent.map_err(|_| Gone),
            () = self.closing.closed() => Err(Gone),
        }
    }

    /// # Errors
    /// [`Gone`]
    pub async fn print(&self, text: impl Into<String>) -> Result<(), Gone> {
        let text = text.into();
        if text.is_empty() {
            return Ok(());
        }
        self.stdout(text.into()).await
    }

    /// A hint or a complaint.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn say(&self, text: &str) -> Result<(), Gone> {
        if text.is_empty() {
            return Ok(());
        }
        self.stderr(Bytes::copy_from_slice(text.as_bytes())).await
    }

    /// Bytes that are gone, where they were.
    ///
    /// # Errors
    /// [`Gone`]
    pub async fn gap(&self, bytes: u64, stream: &str) -> Result<(), Gone> {
        let line = format!("\n[river: {bytes} bytes of {stream} are missing here]\n");
        self.say(&line).await
    }

    /// The terminal has so many columns now.
    pub fn resize(&mut self, width: u16) {
        if let Some(terminal) = &mut self.terminal {
            terminal.width = width;
        }
    }

    /// The failure's sentence; its code is what the session ends with.
    pub async fn fail(&self, failure: &Failure, view: &View) -> u8 {
        let _ = self.say(&shell::render_failure(failure, view)).await;
        failure.kind.code()
    }

    /// The gateway ends; `hint` is what to do about it. The code of a command that may be tried again.
    pub async fn restarts(&self, hint: &str) -> u8 {
        let _ = self
            .say(&format!("river: the gateway restarts: {hint}\n"))
            .await;
        Kind::Busy.code()
    }

    /// Under a pty the gateway is the line discipline: a line ends with CR LF.
    fn lines(&self, bytes: Bytes) -> Bytes {
        if self.terminal.is_none() || !bytes.contains(&b'\n') {
            return bytes;
        }
        let mut out = BytesMut::with_capacity(bytes.len() + bytes.len() / 16 + 2);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    out.put_slice(line);
                    out.put_slice(b"\r\n");
                }
                None => out.put_slice(line),
            }
        }
        out.freeze()
    }

    /// Ends the session: code, end of output, close.
    pub async fn exit(self, code: u8) {
        let ending = async {
            // The code first: who hears the end may close, and would not hear the code any more.
            let _ = self.half.exit_status(u32::from(code)).await;
            let _ = self.half.eof().await;
            let _ = self.half.close().await;
        };
        tokio::select! {
            () = ending => {}
            () = self.closing.closed() => {}
        }
    }
}

//! What the gateway and a guest say on one stream of a box: a session, a file transfer, or a forward.
//!
//! The gateway begins with one frame ([`super::frame`]) of [`Request`]. A guest that can do it answers
//! [`Kind::Ready`], else [`Kind::Failed`] with words, and ends. After that a session is framed both ways:
//! one byte [`Kind`], a big-endian `u32` length, and so many bytes. Sftp and forwards are raw bytes.
//!
//! Standard input has a credit of its own ([`CREDIT`] at the start), so that a program that reads nothing
//! never keeps signals, window sizes or a hang-up from getting through.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

/// Bytes of standard input that may be on their way before the guest grants more.
pub const CREDIT: u32 = 4 << 20;
/// Largest piece of a data frame that a sender makes, in bytes.
pub const PIECE: usize = 256 << 10;
/// TCP port of display 0 (X Window System Protocol, appendix B).
pub const DISPLAY_PORT: u16 = 6000;
/// First display of a box that stands for a client's, and how many there may be: as sshd (X11DisplayOffset).
pub const DISPLAY_FIRST: u16 = 10;
pub const DISPLAYS: u16 = 1000;
/// Largest frame that is not data, in bytes.
const SMALL: usize = 4 << 10;

/// What a stream is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A program or a login shell, framed.
    Session(Session),
    /// SFTP version 3, raw.
    Sftp,
    /// A connection made inside the box, raw.
    Connect(Place),
    /// Listens inside the box: [`Kind::Listening`], then one [`Kind::Accepted`] for each connection, until
    /// the gateway ends the stream. `key` is the gateway's name for this listener.
    Listen { key: u64, place: Place },
    /// A connection that a listener accepted, raw.
    Take { key: u64, number: u64 },
    /// A terminal that stays: joined or begun, framed. It ends with its program, not with its viewers.
    Attach(Attach),
    /// Datagrams to and from this port of the box's loopback, each with the number of its peer (`forward::frame`).
    Udp { port: u16 },
}

/// A program in the box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// As the client said it, for the box's shell; `None`: a login shell.
    pub line: Option<Vec<u8>>,
    pub env: BTreeMap<String, String>,
    pub pty: Option<Pty>,
    /// Path of the agent's socket that a [`Place::Agent`] listener answered with.
    pub agent: Option<String>,
}

/// See [`Request::Attach`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    pub name: String,
    /// Sees, and cannot type.
    pub read_only: bool,
    pub session: Session,
}

/// RFC 4254, 6.2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pty {
    pub term: String,
    pub window: Window,
    /// Opcodes of RFC 4254, 8, and their values.
    pub modes: Vec<(u8, u32)>,
}

/// Characters, then pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub columns: u16,
    pub rows: u16,
    pub width: u16,
    pub height: u16,
}

/// An end inside the box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    Unix {
        path: String,
    },
    /// A fresh socket for an SSH agent, of the box's user alone; only to listen on.
    Agent,
    /// A fresh display on the box's loopback for X11 (RFC 4254, 6.3), and a file that opens it; only to listen on.
    X11 {
        /// Name of the authorization, such as `MIT-MAGIC-COOKIE-1`.
        protocol: String,
        /// Its data, in hexadecimal digits.
        cookie: String,
        /// For one connection alone.
        single: bool,
    },
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(u32),
    /// Its name without `SIG` (RFC 4254, 6.10).
    Signal {
        name: String,
        core: bool,
    },
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// As asked for, or the one that 0 became; of display N, 6000 and N.
    pub port: u16,
    /// Of a Unix socket, or of the display's Xauthority file.
    pub path: Option<String>,
}

/// A connection that waits to be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    pub number: u64,
    /// Port of the listener; 0 for a Unix socket.
    pub listener: u16,
    /// Of the peer, where it has one.
    pub host: String,
    pub port: u16,
}

/// First byte of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Stdin = 0,
    /// No more standard input.
    Eof = 1,
    /// JSON [`Window`].
    Window = 2,
    /// One byte: a number of signal(7).
    Signal = 3,
    /// `u32`: so much more standard input may come.
    Credit = 4,
    Stdout = 16,
    Stderr = 17,
    /// JSON [`Exit`]; the last frame.
    Exit = 18,
    Ready = 19,
    /// Words; the last frame.
    Failed = 20,
    /// JSON [`Listening`].
    Listening = 21,
    /// JSON [`Accepted`].
    Accepted = 22,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Stdin,
        Self::Eof,
        Self::Window,
        Self::Signal,
        Self::Credit,
        Self::Stdout,
        Self::Stderr,
        Self::Exit,
        Self::Ready,
        Self::Failed,
        Self::Listening,
        Self::Accepted,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }

    const fn is_data(self) -> bool {
        matches!(self, Self::Stdin | Self::Stdout | Self::Stderr)
    }
}

/// Length of a frame's head: its kind, and the length of its body.
const HEAD: usize = 5;

/// The peer does not keep to the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the other side of a session talks nonsense")]
pub struct Nonsense;

/// The head of a data frame; the bytes follow it.
#[must_use]
pub fn head(kind: Kind, length: usize) -> [u8; HEAD] {
    let mut head = [kind as u8, 0, 0, 0, 0];
    head[1..].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    head
}

/// A whole frame.
#[must_use]
pub fn frame(kind: Kind, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD + body.len());
    frame.put_slice(&head(kind, body.len()));
    frame.put_slice(body);
    frame.freeze()
}

/// A frame of this value.
#[must_use]
pub fn json(kind: Kind, value: &impl Serialize) -> Bytes {
    // Values of this module have a JSON form.
    frame(kind, &serde_json::to_vec(value).unwrap_or_default())
}

/// Cuts incoming bytes into frames. Data comes in parts as it arrives; what is small comes whole.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Bytes,
    /// Of a frame whose head, or small body, came in parts.
    begun: Vec<u8>,
    /// Rest of the data frame that is being passed on.
    open: Option<(Kind, usize)>,
}

impl Frames {
    /// What is passed on is cut from these bytes, without a copy where [`Frames::take`] had taken all before.
    pub fn add(&mut self, bytes: Bytes) {
        self.bytes = if self.bytes.is_empty() {
            bytes
        } else {
            crate::pieces::join(&[std::mem::take(&mut self.bytes), bytes])
        };
    }

    /// The next frame or part of one; `None` when more bytes are needed.
    ///
    /// # Errors
    /// An unknown kind, or a small frame that boasts of a length; nothing is allocated for it.
    pub fn take(&mut self) -> Result<Option<(Kind, Bytes)>, Nonsense> {
        loop {
            if let Some((kind, rest)) = self.open {
                return Ok(self.part(kind, rest));
            }
            if !self.complete(HEAD) {
                return Ok(None);
            }
            let head = self.begun.first_chunk::<HEAD>();
            let head = head.or(self.bytes.first_chunk());
            let [kind, length @ ..] = *head.ok_or(Nonsense)?;
            let kind = Kind::of(kind).ok_or(Nonsense)?;
            let length = u32::from_be_bytes(length) as usize;
            if kind.is_data() {
                self.cut(HEAD);
                self.open = (length > 0).then_some((kind, length));
                continue;
            }
            if length > SMALL {
                return Err(Nonsense);
            }
            if !self.complete(HEAD + length) {
                return Ok(None);
            }
            let mut frame = self.cut(HEAD + length);
            frame.advance(HEAD);
            return Ok(Some((kind, frame)));
        }
    }

    /// Are the first so many bytes here, in one piece? What is here of them is kept, if they are not.
    fn complete(&mut self, length: usize) -> bool {
        if self.begun.is_empty() && self.bytes.len() >= length {
            return true;
        }
        let missing = length.saturating_sub(self.begun.len());
        let here = self.bytes.split_to(missing.min(self.bytes.len()));
        self.begun.extend_from_slice(&here);
        self.begun.len() >= length
    }

    /// These bytes, which are complete.
    fn cut(&mut self, length: usize) -> Bytes {
        if self.begun.is_empty() {
            self.bytes.split_to(length)
        } else {
            std::mem::take(&mut self.begun).into()
        }
    }

    fn part(&mut self, kind: Kind, rest: usize) -> Option<(Kind, Bytes)> {
        let some = rest.min(self.bytes.len());
        self.open = (some < rest).then_some((kind, rest - some));
        (some > 0).then(|| (kind, self.bytes.split_to(some)))
    }

    /// What came after the last frame that was taken.
    #[must_use]
    pub fn into_rest(self) -> Bytes {
        if self.begun.is_empty() {
            self.bytes
        } else {
            crate::pieces::join(&[self.begun.into(), self.bytes])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_come_out_in_order_however_they_are_cut() {
        let window = Window {
            columns: 80,
            ..Window::default()
        };
        let mut sent = BytesMut::new();
        sent.put(frame(Kind::Stdin, b"hello"));
        sent.put(json(Kind::Window, &window));
        sent.put(frame(Kind::Eof, b""));
        let (mut frames, mut stdin, mut rest) = (Frames::default(), Vec::new(), Vec::new());
        for byte in &sent {
            frames.add(Bytes::copy_from_slice(&[*byte]));
            while let Some((kind, body)) = frames.take().unwrap() {
                if kind == Kind::Stdin {
                    stdin.extend_from_slice(&body);
                } else {
                    rest.push((kind, body));
                }
            }
        }
        assert_eq!(stdin, b"hello");
        assert_eq!(rest[0].0, Kind::Window);
        assert_eq!(
            serde_json::from_slice::<Window>(&rest[0].1).unwrap(),
            window
        );
        assert_eq!(rest[1], (Kind::Eof, Bytes::new()));
    }

    #[test]
    fn a_boast_of_length_is_nonsense() {
        let mut frames = Frames::default();
        frames.add(Bytes::copy_from_slice(&head(Kind::Exit, usize::MAX)));
        assert_eq!(frames.take(), Err(Nonsense));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut frames = Frames::default();
            frames.add(bytes.into());
            while let Ok(Some(_)) = frames.take() {}
        }
    }
}

//! A shell session of a person: one command, or the prompt.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

mod batch;
mod bootstrap;
mod caller;
mod connect;
mod each;
mod follow;
mod input;
mod line;
mod lines;
mod logs;
mod prompt;
mod restore;
mod run;
mod serve;
mod snapshot;
mod source;
mod wait;

use russh::server::Handle;
use russh::{ChannelWriteHalf, Sig, server::Msg};
use tokio::sync::mpsc;
use tunnel::ssh::Inbox;
use tunnel::wire::session::{Pty, Window};

pub use caller::Caller;
pub use serve::{enrol, serve};

use crate::ssh::Connection;

/// Code of a command whose caller left or pressed Ctrl-C: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// A channel whose command begins.
pub struct Session {
    pub inbox: Inbox,
    pub half: ChannelWriteHalf<Msg>,
    pub events: mpsc::Receiver<SessionEvent>,
    pub terminal: Option<Terminal>,
    /// All that the client said of its terminal.
    pub pty: Option<Pty>,
    /// Of the connection.
    pub handle: Handle,
    pub connection: Connection,
}

/// The client asked for a pty.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// Columns.
    pub width: u16,
    /// It moves no cursor.
    pub dumb: bool,
}

impl Terminal {
    #[must_use]
    pub fn of(pty: &Pty) -> Self {
        Self {
            width: columns(pty.window),
            dumb: matches!(pty.term.as_str(), "" | "dumb"),
        }
    }
}

/// RFC 4254, 6.2: 0 is to be ignored.
#[must_use]
pub const fn columns(window: Window) -> u16 {
    match window.columns {
        0 => 80,
        columns => columns,
    }
}

/// What a client says beside its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The terminal has this size now.
    Window(Window),
    /// By number, as signal(7) has them on x86 and ARM.
    Signal(u8),
}

/// The next event, if there is somebody who tells.
async fn event(events: &mut Option<mpsc::Receiver<SessionEvent>>) -> Option<SessionEvent> {
    match events {
        Some(events) => events.recv().await,
        None => None,
    }
}

/// RFC 4254, 6.10, and signal(7).
#[must_use]
pub fn signal_number(signal: &Sig) -> Option<u8> {
    match signal {
        Sig::HUP => Some(1),
        Sig::INT => Some(2),
        Sig::QUIT => Some(3),
        Sig::ILL => Some(4),
        Sig::ABRT => Some(6),
        Sig::FPE => Some(8),
        Sig::KILL => Some(9),
        Sig::USR1 => Some(10),
        Sig::SEGV => Some(11),
        Sig::PIPE => Some(13),
        Sig::ALRM => Some(14),
        Sig::TERM => Some(15),
        Sig::Custom(name) if name == "USR2" => Some(12),
        Sig::Custom(_) => None,
    }
}

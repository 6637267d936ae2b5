//! What clients say in russh's words, as values; and short answers to them.

use std::time::Duration;

use russh::server::Session;
use russh::{ChannelId, ChannelOpenFailure};
use tunnel::wire::session::{Pty, Window};

/// Longest name of a terminal, in characters.
const LONGEST_TERM: usize = 64;
/// Modes of a terminal: RFC 4254, 8 has fewer.
const MODES: usize = 128;
/// How long a listener in a box may take.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// Columns and rows, then pixels.
pub(super) fn window(columns: u32, rows: u32, width: u32, height: u32) -> Window {
    let fit = |number| u16::try_from(number).unwrap_or(u16::MAX);
    Window {
        columns: fit(columns),
        rows: fit(rows),
        width: fit(width),
        height: fit(height),
    }
}

pub(super) fn pty(term: &str, window: Window, modes: &[(russh::Pty, u32)]) -> Pty {
    let modes = modes.iter().take(MODES);
    Pty {
        term: term.chars().take(LONGEST_TERM).collect(),
        window,
        modes: modes.map(|(mode, value)| (*mode as u8, *value)).collect(),
    }
}

/// russh has no later answer to a request to listen: the connection waits, so long at most.
pub(super) async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LISTEN_LIMIT, work).await.ok()
}

/// Not for this client, or not here.
pub(super) const PROHIBITED: ChannelOpenFailure = ChannelOpenFailure::AdministrativelyProhibited;

/// This, in words of ours, which a client shows.
pub(super) fn because(what: &ChannelOpenFailure, words: impl Into<String>) -> ChannelOpenFailure {
    ChannelOpenFailure::Other {
        code: what.code(),
        reason: words.into(),
    }
}

/// This connection has as many of these as it may.
pub(super) fn full(what: &str, most: usize) -> ChannelOpenFailure {
    let words = format!(
        "this connection has {most} {what}, the most there may be: close some, or connect once more"
    );
    because(&ChannelOpenFailure::ResourceShortage, words)
}

pub(super) fn reply(
    session: &mut Session,
    channel: ChannelId,
    well: bool,
) -> Result<(), russh::Error> {
    if well {
        session.channel_success(channel)
    } else {
        session.channel_failure(channel)
    }
}

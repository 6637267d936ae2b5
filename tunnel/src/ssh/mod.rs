//! The I/O half: russh on both ends.
//!
//! Rules that keep the released russh safe, each with its test in `tests/datapath`:
//! data never waits in russh's channel queues (every read half is dropped and bytes are taken in the
//! handler's callbacks), nothing is sent by `Handle::data` (it ignores windows and blocks all channels),
//! and each socket is a [`Tune`], which reads while a write is blocked.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

pub mod accept;
pub mod control;
pub mod dial;
pub mod inbox;
mod preferred;
pub mod socket;
pub mod stream;
pub mod terms;
mod waiting;

pub use accept::{LinkConnection, server_config};
pub use control::{FrameReader, FrameWriter, Frames};
pub use dial::{DialConfig, HostPin, Joined, RunnerLink, dial, join};
pub use inbox::{CHANNELS, Closing, Inbox, Inboxes, InboxesGuard, Received};
pub use socket::{Crawl, End, Ending, Tune};
pub use stream::{MOST, Stream, StreamReader, StreamWriter, Streams, StreamsGuard};
pub use terms::Terms;

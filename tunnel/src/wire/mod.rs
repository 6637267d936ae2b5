//! The pure half: what the bytes mean. `docs/protocol.md` is its prose twin.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

pub mod channel_name;
pub mod errand;
pub mod examine;
pub mod frame;
pub mod guest;
pub mod hear;
pub mod message;
pub mod output;
pub mod session;
pub mod version;

pub use channel_name::ChannelName;
pub use hear::Heard;
pub use message::{FromRunner, Hello, ToRunner, Welcome};
pub use version::{OURS, Versions};

/// Version of everything in this folder, at most one a release. Unknown fields are ignored and unknown messages
/// skipped, so that most additions need no new version; what an older peer must not ignore does
/// (`cluster::TaskSpec::protocol`).
pub const PROTOCOL: u32 = 2;
/// The oldest that is understood: the one before. Peers that are further apart refuse each other by name.
pub const OLDEST: u32 = 1;

/// Name of the subsystem that a runner asks for on its control connection.
pub const SUBSYSTEM_CONTROL: &str = "river-runner";
/// … on each bulk connection, followed by `/` and the instance of its runner's hello: [`bulk_subsystem`].
pub const SUBSYSTEM_BULK: &str = "river-bulk";
/// … to join.
pub const SUBSYSTEM_JOIN: &str = "river-join";

/// Ties a bulk connection to the control connection that says the same instance: a copied certificate
/// alone carries no streams, for an instance is made at each start of a runner and never stored.
#[must_use]
pub fn bulk_subsystem(instance: u64) -> String {
    format!("{SUBSYSTEM_BULK}/{instance}")
}

/// The instance in the name that [`bulk_subsystem`] makes.
#[must_use]
pub fn bulk_instance(name: &str) -> Option<u64> {
    let number = name.strip_prefix(SUBSYSTEM_BULK)?.strip_prefix('/')?;
    number.parse().ok()
}

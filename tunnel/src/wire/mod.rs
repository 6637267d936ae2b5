//! The pure half: what the bytes mean. `docs/protocol.md` is its prose twin.

pub mod channel_name;
pub mod frame;
pub mod guest;
pub mod message;
pub mod output;
pub mod session;

pub use channel_name::ChannelName;
pub use message::{FromRunner, Hello, ToRunner, Welcome};

/// Version of everything in this folder. A peer of another major version is refused by name;
/// unknown fields are ignored, so that a minor addition needs no new version.
pub const PROTOCOL: u32 = 1;

/// Name of the subsystem that a runner asks for on its control connection.
pub const SUBSYSTEM_CONTROL: &str = "river-runner";
/// … on each bulk connection.
pub const SUBSYSTEM_BULK: &str = "river-bulk";
/// … to join.
pub const SUBSYSTEM_JOIN: &str = "river-join";

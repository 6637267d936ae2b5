//! How it travels: what gateway, runner and guest say to each other, and the SSH it rides on.
//!
//! ```text
//!  gateway ◄── SSH, dialled by ── runner ◄── Unix socket, dialled by ── guest
//!          control + bulk connections            one socket a box
//! ```

pub mod fault;
pub mod guest;
#[cfg(feature = "log")]
pub mod log;
pub mod pieces;
#[cfg(any(test, feature = "properties"))]
pub mod properties;
#[cfg(feature = "ssh")]
pub mod ssh;
pub mod wire;

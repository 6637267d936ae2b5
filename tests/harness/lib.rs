//! What a test may use: a gateway with runners on loopback, and real OpenSSH programs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod openssh;
pub mod river;
pub mod wait;

pub use openssh::{Person, Run};
pub use river::{Engine, River};

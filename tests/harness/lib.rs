//! What a test may use: a gateway with runners on loopback, real OpenSSH programs, and a cluster on paper.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub mod build;
pub mod documents;
pub mod machine;
pub mod openssh;
pub mod pretend;
pub mod process;
pub mod river;
pub mod wait;

pub use build::Build;
pub use machine::Machine;
pub use openssh::{Person, Run};
pub use river::{Engine, River};

//! The engines against what they stand on: do they keep the promises of `runner::engine::Engine`?

#![expect(clippy::unwrap_used, reason = "a test program")]

mod bench;
mod contract;
mod docker;
mod images;
mod probe;
mod process;

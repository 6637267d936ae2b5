//! Do neighbouring versions understand each other? What older ones wrote and said is kept in `tests/fixtures/`.
#![expect(clippy::unwrap_used, reason = "a test program")]

mod fixtures;
mod store;

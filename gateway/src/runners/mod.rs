//! The runners that are connected now, and what flows from them.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

mod collect;
mod connection;
mod enroll;
mod links;
mod spool;

pub use collect::{Collector, collect};
pub use connection::{serve as serve_control, serve_bulk};
pub use enroll::serve as serve_join;
pub use links::Links;
pub use spool::serve as serve_spool;

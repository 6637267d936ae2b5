//! How it is said: a line becomes a `Command`, a `Reply` becomes text.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

pub mod cli;
pub mod command;
pub mod escape;
pub mod failure;
#[cfg(any(test, feature = "properties"))]
pub mod properties;
pub mod render;
pub mod reply;
pub mod words;

pub use cli::{LONGEST_SPEC, parse, parse_batch, parse_line, parse_spec, wants_json};
pub use command::{Attach, Change, Command, Format, Query, Request};
pub use escape::Safe;
pub use failure::{Failure, Kind};
pub use render::{Rendered, View, render, render_end, render_failure, render_line};
pub use reply::Reply;

//! What runs inside a box: supervises one command, keeps its output and its end.
//!
//! It is pid 1 of a container, or a process of its own under the `process` engine. It waits for nobody:
//! without a runner the command starts, writes and ends just the same.

mod control;
pub mod launch;
pub mod output;
mod processes;
mod record;
mod stdin;
mod supervise;
mod user;

pub use supervise::run;

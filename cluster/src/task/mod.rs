//! The unit that is placed and run.

mod lifecycle;

pub use lifecycle::{IllegalStep, TaskEvent, TaskState, next};

//! What a river cluster is made of. Values, and functions of values: no clock, socket, lock or file.

pub mod id;
pub mod task;

pub use id::{BadId, TaskId};
pub use task::{IllegalStep, TaskEvent, TaskState};

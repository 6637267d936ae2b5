//! What a river cluster is made of. Values, and functions of values: no clock, socket, lock or file.
//!
//! A type enters when a second crate needs it; only values and functions of values enter.

pub mod assignment;
pub mod id;
pub mod node;
pub mod observation;
pub mod resources;
pub mod task;
pub mod text;
pub mod time;

pub use assignment::{Assignment, Assignments, StopReason, Wanted};
pub use id::{AttemptId, BadId, TaskId};
pub use node::{EngineKind, Node, NodeFacts, NodeState};
pub use observation::{AttemptReport, DiskTrouble, EngineHealth, Observation, Phase, Stranger};
pub use resources::Resources;
pub use task::{
    End, IllegalStep, Image, Mount, Outcome, OutputSize, Placement, Spool, Stdin, Task, TaskEvent,
    TaskName, TaskSpec, TaskState, Vps,
};
pub use time::Timestamp;

//! The head: decides, records, routes.
//!
//! ```text
//!  ssh ─► console ─► dispatch ─► judge ─┬─ Query ──► queries ◄── snapshot of State
//!                                       ├─ Attach ─► links ──► runner
//!                                       └─ Change ─► driver ─► State::handle ─► commit ─► effects
//! ```

pub mod boxes_file;
pub mod config;
pub mod console;
pub mod dispatch;
pub mod doctor;
pub mod driver;
pub mod ending;
pub mod flags;
pub mod head;
pub mod held;
pub mod invite;
pub mod listen;
pub mod memory;
pub mod permission;
pub mod private;
pub mod programs;
#[cfg(any(test, feature = "properties"))]
pub mod properties;
pub mod queries;
pub mod readers;
pub mod runners;
pub mod sandbox;
pub mod scheduler;
pub mod seats;
pub mod ssh;
pub mod state;
pub mod store;
pub mod vitals;

pub use head::Head;

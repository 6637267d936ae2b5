//! The hands: assignments come in, observations go out.
//!
//! ```text
//!  gateway ⇄ link ⇄ agent ─► workloads (pure) ─► actions ─► engine, guests, files
//! ```

pub mod agent;
pub mod config;
pub mod confine;
pub mod disk;
pub mod engine;
pub mod errands;
pub mod examine;
pub mod facts;
pub mod flags;
pub mod guest;
pub mod identity;
pub mod installed;
pub mod journal;
pub mod mounts;
pub mod output;
pub mod overfull;
pub mod peer;
#[cfg(any(test, feature = "properties"))]
pub mod properties;
pub mod relay;
pub mod removal;
pub mod start;
pub mod turns;
pub mod workloads;

//! A UDP port of a box on one's own machine: what travels, who speaks, and what is said to the program.
//!
//! ```text
//!  programs ── UDP ── river-forward ── ssh ── gateway ── guest ── UDP ── the box's port
//! ```

#[cfg(feature = "program")]
pub mod flags;
pub mod frame;
pub mod peers;

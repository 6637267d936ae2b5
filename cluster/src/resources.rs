//! Room on a node, and what a task takes of it.

use serde::{Deserialize, Serialize};

/// Cores and bytes of memory. As a request, 0 means "no limit": nothing is set aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    pub cores: u32,
    /// Bytes.
    pub memory: u64,
}

impl Resources {
    /// Does `request` fit in what is free here?
    #[must_use]
    pub const fn fits(self, request: Self) -> bool {
        request.cores <= self.cores && request.memory <= self.memory
    }

    /// What is left after `request`; never below zero (a node can shrink under its tasks).
    #[must_use]
    pub const fn minus(self, request: Self) -> Self {
        Self {
            cores: self.cores.saturating_sub(request.cores),
            memory: self.memory.saturating_sub(request.memory),
        }
    }

    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            cores: self.cores.saturating_add(other.cores),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

//! Several things that happened are one turn: each is taken, and what waits is given places once, at the end.

use std::sync::Arc;

use cluster::Timestamp;

use super::{Effect, Input, State, invariants};

impl State {
    /// Takes one thing that happened. Effects are in the order they must be done, after the commit.
    pub fn handle(&mut self, input: Input, now: Timestamp) -> Vec<Effect> {
        self.turn([input], now)
    }

    /// Takes what happened, in its order. A pass over the queue costs what the queue and the nodes are, so there is
    /// one in a turn; and none where nothing has changed, as with most of what nodes say.
    pub fn turn(&mut self, inputs: impl IntoIterator<Item = Input>, now: Timestamp) -> Vec<Effect> {
        let before = self.clone();
        let mut out = Vec::new();
        for input in inputs {
            self.take(input, now, &mut out);
        }
        if !self.is_same(&before) {
            self.place(now, &mut out);
            self.forget_old();
        }
        if cfg!(debug_assertions) {
            invariants::check(self);
        }
        out
    }

    /// Was nothing written since `other` was this? Cheap; `false` also where the same was written again.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.counters == other.counters
            && Arc::ptr_eq(&self.settings, &other.settings)
            && Arc::ptr_eq(&self.directory, &other.directory)
            && self.nodes.ptr_eq(&other.nodes)
            && self.links.ptr_eq(&other.links)
            && self.silent.ptr_eq(&other.silent)
            && self.tasks.ptr_eq(&other.tasks)
            && self.queue.ptr_eq(&other.queue)
            && self.placed.ptr_eq(&other.placed)
            && self.fenced.ptr_eq(&other.fenced)
            && self.first.ptr_eq(&other.first)
            && self.versions.ptr_eq(&other.versions)
            && self.names.ptr_eq(&other.names)
            && self.keys.ptr_eq(&other.keys)
            && self.ended.ptr_eq(&other.ended)
    }
}

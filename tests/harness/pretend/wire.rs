//! What connections of nodes carry to the gateway.
//!
//! Each is one SSH connection, so what it carries comes in its order, once, and whole, until it breaks: a sudden end
//! takes what was said last. Two connections of one node know nothing of each other: the end of the older one, and what
//! it still said, may be heard long after the newer one came up, and they may come up the other way round. The lists of
//! the gateway are read by the one runner, one connection after the other, so there the order never changes: those that
//! it had when a connection broke are taken before those of the next, and any of them may be missing, for only the newest
//! waits to be sent.

use std::collections::{BTreeMap, VecDeque};

use gateway::state::{Input, LinkId};
use keys::NodeName;

#[derive(Default)]
pub struct Wire {
    links: BTreeMap<LinkId, VecDeque<Input>>,
}

impl Wire {
    pub(super) fn comes(&mut self, link: LinkId, up: Input) {
        self.links.insert(link, [up].into());
    }

    pub(super) fn says(&mut self, link: LinkId, said: Input) {
        let ended = |said: Option<&Input>| matches!(said, Some(Input::LinkDown { .. }));
        let waiting = self.links.entry(link).or_default();
        if !ended(waiting.back()) {
            waiting.push_back(said);
        }
    }

    /// The end of a connection, which its gateway always notices at some time. With it goes what was said last: so many
    /// words. A greeting that has been answered is with the gateway.
    pub(super) fn ends(&mut self, node: NodeName, link: LinkId, lost: usize) {
        let waiting = self.links.entry(link).or_default();
        for _ in 0..lost {
            let last = waiting.back();
            if matches!(last, Some(Input::Observed { .. })) {
                waiting.pop_back();
            }
        }
        self.says(link, Input::LinkDown { node, link });
    }

    /// Those that have something to say.
    #[must_use]
    pub fn links(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// The next word of a connection.
    pub(super) fn hear(&mut self, link: LinkId) -> Option<Input> {
        let waiting = self.links.get_mut(&link)?;
        let said = waiting.pop_front();
        if waiting.is_empty() {
            self.links.remove(&link);
        }
        said
    }

    /// The gateway fell, and they with it.
    pub(super) fn clear(&mut self) {
        self.links.clear();
    }
}

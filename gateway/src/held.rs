//! What waits while the disk of the store is full: what nodes said and what became due is said again until there is
//! room; whoever waits for an answer gets one at once, and it is no.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::state::Input;

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);
/// Inputs taken beside what waits.
const MORE: usize = 256;
/// Beyond so many nothing more is taken: whoever has more waits, and links are not read meanwhile.
const MOST: usize = 4096;

/// In the order in which it was said.
#[derive(Default)]
pub(crate) struct Held {
    inputs: Vec<Input>,
    full: bool,
}

impl Held {
    /// Fills `batch` with what is tried again, and with what came meanwhile. `false`: nothing waits.
    pub(crate) async fn wait(
        &mut self,
        inputs: &mut mpsc::Receiver<Input>,
        batch: &mut Vec<Input>,
    ) -> bool {
        if self.inputs.is_empty() {
            return false;
        }
        let mut more = Vec::new();
        if self.inputs.len() < MOST && !inputs.is_closed() {
            tokio::select! {
                _ = inputs.recv_many(&mut more, MORE) => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        batch.append(&mut self.inputs);
        batch.append(&mut more);
        true
    }

    /// Of a turn that could not be committed.
    pub(crate) fn keep(&mut self, inputs: Vec<Input>) {
        if !self.full {
            warn!("the disk of the store is full: changes are refused until there is room");
        }
        self.full = true;
        self.inputs = newest(inputs);
    }

    /// A turn was committed.
    pub(crate) fn is_over(&mut self) {
        if std::mem::take(&mut self.full) {
            info!("there is room on the disk again");
        }
    }
}

/// What must be heard again if its turn cannot be committed: nobody waits to say it again.
#[must_use]
pub fn repeatable(input: &Input) -> Option<Input> {
    match input {
        // What is not noted does not happen: whoever wanted it hears that.
        Input::Audit { .. } => None,
        Input::Change { .. } | Input::Enrol { .. } | Input::Join { .. } => None,
        Input::CallerGone { .. }
        | Input::LinkUp { .. }
        | Input::LinkDown { .. }
        | Input::Observed { .. }
        | Input::Collected { .. }
        | Input::InputGone { .. }
        | Input::Recalled { .. }
        | Input::Tick => Some(input.clone()),
    }
}

/// A node says everything each time: of what it said over one link, the last counts, and of its links the newest that
/// came and the newest that went, which need not be the last that was heard. One tick is enough.
#[must_use]
pub fn newest(inputs: Vec<Input>) -> Vec<Input> {
    let mut links = HashSet::new();
    let (mut came, mut went) = (HashMap::new(), HashMap::new());
    for input in &inputs {
        let (all, node, link) = match input {
            Input::LinkUp { node, link, .. } => (&mut came, node, *link),
            Input::LinkDown { node, link } => (&mut went, node, *link),
            Input::Audit { .. }
            | Input::Change { .. }
            | Input::Enrol { .. }
            | Input::Join { .. }
            | Input::CallerGone { .. }
            | Input::Observed { .. }
            | Input::Collected { .. }
            | Input::InputGone { .. }
            | Input::Recalled { .. }
            | Input::Tick => continue,
        };
        let newest = all.entry(node.clone()).or_insert(link);
        *newest = link.max(*newest);
    }
    let mut ticked = false;
    let mut kept: Vec<Input> = inputs
        .into_iter()
        .rev()
        .filter(|input| match input {
            Input::Observed { link, .. } => links.insert(*link),
            Input::LinkUp { node, link, .. } => came.get(node) == Some(link),
            Input::LinkDown { node, link } => went.get(node) == Some(link),
            Input::Tick => !std::mem::replace(&mut ticked, true),
            Input::Audit { .. }
            | Input::Change { .. }
            | Input::Enrol { .. }
            | Input::Join { .. }
            | Input::CallerGone { .. }
            | Input::Collected { .. }
            | Input::InputGone { .. }
            | Input::Recalled { .. } => true,
        })
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use cluster::Observation;

    use super::*;
    use crate::state::{LinkId, Ticket};

    fn observed(link: u64, version: u64) -> Input {
        Input::Observed {
            node: "n1".parse().unwrap(),
            link: LinkId(link),
            observation: Observation {
                version,
                ..Observation::default()
            },
        }
    }

    #[test]
    fn the_last_word_of_each_link_is_kept_in_its_place() {
        let down = Input::LinkDown {
            node: "n1".parse().unwrap(),
            link: LinkId(1),
        };
        let said = vec![
            observed(1, 1),
            Input::Tick,
            observed(2, 5),
            observed(1, 2),
            down,
            Input::Tick,
        ];
        let kept = newest(said);
        let told = kept.iter().filter_map(|input| {
            let Input::Observed {
                link, observation, ..
            } = input
            else {
                return None;
            };
            Some((link.0, observation.version))
        });
        let told: Vec<(u64, u64)> = told.collect();
        assert_eq!(told, [(2, 5), (1, 2)]);
        assert!(matches!(kept[2], Input::LinkDown { .. }));
        assert!(matches!(kept[3], Input::Tick) && kept.len() == 4);
    }

    /// Links that came and went all night once filled what may wait, and nothing was read any more.
    #[test]
    fn of_links_that_come_and_go_the_last_ones_wait() {
        let down = |link| Input::LinkDown {
            node: "n1".parse().unwrap(),
            link: LinkId(link),
        };
        let said = (1..=1000).flat_map(|link| [observed(link, 1), down(link)]);
        let kept = newest(said.chain([observed(1001, 1)]).collect());
        let downs = kept.iter().filter_map(|input| {
            let Input::LinkDown { link, .. } = input else {
                return None;
            };
            Some(link.0)
        });
        assert_eq!(downs.collect::<Vec<_>>(), [1000]);
    }

    /// The end of the older connection is heard late: it must not hide that of the newer one.
    #[test]
    fn of_links_the_newest_counts_and_not_the_last_heard() {
        let down = |link| Input::LinkDown {
            node: "n1".parse().unwrap(),
            link: LinkId(link),
        };
        let kept = newest(vec![down(2), down(1)]);
        let [Input::LinkDown { link, .. }] = kept[..] else {
            panic!("{kept:?}");
        };
        assert_eq!(link, LinkId(2));
    }

    #[test]
    fn whoever_waits_for_an_answer_is_not_held() {
        let note = Input::Audit {
            ticket: Ticket(1),
            account: "alice".into(),
            action: "connect".into(),
            object: "lab".into(),
            verdict: "allowed".into(),
        };
        assert!(repeatable(&note).is_none());
        assert!(repeatable(&Input::Tick).is_some());
    }

    #[tokio::test]
    async fn what_comes_meanwhile_is_heard_at_once() {
        let (sender, mut receiver) = mpsc::channel(4);
        let mut held = Held::default();
        let mut batch = Vec::new();
        assert!(!held.wait(&mut receiver, &mut batch).await, "nothing waits");
        held.keep(vec![observed(1, 1)]);
        sender.send(observed(2, 7)).await.unwrap();
        assert!(held.wait(&mut receiver, &mut batch).await);
        assert_eq!(batch.len(), 2, "what waited, and what came");
    }
}

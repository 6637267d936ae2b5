//! What happens on nodes and on the way to them: lists arrive, runners act, boxes begin and end, words are heard.

use cluster::AttemptId;
use harness::pretend::PretendNode;
use rand::RngExt;
use runner::engine::BoxState;
use runner::workloads::Step;
use tunnel::wire::guest::GuestEnd;

use crate::check::code_of;
use crate::world::World;

/// What may go on.
#[derive(Clone, Copy)]
enum Work {
    /// What its runner would do, or hears of.
    Runner(AttemptId),
    Boots(AttemptId),
    Hears(AttemptId),
    /// In a box.
    Ends(AttemptId),
}

impl World {
    /// The next list is taken; or a later one, for only the newest waits to be sent.
    pub(crate) fn deliver(&mut self, node: usize) {
        let waiting = self.cluster.nodes[node].mail.len();
        if waiting == 0 {
            return;
        }
        let skips = self.calm || self.rng.random_bool(0.3);
        let at = if skips {
            self.rng.random_range(0..waiting)
        } else {
            0
        };
        let node = &mut self.cluster.nodes[node];
        let newest = node.mail.drain(..=at).next_back();
        if let Some(list) = newest {
            node.take(&list);
        }
    }

    pub(crate) fn hear(&mut self) {
        let links = self.cluster.wire.links();
        if !links.is_empty() {
            let link = links[self.rng.random_range(0..links.len())];
            self.cluster.hear(link);
        }
    }

    pub(crate) fn dial(&mut self, node: usize) {
        let lost = self.lost();
        self.cluster.dial(node, lost);
    }

    pub(crate) fn hang_up(&mut self, node: usize) {
        let lost = self.lost();
        self.cluster.hang_up(node, lost);
    }

    /// Of what a broken connection carried: words, and lists.
    pub(crate) fn lost(&mut self) -> (usize, usize) {
        (self.rng.random_range(0..3), self.rng.random_range(0..4))
    }

    /// Something on the node goes on.
    pub(crate) fn work(&mut self, node: usize) {
        let now = self.cluster.now;
        let all = self.works(&self.cluster.nodes[node]);
        if all.is_empty() {
            return;
        }
        let one = all[self.rng.random_range(0..all.len())];
        match one {
            Work::Runner(id) => {
                let node = &mut self.cluster.nodes[node];
                if let Some(action) = node.due(id, now) {
                    node.act(id, action, now);
                }
            }
            Work::Boots(id) => drop(self.cluster.nodes[node].boot(id, now)),
            Work::Hears(id) => drop(self.cluster.nodes[node].heard(id, now)),
            Work::Ends(held) => self.end(node, held),
        }
    }

    /// What runs in a box ends: by itself, for its time, for its memory, as it is told to, or without a word.
    fn end(&mut self, node: usize, held: AttemptId) {
        let (now, chance) = (self.cluster.now, self.rng.random_range(0..100));
        let machine = &self.cluster.nodes[node].machine;
        let here = &machine.boxes[&held];
        let task = here.life.task;
        let late = here
            .limit
            .is_some_and(|limit| now.0 >= here.since.0 + limit);
        let code = code_of(task);
        let attempt = self.cluster.nodes[node].attempts.get(&here.life);
        let stopping = attempt.is_some_and(|attempt| attempt.stopping.is_some());
        let (end, oom) = match chance {
            0..2 if !self.calm => {
                self.cluster.nodes[node].machine.kill(held);
                self.unheard.insert(task);
                return;
            }
            2..4 => {
                self.oomed.insert(task);
                (GuestEnd::Signaled { signal: 9 }, true)
            }
            _ if late => (GuestEnd::OutOfTime, false),
            4..60 if stopping => (GuestEnd::Stopped, false),
            // It does not heed its TERM.
            60..95 if stopping => return,
            _ => (GuestEnd::Exited { code }, false),
        };
        self.cluster.nodes[node].machine.end(held, end, oom, now);
    }

    fn works(&self, node: &PretendNode) -> Vec<Work> {
        let now = self.cluster.now;
        let mut all = Vec::new();
        for (id, attempt) in &node.attempts {
            if matches!(attempt.step, Step::Starting { .. }) {
                let held = node.machine.boxes.get(&attempt.assignment.box_id());
                let up =
                    held.is_some_and(|held| held.life == *id && held.state != BoxState::Created);
                all.push(if up {
                    Work::Hears(*id)
                } else {
                    Work::Boots(*id)
                });
            } else if node.due(*id, now).is_some() {
                all.push(Work::Runner(*id));
            }
        }
        if self.still {
            return all;
        }
        let running = node.machine.boxes.iter();
        let running = running.filter(|(_, held)| held.state == BoxState::Running);
        all.extend(running.map(|(held, _)| Work::Ends(*held)));
        all
    }
}

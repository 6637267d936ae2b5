//! Nodes: joined, connected, silent, drained, removed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cluster::{DiskTrouble, EngineHealth, Node, Observation, StopReason, Timestamp, Wanted};
use keys::token;
use keys::{Actor, JoinToken, NodeName};
use shell::{Failure, Kind, Reply};
use tunnel::wire::{Hello, OURS};

use super::observe::WORDS;
use super::{Answer, AuditEntry, Dice, Effect, Link, LinkId, Record, State};

impl Link {
    /// As it is after this word of the node.
    pub(super) fn heard(&self, seen: &Observation) -> Self {
        let short = |text: &str| text.chars().take(WORDS).collect();
        Self {
            taken: seen.version,
            heard: true,
            engine: seen.engine.clone(),
            disk: seen.disk.as_ref().map(|disk| DiskTrouble {
                what: short(&disk.what),
                detail: short(&disk.detail),
            }),
            strangers: seen.strangers.clone(),
            unknown: Vec::new(),
            ..self.clone()
        }
    }
}

impl State {
    pub(super) fn on_node_invite(
        &mut self,
        actor: &Actor,
        node: &NodeName,
        lifetime_ms: u64,
        dice: &Dice,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        if self.links.contains_key(node) {
            return Err(
                Failure::new(Kind::Failed, format!("{node}: this node is connected")).hint(
                    format!("choose another name, or `node remove {node}` first"),
                ),
            );
        }
        let secret = token::mint(dice);
        let expires = Timestamp(now.0.saturating_add(lifetime_ms));
        let token = JoinToken {
            hash: token::hash(&secret),
            node: node.clone(),
            by: actor.account.clone(),
            expires: expires.0,
        };
        Arc::make_mut(&mut self.directory).put_join_token(token.clone());
        out.push(Effect::Save(Record::JoinToken(token)));
        Ok(Reply::NodeInvited {
            node: node.clone(),
            token: secret,
            expires,
        })
    }

    /// A proved key shows a token: one use, one node, one machine.
    pub(super) fn on_join(
        &mut self,
        hash: &str,
        machine_id: String,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Answer, Failure> {
        let refused = || {
            Failure::new(Kind::Denied, "this join token is unknown, used or expired")
                .hint("an operator makes a new one: `node invite NAME`")
        };
        let token = self
            .directory
            .join_token(hash, now.0)
            .cloned()
            .ok_or_else(refused)?;
        Arc::make_mut(&mut self.directory).remove_join_token(hash);
        out.push(Effect::Save(Record::JoinTokenRemoved {
            hash: hash.to_owned(),
        }));
        self.counters.serial += 1;
        self.save_counters(out);
        let known = self.nodes.get(&token.node).cloned();
        let node = Node {
            name: token.node.clone(),
            joined: now,
            certificate: self.counters.serial,
            machine_id,
            draining: known.as_ref().is_some_and(|node| node.draining),
            facts: known.as_ref().and_then(|node| node.facts.clone()),
            protocol: known.as_ref().map_or(0, |node| node.protocol),
            seen: known.and_then(|node| node.seen),
            lost: false,
        };
        self.put_node(node, out);
        self.silent.insert(token.node.clone(), now);
        // Whoever is still there with the old certificate.
        let why = "this node joined again".to_owned();
        out.push(Effect::CloseNode(token.node.clone(), why));
        out.push(Effect::Audit(AuditEntry {
            at: now,
            account: token.by.to_string(),
            action: "node join".to_owned(),
            object: token.node.to_string(),
            verdict: "done".to_owned(),
        }));
        Ok(Answer::Joined {
            node: token.node,
            serial: self.counters.serial,
        })
    }

    /// The newest connection is the truth; an older one is closed.
    pub(super) fn on_link_up(
        &mut self,
        name: &NodeName,
        link: LinkId,
        hello: Hello,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(node) = self.nodes.get(name) else {
            let why = "this node was removed".to_owned();
            out.push(Effect::CloseNode(name.clone(), why));
            return;
        };
        let mut node = (**node).clone();
        if hello.facts.machine_id != node.machine_id {
            let why = "its certificate is bound to another machine".to_owned();
            out.push(Effect::CloseLink(link, why));
            return;
        }
        // Two that came up within a moment may be heard the other way round: the newer one has taken over already.
        if self.links.get(name).is_some_and(|known| known.id > link) {
            return;
        }
        if let Some(old) = self.links.get(name) {
            out.push(Effect::CloseLink(
                old.id,
                "a newer connection of this node took over".to_owned(),
            ));
        }
        node.protocol = hello.versions().common(OURS).unwrap_or_default();
        node.facts = Some(hello.facts);
        node.seen = Some(now);
        node.lost = false;
        self.put_node(node, out);
        // A node saw numbers that this store does not know: it was restored from an older copy.
        if hello.highest_task.0 > self.counters.task || hello.highest_epoch > self.counters.epoch {
            self.counters.task = self.counters.task.max(hello.highest_task.0);
            self.counters.epoch = self.counters.epoch.max(hello.highest_epoch + 1);
            self.save_counters(out);
            self.begin_versions_again(out);
        }
        self.silent.remove(name);
        if hello.highest_epoch == 0 {
            self.begins_anew(name, now, out);
        }
        // What it has is not known before it says so on this link.
        self.heard.remove(name);
        let known = Link {
            id: link,
            instance: hello.instance,
            since: now,
            taken: 0,
            heard: false,
            engine: EngineHealth::Up,
            disk: None,
            strangers: Vec::new(),
            unknown: Vec::new(),
            asked: BTreeSet::new(),
        };
        self.links.insert(name.clone(), known);
        self.publish(name, out);
    }

    /// A node that remembers nothing, not even of us, was made anew: what began there began on its former disk, and
    /// must not begin there once more as if it were the same.
    fn begins_anew(&mut self, name: &NodeName, now: Timestamp, out: &mut Vec<Effect>) {
        let placed = self.placed.get(name).into_iter().flatten();
        let begun = placed.filter_map(|id| self.tasks.get(id));
        let begun = begun.filter(|task| task.started.is_some() && !self.is_doubted(task));
        for task in begun.map(|task| (**task).clone()).collect::<Vec<_>>() {
            self.on_gone(
                task,
                "its node was made anew and knows nothing of it",
                now,
                out,
            );
        }
    }

    pub(super) fn on_link_down(
        &mut self,
        name: &NodeName,
        link: LinkId,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        if self.links.get(name).is_none_or(|known| known.id != link) {
            return;
        }
        self.links.remove(name);
        self.heard.remove(name);
        self.silent.insert(name.clone(), now);
        if let Some(node) = self.nodes.get(name) {
            let mut node = (**node).clone();
            node.seen = Some(now);
            self.put_node(node, out);
        }
        self.changed_on(name, out);
    }

    /// Whoever watches a task of this node wants to look again.
    fn changed_on(&self, name: &NodeName, out: &mut Vec<Effect>) {
        let placed = self.placed.get(name).into_iter().flatten();
        out.extend(placed.map(|id| Effect::Changed(*id)));
    }

    pub(super) fn on_drain(
        &mut self,
        name: &NodeName,
        draining: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let mut node = (*self.node_or_hint(name)?).clone();
        node.draining = draining;
        self.put_node(node, out);
        let verb = if draining {
            "draining"
        } else {
            "taking tasks again"
        };
        Ok(Reply::NodeChanged {
            verb,
            node: name.clone(),
            running: self.running_on(name),
        })
    }

    pub(super) fn on_node_remove(
        &mut self,
        name: &NodeName,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        self.node_or_hint(name)?;
        let running = self.running_on(name);
        if running > 0 {
            let tasks = if running == 1 {
                "task has"
            } else {
                "tasks have"
            };
            let sentence = format!("{name}: {running} {tasks} not ended there");
            return Err(Failure::new(Kind::Failed, sentence).hint(format!(
                "`node drain {name}`, then wait for them or `task kill` them"
            )));
        }
        let placed = self.placed.get(name).into_iter().flatten();
        let placed = placed.filter_map(|id| self.tasks.get(id));
        let ended: Vec<_> = placed
            .filter(|task| task.state.is_final())
            .cloned()
            .collect();
        let uncollected = ended.len();
        if uncollected > 0 && self.links.contains_key(name) {
            let plural = if uncollected == 1 { "" } else { "s" };
            let sentence =
                format!("{name}: the output of {uncollected} task{plural} is still on it");
            return Err(Failure::new(Kind::Busy, sentence).hint("try again in a moment"));
        }
        self.links.remove(name);
        let why = "this node was removed".to_owned();
        out.push(Effect::CloseNode(name.clone(), why));
        for task in ended {
            let mut task = (*task).clone();
            task.collected = true;
            self.put(task, out);
        }
        self.nodes.remove(name);
        self.silent.remove(name);
        self.fenced.remove(name);
        self.forget_gone(name);
        self.heard.remove(name);
        self.placed.remove(name);
        out.push(Effect::Save(Record::NodeRemoved(name.clone())));
        Ok(Reply::NodeChanged {
            verb: "removed",
            node: name.clone(),
            running: 0,
        })
    }

    pub(super) fn node_or_hint(&self, name: &NodeName) -> Result<Arc<Node>, Failure> {
        self.nodes.get(name).cloned().ok_or_else(|| {
            Failure::not_found(format!("{name}: no such node")).hint(self.near_node(name.as_str()))
        })
    }

    /// Was it given up, and has not come back?
    #[must_use]
    pub fn is_lost(&self, name: &NodeName) -> bool {
        let known = self.nodes.get(name);
        !self.links.contains_key(name) && known.is_some_and(|node| node.lost)
    }

    /// Tasks that hold something there.
    #[must_use]
    pub fn running_on(&self, name: &NodeName) -> usize {
        let placed = self.placed.get(name).into_iter().flatten();
        placed
            .filter_map(|id| self.tasks.get(id))
            .filter(|t| t.state.holds_resources())
            .count()
    }

    /// The epoch is another one: what nodes took until now says nothing of what is sent from now on.
    fn begin_versions_again(&mut self, out: &mut Vec<Effect>) {
        let begin = self.counters.epoch << 32;
        let known: Vec<NodeName> = self.versions.keys().cloned().collect();
        for node in known {
            self.versions.insert(node.clone(), begin);
            self.publish(&node, out);
        }
    }

    /// Nobody listened for so long: no node was silent then.
    pub fn excuse(&mut self, time: Duration) {
        let later = |(name, since): (&NodeName, &Timestamp)| (name.clone(), *since + time);
        self.silent = self.silent.iter().map(later).collect();
    }

    /// Gives up the tasks of nodes that were silent too long.
    pub(super) fn on_tick(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let lost_after = self.settings.lost_after;
        let due: Vec<NodeName> = self
            .silent
            .iter()
            .filter(|(_, since)| now >= **since + lost_after)
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.silent.remove(&name);
            let Some(node) = self.nodes.get(&name).filter(|node| !node.lost) else {
                continue;
            };
            let mut node = (**node).clone();
            node.lost = true;
            self.put_node(node, out);
            for id in self.placed.get(&name).cloned().unwrap_or_default() {
                let Some(task) = self.tasks.get(&id).cloned() else {
                    continue;
                };
                // A box stays where its disk is, and is there again when its node is.
                if !task.state.holds_resources() || task.is_vps() {
                    continue;
                }
                let secs = lost_after.as_secs();
                self.on_gone(
                    (*task).clone(),
                    &format!("its node was silent for {secs} s"),
                    now,
                    out,
                );
                if let Some(attempt) = task.current() {
                    self.fence(&name, attempt, Wanted::Stop(StopReason::Fenced), out);
                }
            }
        }
        self.expire(now, out);
    }
}

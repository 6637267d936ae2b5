//! What survives a pretend gateway: every record that was committed, and what readers make of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cluster::{Node, Task, TaskId, Timestamp};
use gateway::queries::{History, TaskFilter};
use gateway::state::{AuditEntry, Counters, Effect, Record, Settings, State};
use keys::{Directory, NodeName, UserName};
use shell::reply::AuditRow;

#[derive(Clone, Default)]
pub struct Disk {
    pub counters: Counters,
    pub directory: Directory,
    pub nodes: BTreeMap<NodeName, Arc<Node>>,
    pub tasks: BTreeMap<TaskId, Arc<Task>>,
    pub audit: Vec<AuditEntry>,
}

impl Disk {
    #[must_use]
    pub fn load(&self, settings: &Settings, now: Timestamp) -> State {
        State::load(
            settings.clone(),
            self.counters,
            self.directory.clone(),
            self.nodes.values().cloned().collect(),
            self.tasks.values().cloned().collect(),
            now,
        )
    }

    /// As `river-gateway restore`: its tasks and no others; accounts and nodes as they are; numbers go on.
    pub fn restore(&mut self, copy: &Self) {
        self.tasks.clone_from(&copy.tasks);
        self.counters.restored = copy.counters.epoch + 1;
        self.counters.restored_task = copy.counters.task;
    }

    pub fn commit(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Save(record) => self.save(record),
                Effect::Audit(entry) => self.audit.push(entry.clone()),
                Effect::Answer(..)
                | Effect::Publish(_)
                | Effect::Collect { .. }
                | Effect::DropSpool(_)
                | Effect::Recall { .. }
                | Effect::CloseLink(..)
                | Effect::CloseNode(..)
                | Effect::Changed(_) => {}
            }
        }
    }

    fn save(&mut self, record: &Record) {
        let directory = &mut self.directory;
        match record.clone() {
            Record::Task(task) => drop(self.tasks.insert(task.id, task)),
            Record::Node(node) => drop(self.nodes.insert(node.name.clone(), node)),
            Record::NodeRemoved(name) => drop(self.nodes.remove(&name)),
            Record::Account(account) => directory.put_account(account),
            Record::Key(key) => directory.put_key(key),
            Record::KeyRemoved { fingerprint } => drop(directory.remove_key(&fingerprint)),
            Record::Invitation(invitation) => directory.put_invitation(invitation),
            Record::InvitationRemoved { hash } => drop(directory.remove_invitation(&hash)),
            Record::JoinToken(token) => directory.put_join_token(token),
            Record::JoinTokenRemoved { hash } => drop(directory.remove_join_token(&hash)),
            Record::Counters(counters) => {
                assert!(counters.task >= self.counters.task, "ids fell");
                assert!(counters.epoch >= self.counters.epoch, "epochs fell");
                assert!(counters.serial >= self.counters.serial, "serials fell");
                self.counters = counters;
            }
        }
    }
}

/// As the store's own: see `gateway/src/store/history.rs`.
impl History for Disk {
    fn task(&self, id: TaskId) -> anyhow::Result<Option<Arc<Task>>> {
        Ok(self.tasks.get(&id).cloned())
    }

    fn tasks(&self, filter: &TaskFilter) -> anyhow::Result<Vec<Arc<Task>>> {
        let newest = self.tasks.values().rev();
        let found = newest.filter(|task| filter.matches(task));
        Ok(found.take(filter.limit as usize).cloned().collect())
    }

    fn by_name(&self, name: &str) -> anyhow::Result<Option<Arc<Task>>> {
        let mut newest = self.tasks.values().rev();
        Ok(newest.find(|task| task.name.as_str() == name).cloned())
    }

    fn by_key(&self, owner: &UserName, key: &str) -> anyhow::Result<Option<Arc<Task>>> {
        let mut newest = self.tasks.values().rev();
        let theirs =
            |task: &&Arc<Task>| task.owner == *owner && task.spec.key.as_deref() == Some(key);
        Ok(newest.find(theirs).cloned())
    }

    fn audit(&self, account: Option<&UserName>, limit: u32) -> anyhow::Result<Vec<AuditRow>> {
        let newest = self.audit.iter().rev();
        let theirs =
            newest.filter(|entry| account.is_none_or(|name| entry.account == name.as_str()));
        let rows = theirs.take(limit as usize).map(|entry| AuditRow {
            at: entry.at,
            account: entry.account.clone(),
            action: entry.action.clone(),
            object: entry.object.clone(),
            verdict: entry.verdict.clone(),
        });
        Ok(rows.collect())
    }
}

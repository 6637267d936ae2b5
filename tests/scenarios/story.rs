//! One story: its lines in order, and what follows each.

use std::collections::BTreeMap;

use cluster::{AttemptId, Task, Timestamp};
use gateway::state::{Input, Settings};
use harness::pretend::{Cluster, Disk};
use keys::{Account, AccountKey, Role, UserName};

/// Monday, 2026-01-05T09:00:00Z.
const BEGIN: Timestamp = Timestamp(1_767_603_600_000);
/// Beginnings of lines that are no step but what follows one.
const FOLLOWS: [char; 4] = ['|', '!', '=', '~'];

#[derive(Default)]
pub(crate) struct Story {
    disk: Disk,
    cluster: Option<Cluster>,
    /// As `river-gateway backup` made it.
    copy: Disk,
    /// As they were last shown.
    shown: BTreeMap<String, String>,
    pub(crate) dice: u8,
}

impl Story {
    /// The transcript with what truly follows each step.
    pub(crate) fn tell(mut self, text: &str) -> String {
        let mut told = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.starts_with(FOLLOWS) {
                continue;
            }
            told.push_str(&format!("{line}\n"));
            let mut input = String::new();
            while let Some(more) = lines.next_if(|line| line.starts_with('<')) {
                told.push_str(&format!("{more}\n"));
                input.push_str(more[1..].trim_start());
                input.push('\n');
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Captured, and shown where a story stops short.
            eprintln!("{line}");
            for line in self.step(line, &input) {
                told.push_str(line.trim_end());
                told.push('\n');
            }
        }
        told
    }

    /// What follows one line.
    fn step(&mut self, line: &str, input: &str) -> Vec<String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut said = Vec::new();
        match &words[..] {
            ["account", name, role] => self.account(name, role),
            ["gateway", "restarts"] => self.cluster().crash(),
            ["gateway", "is", "copied"] => self.copy = self.cluster().disk.clone(),
            ["gateway", "is", "restored"] => {
                let copy = self.copy.clone();
                self.cluster().restore(&copy);
            }
            [time] if time.starts_with('+') => self.pass(&time[1..]),
            ["node", name, "joins", facts @ ..] => self.joins(name, facts),
            [prompt, ..] if prompt.ends_with('>') => {
                let (prompt, typed) = line.split_once("> ").unwrap_or((line, ""));
                said = self.types(prompt.trim_end_matches('>'), typed, input);
            }
            [node, what @ ..] => self.on_node(node, what),
            [] => {}
        }
        if self.cluster.is_some() {
            self.settle();
            said.extend(self.changes());
        }
        said
    }

    fn account(&mut self, name: &str, role: &str) {
        assert!(self.cluster.is_none(), "accounts come first");
        let name: UserName = name.parse().unwrap();
        let role: Role = role.parse().unwrap();
        self.disk.directory.put_account(Account {
            name: name.clone(),
            role,
            disabled: false,
            created: BEGIN.0,
        });
        self.disk.directory.put_key(AccountKey {
            fingerprint: format!("SHA256:{name}"),
            account: name,
            algorithm: "ssh-ed25519".to_owned(),
            line: String::new(),
            comment: String::new(),
            added: BEGIN.0,
        });
    }

    pub(crate) fn cluster(&mut self) -> &mut Cluster {
        if self.cluster.is_none() && !self.disk.directory.accounts().any(|a| a.role > Role::User) {
            self.account("ops", "operator");
        }
        let disk = &mut self.disk;
        self.cluster.get_or_insert_with(|| {
            let settings = Settings {
                version: "0".to_owned(),
                ..Settings::default()
            };
            Cluster::new(settings, std::mem::take(disk), BEGIN)
        })
    }

    /// Every deadline on the way has its moment.
    fn pass(&mut self, span: &str) {
        let span = shell::cli::values::duration(span).unwrap();
        let until = Timestamp(self.cluster().now.0 + span);
        loop {
            let cluster = self.cluster();
            let now = cluster.now;
            let nodes = cluster.nodes.iter().filter_map(|node| node.deadline(now));
            let own = cluster.state.next_deadline().filter(|at| *at > now);
            let next = nodes.chain(own).min().map_or(until, |at| at.min(until));
            cluster.now = next;
            cluster.give(Input::Tick);
            self.settle();
            if next == until {
                return;
            }
        }
    }

    /// All that needs no time: lists arrive, runners act, nodes report, output is fetched.
    fn settle(&mut self) {
        let cluster = self.cluster();
        let mut again = true;
        while std::mem::take(&mut again) {
            for index in 0..cluster.nodes.len() {
                let now = cluster.now;
                let node = &mut cluster.nodes[index];
                for list in std::mem::take(&mut node.mail) {
                    if !node.deaf {
                        node.take(&list);
                    }
                }
                let ids: Vec<AttemptId> = node.attempts.keys().copied().collect();
                for id in ids {
                    while let Some(action) = node.due(id, now) {
                        node.act(id, action, now);
                    }
                }
                if node.link.is_some() && node.told.as_ref() != Some(&node.observation()) {
                    cluster.report(index);
                    again = true;
                }
            }
            for attempt in std::mem::take(&mut cluster.collect) {
                again |= cluster.fetch(attempt);
            }
        }
    }

    /// Tasks and nodes that are not what they were.
    fn changes(&mut self) -> Vec<String> {
        let state = &self.cluster().state;
        let nodes = state.nodes().map(|node| {
            let row = state.node_row(node);
            let engine = row.engine_error.map_or("", |_| ", its engine is down");
            let disk = row.disk.map(|disk| format!(", {}", disk.what));
            let disk = disk.unwrap_or_default();
            (
                node.name.to_string(),
                format!("{}{engine}{disk}", row.state),
            )
        });
        let tasks = state.tasks().map(|task| (task.id.to_string(), stage(task)));
        let now: Vec<(String, String)> = nodes.chain(tasks).collect();
        let mut lines = Vec::new();
        for (name, stage) in now {
            let before = self.shown.insert(name.clone(), stage.clone());
            if before.as_ref() != Some(&stage) {
                lines.push(format!("~ {name} {stage}"));
            }
        }
        lines
    }
}

fn stage(task: &Task) -> String {
    let mut stage = task.state.to_string();
    if let (Some(placement), true) = (&task.placement, task.state.holds_resources()) {
        stage.push_str(&format!(" on {}", placement.node));
        if task.attempt > 1 {
            stage.push_str(&format!(", attempt {}", task.attempt));
        }
    }
    if let Some(outcome) = &task.outcome {
        let reason = outcome
            .reason
            .as_deref()
            .map(|reason| format!(", {reason}"));
        stage.push_str(&format!(
            ", code {}{}",
            outcome.code,
            reason.unwrap_or_default()
        ));
    }
    stage
}

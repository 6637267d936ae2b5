//! What was seen outside: acknowledgements that clients got, begins and ends that tasks wrote themselves. And what
//! must be true of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use harness::wait::until_within;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::node::Engine;

/// Ids in one line of the shell.
const AT_ONCE: usize = 1000;
/// More than any task of these rows takes.
const LONGEST: Duration = Duration::from_secs(300);

/// A task that says what it does: where it began and ended, lines that tell whose they are, a code of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) lines: u32,
    /// Between its lines and its end.
    pub(crate) seconds: f32,
}

impl Job {
    pub(crate) const SHORT: Self = Self {
        lines: 20,
        seconds: 0.0,
    };

    /// What is put after `task submit OPTIONS`, for a node of this engine: a container is lent the folder.
    pub(crate) fn words(self, starts: &Path, engine: Engine) -> String {
        let log = starts.join("log").display().to_string();
        let Self { lines, seconds } = self;
        let lent = match engine {
            Engine::Docker => format!("--backend docker --mount {0}:{0}", starts.display()),
            Engine::Process => "--backend process".to_owned(),
        };
        format!(
            "{lent} -- sh -c 'echo \"$RIVER_TASK.$RIVER_ATTEMPT begin\" >> {log}; i=0; \
             while [ $i -lt {lines} ]; do echo \"$RIVER_TASK line $i\"; i=$((i+1)); done; sleep {seconds}; \
             echo \"$RIVER_TASK.$RIVER_ATTEMPT end\" >> {log}; exit $((RIVER_TASK % 7))'"
        )
    }

    fn output(self, id: u64) -> String {
        (0..self.lines)
            .map(|line| format!("{id} line {line}\n"))
            .collect()
    }
}

fn code(id: u64) -> u64 {
    id % 7
}

/// Acknowledged tasks.
pub(crate) struct Ledger {
    file: File,
    pub(crate) acks: BTreeMap<u64, Job>,
    /// Killed on purpose: any end of theirs is right that says so.
    pub(crate) killed: BTreeSet<u64>,
    /// Lost or retried, as their row says they may.
    pub(crate) may_be_lost: BTreeSet<u64>,
}

impl Ledger {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let path = cluster.base().join("acks");
        let file = File::options().create(true).append(true).open(path);
        Self {
            file: file.unwrap(),
            acks: BTreeMap::new(),
            killed: BTreeSet::new(),
            may_be_lost: BTreeSet::new(),
        }
    }

    /// `task-17 brave-otter` was heard.
    pub(crate) fn acknowledge(&mut self, text: &str, job: Job) -> u64 {
        let id = text
            .split_whitespace()
            .next()
            .and_then(|word| word.strip_prefix("task-"));
        let id: u64 = id
            .and_then(|id| id.parse().ok())
            .unwrap_or_else(|| panic!("no id in {text:?}"));
        writeln!(self.file, "{id}").unwrap();
        self.file.sync_data().unwrap();
        self.acks.insert(id, job);
        id
    }

    /// Until every task that was acknowledged is over, as the gateway says.
    pub(crate) fn settle(&self, cluster: &Cluster) -> BTreeMap<u64, Value> {
        let mut left: BTreeSet<u64> = self.acks.keys().copied().collect();
        let mut over = BTreeMap::new();
        let mut rounds = 0;
        while !left.is_empty() {
            let before = left.len();
            until_within("more tasks have ended", LONGEST, || {
                let ids: Vec<u64> = left.iter().copied().take(AT_ONCE).collect();
                for (id, task) in statuses(cluster, &ids) {
                    if task["ended"].is_string() {
                        left.remove(&id);
                        over.insert(id, task);
                    }
                }
                left.len() < before
            });
            rounds += 1;
            assert!(rounds < 100_000, "never over: {left:?}");
        }
        over
    }

    /// I1 to I4 and I8 of `docs/chaos.md`. In words, what was seen.
    pub(crate) fn check(&self, cluster: &Cluster) -> String {
        let over = self.settle(cluster);
        let (begins, ends) = written(&cluster.starts());
        for (attempt, count) in &begins {
            assert_eq!(*count, 1, "I2: {attempt} began {count} times");
        }
        let mut lost = 0;
        for id in self.acks.keys() {
            // I1
            let task = over
                .get(id)
                .unwrap_or_else(|| panic!("I1: task-{id} was acknowledged and is lost"));
            let state = task["state"].as_str().unwrap();
            let own: Vec<&String> = begins
                .keys()
                .filter(|key| key.split('.').next() == Some(&id.to_string()))
                .collect();
            if self.killed.contains(id) && state == "killed" {
                continue;
            }
            if self.may_be_lost.contains(id) && state == "lost" {
                lost += 1;
                continue;
            }
            // I2
            let most = if self.may_be_lost.contains(id) { 2 } else { 1 };
            assert!(
                own.len() <= most && !own.is_empty(),
                "I2: task-{id} began {own:?}, is {state}"
            );
            // I3
            assert!(
                ends.contains_key(own[own.len() - 1]),
                "I3: task-{id} is {state} and never ended: {task}"
            );
            let wanted = if code(*id) == 0 {
                "completed"
            } else {
                "failed"
            };
            assert_eq!(state, wanted, "I3: {task}");
            assert_eq!(task["code"].as_u64(), Some(code(*id)), "I3: {task}");
        }
        let audited = audited(cluster);
        for id in self.acks.keys() {
            assert!(
                audited.contains(id),
                "I8: task-{id} is not in the audit log"
            );
        }
        let read = self.outputs(cluster, &over);
        let lost = if lost > 0 {
            format!(", {lost} lost as they may be")
        } else {
            String::new()
        };
        format!(
            "{} acknowledged, {} begun, 0 twice{lost}, {read} outputs whole",
            self.acks.len(),
            begins.len()
        )
    }

    /// I4: every byte, in order, once.
    fn outputs(&self, cluster: &Cluster, over: &BTreeMap<u64, Value>) -> usize {
        let mut read = 0;
        for (id, job) in &self.acks {
            let state = over[id]["state"].as_str().unwrap();
            if state == "killed" || state == "lost" {
                continue;
            }
            let seen = cluster.river(&format!("task logs {id}"));
            let wanted = job.output(*id);
            assert!(
                seen.text() == wanted,
                "I4: task-{id} wrote {} bytes, {} were kept: {}",
                wanted.len(),
                seen.stdout.len(),
                seen.stderr
            );
            read += 1;
        }
        read
    }
}

pub(crate) fn statuses(cluster: &Cluster, ids: &[u64]) -> Vec<(u64, Value)> {
    let words: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let run = cluster.river(&format!("task status --json {}", words.join(" ")));
    let Ok(reply) = serde_json::from_str::<Value>(&run.text()) else {
        return Vec::new();
    };
    assert!(run.code != 3, "I1: {}", run.stderr);
    let tasks = reply["tasks"].as_array().cloned().unwrap_or_default();
    tasks
        .into_iter()
        .map(|task| (task["id"].as_u64().unwrap(), task))
        .collect()
}

/// Whatever was submitted, as the audit log has it: `task-3: sh`, and of several at once `task-3..task-5: 3 tasks: sh`.
fn audited(cluster: &Cluster) -> BTreeSet<u64> {
    let log = cluster
        .river("audit --json -n 4000000 --account alice")
        .good();
    let log: Value = serde_json::from_str(&log).unwrap();
    let rows = log["audit"].as_array().unwrap().iter();
    let submits = rows.filter(|row| row["action"] == "task submit" && row["verdict"] == "done");
    let id = |word: &str| word.strip_prefix("task-")?.parse::<u64>().ok();
    let numbers = submits.flat_map(|row| {
        let object = row["object"].as_str().unwrap_or_default();
        let label = object.split([':', ' ']).next().unwrap_or_default();
        let (first, last) = label.split_once("..").unwrap_or((label, label));
        match (id(first), id(last)) {
            (Some(first), Some(last)) => first..=last,
            (Some(_) | None, _) => panic!("I8: the audit log's submit names no task: {row}"),
        }
    });
    numbers.collect()
}

/// Begins and ends that the tasks wrote, by attempt.
fn written(starts: &Path) -> (BTreeMap<String, u32>, BTreeMap<String, u32>) {
    let text = std::fs::read_to_string(starts.join("log")).unwrap_or_default();
    let (mut begins, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        match line.split_once(' ') {
            Some((attempt, "begin")) => *begins.entry(attempt.to_owned()).or_default() += 1,
            Some((attempt, "end")) => *ends.entry(attempt.to_owned()).or_default() += 1,
            other => panic!("the tasks' own log: {other:?}"),
        }
    }
    (begins, ends)
}

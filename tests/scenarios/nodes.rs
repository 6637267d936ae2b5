//! What happens on nodes.

use cluster::{AttemptId, DiskTrouble, EngineHealth, EngineKind, NodeFacts, TaskId};
use gateway::state::{Answer, Input, Ticket};
use harness::pretend::PretendNode;
use keys::{NodeName, Role, token};
use shell::cli::values;
use shell::command::TaskRef;
use shell::{Change, Reply};
use tunnel::wire::guest::GuestEnd;

use crate::story::Story;

impl Story {
    /// `node n1 joins cores=2 …`: by an operator's invitation, then its first connection.
    pub(crate) fn joins(&mut self, name: &str, words: &[&str]) {
        let name: NodeName = name.parse().unwrap();
        let facts = facts(&name, words);
        let operator = self.operator();
        let invite = Change::NodeInvite {
            node: name.clone(),
            lifetime_ms: 60_000,
        };
        let invited = self.change(operator, invite).unwrap();
        let Reply::NodeInvited { token, .. } = invited else {
            panic!("{invited:?}");
        };
        let cluster = self.cluster();
        let joined = cluster.give(Input::Join {
            ticket: Ticket(1),
            hash: token::hash(&token),
            machine_id: facts.machine_id.clone(),
        });
        assert!(matches!(joined, Some(Ok(Answer::Joined { .. }))));
        cluster.nodes.push(PretendNode::new(name, facts));
        cluster.connect(cluster.nodes.len() - 1);
    }

    /// `n1 starts task-1`, `n1 silent`, …
    pub(crate) fn on_node(&mut self, node: &str, what: &[&str]) {
        let name: NodeName = node.parse().unwrap();
        let cluster = self.cluster();
        let (index, now) = (cluster.find(&name), cluster.now);
        match what {
            ["silent"] => cluster.cut(index),
            ["deaf"] => cluster.nodes[index].deaf = true,
            ["back"] => cluster.connect(index),
            ["restarts"] | ["reboots"] => {
                cluster.cut(index);
                cluster.nodes[index].restart(what == ["reboots"], now);
                cluster.connect(index);
            }
            ["disk", "good"] => cluster.nodes[index].disk = None,
            ["disk", what, detail @ ..] => {
                cluster.nodes[index].disk = Some(DiskTrouble {
                    what: format!("disk {what}"),
                    detail: detail.join(" "),
                });
            }
            ["engine", "up"] => cluster.nodes[index].engine = EngineHealth::Up,
            ["engine", "down", error @ ..] => {
                cluster.nodes[index].engine = EngineHealth::Down {
                    since: now,
                    error: error.join(" "),
                };
            }
            ["starts", task] => {
                let task = cluster.state.resolve(&TaskRef::task((*task).to_owned()));
                let node = &mut cluster.nodes[index];
                let id = latest(node, task.unwrap().id);
                assert!(node.started(id, now), "{id} is not being started");
            }
            ["ends", task, how @ ..] => {
                let task = cluster.state.resolve(&TaskRef::task((*task).to_owned()));
                let node = &mut cluster.nodes[index];
                let id = latest(node, task.unwrap().id);
                let done = match end(how) {
                    Some((end, oom)) => node.ended(id, end, oom, now),
                    None => node.vanished(id),
                };
                assert!(done, "{id} cannot end so");
            }
            _ => panic!("{node}: {what:?} means nothing"),
        }
    }
}

/// The newest attempt of a task on this node.
fn latest(node: &PretendNode, task: TaskId) -> AttemptId {
    let mut attempts = node.attempts.keys();
    let found = attempts.rfind(|attempt| attempt.task == task);
    *found.unwrap_or_else(|| panic!("{} has no {task}", node.name))
}

/// The guest's last word, and whether memory played a part; `None`: it left none.
fn end(how: &[&str]) -> Option<(GuestEnd, bool)> {
    let end = match how {
        ["vanished"] => return None,
        ["oom"] => return Some((GuestEnd::Signaled { signal: 9 }, true)),
        ["stopped"] => GuestEnd::Stopped,
        ["time-limit"] => GuestEnd::OutOfTime,
        ["never-started", reason @ ..] => GuestEnd::NeverStarted {
            reason: reason.join(" "),
        },
        [word] => match word.split_once('=') {
            Some(("code", code)) => GuestEnd::Exited {
                code: code.parse().unwrap(),
            },
            Some(("signal", signal)) => GuestEnd::Signaled {
                signal: signal.parse().unwrap(),
            },
            _ => panic!("{word} is no end"),
        },
        _ => panic!("{how:?} is no end"),
    };
    Some((end, false))
}

fn facts(name: &NodeName, words: &[&str]) -> NodeFacts {
    let mut facts = NodeFacts {
        cores: vec![0],
        memory: 8 << 30,
        engine: EngineKind::Docker,
        engine_version: "29".to_owned(),
        open_to: Role::User,
        kernel: "Linux 6".to_owned(),
        arch: "x86_64".to_owned(),
        runner_version: "0".to_owned(),
        machine_id: name.to_string(),
        boot_id: String::new(),
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "cores" => facts.cores = (0..value.parse().unwrap()).collect(),
            "memory" => facts.memory = values::memory(value).unwrap(),
            "engine" => facts.engine = values::backend(value).unwrap(),
            "open" => facts.open_to = value.parse().unwrap(),
            _ => panic!("{key}: no such fact"),
        }
    }
    facts
}

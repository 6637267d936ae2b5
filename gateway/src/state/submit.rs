//! A new task.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{OutputSize, Stdin, Task, TaskId, TaskName, TaskSpec, TaskState, Timestamp, Wanted};
use keys::Actor;
use shell::command::Submit;
use shell::{Failure, Kind, Reply};

use super::{Counters, Dice, Effect, Record, State};

/// What the audit log says of a submit that was taken: its numbers, or whose key it had, and what it is; of a box, its
/// name.
pub(super) fn about(tasks: &[Arc<Task>], known: &[TaskId], object: String) -> String {
    let Some(first) = tasks.first() else {
        return object;
    };
    if first.is_vps() {
        return if object.is_empty() {
            first.name.to_string()
        } else {
            object
        };
    }
    let known: BTreeSet<TaskId> = known.iter().copied().collect();
    // Numbers of one submit follow each other.
    let mut new = tasks.iter().filter(|task| !known.contains(&task.id));
    match (new.next(), new.next_back()) {
        (None, _) => format!("{} again: {object}", first.id),
        (Some(one), None) => format!("{}: {object}", one.id),
        (Some(one), Some(last)) => format!("{}..{}: {object}", one.id, last.id),
    }
}

impl State {
    pub(super) fn on_submit(
        &mut self,
        actor: &Actor,
        submit: &Submit,
        dice: &Dice,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        self.check_specs(actor, &submit.specs, &submit.known)?;
        let first = TaskId(self.counters.task + 1);
        let batch = (submit.specs.len() > 1).then_some(first);
        let (mut tasks, mut known) = (Vec::new(), Vec::new());
        for spec in &submit.specs {
            if let Some(task) = self.known(actor, spec, &submit.known) {
                known.push(task.id);
                tasks.push(task);
                continue;
            }
            let spooled = spec.stdin == Stdin::Spooled;
            let task = Task {
                batch,
                spool: submit.spool.clone().filter(|_| spooled),
                ..self.new_task(actor, spec, dice, now)
            };
            self.put(task.clone(), out);
            tasks.push(Arc::new(task));
        }
        if known.len() < tasks.len() {
            self.save_counters(out);
        } else if let Some(spool) = &submit.spool {
            out.push(Effect::DropSpool(spool.file.clone()));
        }
        Ok(Reply::Submitted { tasks, known })
    }

    /// With the next id.
    fn new_task(&mut self, actor: &Actor, spec: &TaskSpec, dice: &Dice, now: Timestamp) -> Task {
        self.counters.task += 1;
        let id = TaskId(self.counters.task);
        let name = spec.name.clone();
        Task {
            id,
            name: name.unwrap_or_else(|| self.made_up_name(id, dice)),
            owner: actor.account.clone(),
            owner_role: actor.role,
            spec: Arc::new(spec.clone()),
            state: TaskState::Pending,
            submitted: now,
            spool: None,
            attempt: 0,
            placement: None,
            wanted: Wanted::Run,
            killed_by: None,
            retried: 0,
            started: None,
            ended: None,
            outcome: None,
            output: OutputSize::default(),
            collected: false,
            note: None,
            batch: None,
        }
    }

    /// The same owner's same key, seen before: the same task again.
    fn known(&self, actor: &Actor, spec: &TaskSpec, old: &[Arc<Task>]) -> Option<Arc<Task>> {
        let key = (actor.account.clone(), spec.key.clone()?);
        let in_memory = self.keys.get(&key).and_then(|id| self.tasks.get(id));
        let same =
            |task: &&Arc<Task>| task.owner == key.0 && task.spec.key.as_ref() == Some(&key.1);
        in_memory.or_else(|| old.iter().find(same)).cloned()
    }

    fn check_specs(
        &self,
        actor: &Actor,
        specs: &[TaskSpec],
        old: &[Arc<Task>],
    ) -> Result<(), Failure> {
        if specs.is_empty() {
            return Err(Failure::usage("nothing to submit").hint("give one command a line"));
        }
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let mut weight = self.owned.get(&actor.account).copied().unwrap_or_default();
        for spec in specs {
            if let Some(key) = &spec.key
                && !keys.insert(key)
            {
                let sentence = format!("{key}: two tasks of one submit have this key");
                return Err(Failure::usage(sentence).hint("the same key is the same task"));
            }
            if let Some(known) = self.known(actor, spec, old) {
                if known.spec.command != spec.command {
                    return Err(other_command(spec, &known));
                }
                continue;
            }
            weight += spec.weight();
            if weight > self.settings.unended {
                let sentence = format!(
                    "{}: tasks and boxes of one account that have not ended may take {} MiB of memory, and with this submit yours would take more",
                    actor.account,
                    self.settings.unended >> 20
                );
                return Err(Failure::new(Kind::Busy, sentence)
                    .hint("wait until some have ended, or `task kill` some"));
            }
            if let Some(target) = &spec.target
                && !self.nodes.contains_key(target)
            {
                let near = self.near_node(target.as_str());
                return Err(Failure::not_found(format!("{target}: no such node")).hint(near));
            }
            if let Some(vps) = &spec.vps {
                check_keys(&vps.keys)?;
            }
            if let (Some(name), true) = (&spec.name, spec.vps.is_some()) {
                self.check_vps_name(name)?;
            }
            if let Some(name) = &spec.name {
                if let Some(other) = self.named(name.as_str()) {
                    let sentence = format!("{name}: {} has this name already", other.label());
                    return Err(Failure::new(Kind::Failed, sentence).hint("choose another --name"));
                }
                if !names.insert(name) {
                    return Err(Failure::usage(format!(
                        "{name}: two tasks of one submit have this name"
                    ))
                    .hint("leave --name out and names are made up"));
                }
            }
        }
        Ok(())
    }

    /// What to type instead of an unknown node.
    #[must_use]
    pub fn near_node(&self, wanted: &str) -> String {
        let near = self
            .nodes
            .keys()
            .find(|name| shares_start(name.as_str(), wanted));
        match near {
            Some(name) => format!("did you mean {name}? `node list` shows all"),
            None => "`node list` shows the nodes".to_owned(),
        }
    }

    /// Sayable, and unique among live tasks: two words, then a number if they are taken.
    fn made_up_name(&self, id: TaskId, dice: &Dice) -> TaskName {
        const FIRST: [&str; 32] = [
            "brave", "calm", "clever", "eager", "fair", "fast", "fond", "gentle", "glad", "golden",
            "happy", "honest", "jolly", "keen", "kind", "light", "lucky", "merry", "mild", "neat",
            "noble", "proud", "quick", "quiet", "ready", "rich", "sharp", "silver", "smart",
            "swift", "warm", "wise",
        ];
        const SECOND: [&str; 32] = [
            "badger", "bear", "beaver", "bison", "crane", "crow", "deer", "dove", "eagle",
            "falcon", "finch", "fox", "hare", "hawk", "heron", "horse", "lark", "lion", "lynx",
            "marten", "mole", "moose", "otter", "owl", "raven", "robin", "seal", "stork", "swan",
            "tern", "wolf", "wren",
        ];
        let step = usize::try_from(id.0 % 1024).unwrap_or_default();
        let first = FIRST[(usize::from(dice[0]) + step) % FIRST.len()];
        let second = SECOND[(usize::from(dice[1]) + step / 7) % SECOND.len()];
        let plain = format!("{first}-{second}");
        let name = if self.names.contains_key(&plain) {
            format!("{plain}-{}", id.0)
        } else {
            plain
        };
        name.parse()
            .unwrap_or_else(|_| unreachable!("the words above are names"))
    }

    pub(super) fn save_counters(&self, out: &mut Vec<Effect>) {
        let counters: Counters = self.counters;
        out.push(Effect::Save(Record::Counters(counters)));
    }
}

/// Whoever asks again with the same key asks for the same; anything else is a mistake that would pass for a success.
fn other_command(spec: &TaskSpec, known: &Task) -> Failure {
    let key = spec.key.as_deref().unwrap_or_default();
    let sentence = format!("{key}: {} has this key, and another command", known.label());
    Failure::new(Kind::Failed, sentence).hint("choose another --key")
}

fn check_keys(lines: &[String]) -> Result<(), Failure> {
    let most = cluster::task::limits::KEYS;
    if lines.len() > most {
        return Err(Failure::usage(format!("a box has at most {most} keys")).hint("leave some out"));
    }
    for line in lines {
        keys::AccountKeyLine::parse(line).map_err(|bad| {
            Failure::usage(format!("a key of this box: {bad}"))
                .hint("give a line as in ~/.ssh/id_ed25519.pub")
        })?;
    }
    Ok(())
}

fn shares_start(name: &str, wanted: &str) -> bool {
    let shared = name
        .chars()
        .zip(wanted.chars())
        .take_while(|(a, b)| a == b)
        .count();
    shared > 0 && shared + 2 >= wanted.len().min(name.len())
}

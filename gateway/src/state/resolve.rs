//! From what a person typed to a task: `17`, `task-17`, a name; and where nothing changes, a unique beginning of one.

use std::sync::Arc;

use cluster::{Task, TaskId};
use shell::command::TaskRef;
use shell::{Failure, Kind};

use super::State;

impl State {
    /// A task in memory, by its number or its whole name: whatever changes something wants that. Typed twice, `vps delete
    /// web` would delete `web-prod` the second time.
    ///
    /// # Errors
    /// Not found. A task that left memory is for the caller to look up.
    pub fn resolve(&self, wanted: &TaskRef) -> Result<Arc<Task>, Failure> {
        let text = wanted.text.as_str();
        if text.is_empty() {
            let sentence = "an empty name names nothing";
            return Err(Failure::usage(sentence).hint("is a variable empty that should not be?"));
        }
        if let Ok(id) = text.parse::<TaskId>() {
            let found = self.tasks.get(&id).cloned();
            return found.ok_or_else(|| self.unknown(id, wanted));
        }
        if let Some(task) = self.names.get(text).and_then(|id| self.tasks.get(id)) {
            return Ok(Arc::clone(task));
        }
        self.ended_by_name(text).ok_or_else(|| none(text, wanted))
    }

    /// The same to look at: a beginning will do that only one has of those that the asker may see.
    ///
    /// # Errors
    /// Not found, or several begin so.
    pub fn find(
        &self,
        wanted: &TaskRef,
        may_see: impl Fn(&Task) -> bool,
    ) -> Result<Arc<Task>, Failure> {
        let text = wanted.text.as_str();
        let missing = match self.resolve(wanted) {
            Err(missing) if missing.kind == Kind::NotFound && text.parse::<TaskId>().is_err() => {
                missing
            }
            found => return found,
        };
        let begins = self.names.range(text.to_owned()..);
        let begins = begins.take_while(|(name, _)| name.starts_with(text));
        let begins = begins.filter_map(|(_, id)| self.tasks.get(id));
        let begins: Vec<&Arc<Task>> = begins.filter(|task| may_see(task)).take(4).collect();
        match begins[..] {
            [] => Err(missing),
            [task] => Ok(Arc::clone(task)),
            _ => {
                let names = begins
                    .iter()
                    .map(|task| format!("{} ({})", task.name, task.label()));
                let names: Vec<String> = names.collect();
                let many = if wanted.means_box() {
                    "boxes or tasks"
                } else {
                    "tasks"
                };
                Err(Failure::usage(format!("{text}: several {many} begin so"))
                    .hint(format!("one of {}", names.join(", "))))
            }
        }
    }

    /// The newest ended task in memory with exactly this name.
    fn ended_by_name(&self, text: &str) -> Option<Arc<Task>> {
        let ended = self
            .ended
            .iter()
            .rev()
            .filter_map(|(_, id)| self.tasks.get(id));
        let ended = ended.chain(
            self.placed
                .values()
                .flatten()
                .filter_map(|id| self.tasks.get(id)),
        );
        let mut found: Vec<&Arc<Task>> = ended.filter(|task| task.name.as_str() == text).collect();
        found.sort_by_key(|task| task.id);
        found.last().map(|task| Arc::clone(task))
    }

    fn unknown(&self, id: TaskId, wanted: &TaskRef) -> Failure {
        let (noun, label) = match wanted.means_box() {
            true => ("vps", format!("vps-{}", id.0)),
            false => ("task", id.to_string()),
        };
        if id.0 <= self.counters.task {
            let sentence = format!("{label}: not in memory, it ended long ago");
            let hint = format!("`{noun} status {}` reads it from the store", id.0);
            return Failure::new(Kind::NotFound, sentence).hint(hint);
        }
        none(&label, wanted)
    }
}

/// Nothing is called so.
fn none(text: &str, wanted: &TaskRef) -> Failure {
    let (what, list) = match wanted.means_box() {
        true => ("box", "vps list"),
        false => ("task", "task list"),
    };
    Failure::not_found(format!("{text}: no such {what}")).hint(format!("`{list}` shows yours"))
}

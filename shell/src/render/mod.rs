//! A reply becomes text for people or JSON for programs.

mod access;
mod doctor;
pub(crate) mod fold;
mod json;
mod node;
mod table;
mod task;
pub mod units;

use cluster::{Outcome, TaskId, TaskState, Timestamp};

use crate::command::Format;
use crate::escape::{safe, safe_json};
use crate::reply::KeyRow;
use crate::{Failure, Reply};

/// For whom.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub format: Format,
    /// Ids or names only.
    pub quiet: bool,
    /// A terminal reads it: hints and colour are welcome.
    pub pty: bool,
    /// Columns of the terminal; 0 when there is none.
    pub width: u16,
    pub now: Timestamp,
}

impl View {
    /// For lines that would be too long.
    fn columns(&self) -> usize {
        match self.width {
            0 => fold::USUAL,
            width => usize::from(width),
        }
    }
}

/// What goes where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    pub stdout: String,
    pub stderr: String,
}

/// Results on stdout, what to type next on stderr where a terminal reads it.
#[must_use]
pub fn render(reply: &Reply, view: &View) -> Rendered {
    if view.format == Format::Json {
        let mut stdout = safe_json(&json::reply(reply).to_string());
        stdout.push('\n');
        return Rendered {
            stdout,
            stderr: String::new(),
        };
    }
    if view.quiet
        && let Some(stdout) = quiet(reply)
    {
        return Rendered {
            stdout,
            stderr: String::new(),
        };
    }
    let (stdout, next) = text(reply, view);
    // A key alone is what standard output is for; who got it must see which box it opens.
    let told = view.pty || matches!(reply, Reply::Opened { .. });
    let stderr = match next {
        Some(next) if told => format!("{next}\n"),
        _ => String::new(),
    };
    Rendered { stdout, stderr }
}

/// The text, and what to type next.
fn text(reply: &Reply, view: &View) -> (String, Option<String>) {
    match reply {
        Reply::Text(text) => (by_line(text), None),
        Reply::Version(version) => (format!("river {}\n", safe(version)), None),
        Reply::Welcome(status) => (node::welcome(status, view), None),
        Reply::Status(status) | Reply::Summary(status) => (node::status(status, view), None),
        Reply::Submitted { tasks, known } => task::submitted(tasks, known),
        Reply::Opened { tasks, private } => task::opened(tasks, private),
        Reply::NoBoxes => task::no_boxes(),
        Reply::Tasks { rows, more } => task::list(rows, *more, view),
        Reply::TaskDetails(rows) => (task::details(rows, view), None),
        Reply::Why(why) => (task::why(why, view), None),
        Reply::Changed { verb, found } => task::changed(verb, found),
        Reply::Snapshots { vps, rows } => task::snapshots(*vps, rows, view),
        Reply::Nodes(rows) => node::list(rows, view),
        Reply::NodeDetails(row, tasks) => (node::details(row, tasks, view), None),
        Reply::NodeInvited {
            node,
            token,
            expires,
        } => node::invited(node, token, *expires, view),
        Reply::Forgotten { node, attempt } => node::forgotten(node, *attempt),
        Reply::NodeChanged {
            verb,
            node,
            running,
        } => node::changed(verb, node, *running),
        Reply::Account(account, keys) => (access::account(account, keys, view), None),
        Reply::Accounts(rows) => (access::accounts(rows, view), None),
        Reply::Keys(rows) => (access::keys(rows, view), None),
        Reply::KeyAdded(key) => (
            format!(
                "{} now signs in as {}\n",
                safe(&key.fingerprint),
                key.account
            ),
            Some("next: auth key list".to_owned()),
        ),
        Reply::KeyRemoved { fingerprint } => (
            format!("{} signs in no more\n", safe(fingerprint)),
            Some("next: auth key list".to_owned()),
        ),
        Reply::AccountChanged(account) => (access::changed(account), None),
        Reply::Invited {
            code,
            role,
            name,
            expires,
        } => access::invited(code, *role, name.as_ref(), *expires, view),
        Reply::Audit(rows) => (access::audit(rows, view), None),
        Reply::Doctor(hops) => doctor::hops(hops, view),
    }
}

/// Ids or names only; `None` for replies that have none.
fn quiet(reply: &Reply) -> Option<String> {
    let lines = |names: Vec<String>| {
        names
            .into_iter()
            .map(|name| name + "\n")
            .collect::<String>()
    };
    match reply {
        Reply::Submitted { tasks, .. }
        | Reply::Opened { tasks, .. }
        | Reply::Changed { found: tasks, .. } => {
            Some(lines(tasks.iter().map(|t| t.id.0.to_string()).collect()))
        }
        Reply::NoBoxes => Some(String::new()),
        Reply::Tasks { rows, .. } | Reply::TaskDetails(rows) => Some(lines(
            rows.iter().map(|r| r.task.id.0.to_string()).collect(),
        )),
        Reply::Snapshots { rows, .. } => {
            Some(lines(rows.iter().map(|r| r.name.to_string()).collect()))
        }
        Reply::Nodes(rows) => Some(lines(
            rows.iter().map(|r| r.node.name.to_string()).collect(),
        )),
        Reply::NodeInvited { token, .. } => Some(format!("{token}\n")),
        Reply::NodeChanged { node, .. } | Reply::Forgotten { node, .. } => {
            Some(format!("{node}\n"))
        }
        Reply::Invited { code, .. } => Some(format!("{code}\n")),
        Reply::Keys(rows) => Some(lines(rows.iter().map(|r| safe(&r.fingerprint)).collect())),
        Reply::Accounts(rows) => Some(lines(rows.iter().map(|r| r.name.to_string()).collect())),
        Reply::Account(account, _) | Reply::AccountChanged(account) => {
            Some(format!("{}\n", account.name))
        }
        Reply::KeyAdded(KeyRow { fingerprint, .. }) | Reply::KeyRemoved { fingerprint } => {
            Some(lines(vec![safe(fingerprint)]))
        }
        Reply::Text(_)
        | Reply::Welcome(_)
        | Reply::Version(_)
        | Reply::Status(_)
        | Reply::Summary(_)
        | Reply::Why(_)
        | Reply::NodeDetails(..)
        | Reply::Doctor(_)
        | Reply::Audit(_) => None,
    }
}

/// A failure for stderr: one sentence, and the remedy.
#[must_use]
pub fn render_failure(failure: &Failure, view: &View) -> String {
    if view.format == Format::Json {
        return format!("{}\n", safe_json(&json::failure(failure).to_string()));
    }
    match &failure.hint {
        Some(hint) => format!("river: {}; {}\n", safe(&failure.sentence), safe(hint)),
        None => format!("river: {}\n", safe(&failure.sentence)),
    }
}

/// The answer to a line of a batch, as one line: what is refused is `-` there, and why on stderr.
#[must_use]
pub fn render_line(number: u64, answer: &Result<Reply, Failure>, view: &View) -> Rendered {
    if view.format == Format::Json {
        let stdout = format!("{}\n", safe_json(&json::line(number, answer).to_string()));
        return Rendered {
            stdout,
            stderr: String::new(),
        };
    }
    match answer {
        Ok(reply) => Rendered {
            stderr: String::new(),
            ..render(reply, view)
        },
        Err(failure) => Rendered {
            stdout: "-\n".to_owned(),
            stderr: render_failure(failure, view),
        },
    }
}

/// For stderr, how a task ended: nothing where its code says it all.
#[must_use]
pub fn render_end(task: TaskId, outcome: &Outcome) -> String {
    let reason = outcome.reason.as_deref();
    let own = reason.is_none_or(|reason| reason.starts_with("signal "));
    if own && matches!(outcome.state, TaskState::Completed | TaskState::Failed) {
        return String::new();
    }
    let reason = reason.map(|reason| format!(", {reason}"));
    let line = format!("{task}: {}{}", outcome.state, reason.unwrap_or_default());
    format!("river: {}\n", safe(&line))
}

/// Our own text, with whatever came into it made harmless.
fn by_line(text: &str) -> String {
    text.lines().map(|line| safe(line) + "\n").collect()
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

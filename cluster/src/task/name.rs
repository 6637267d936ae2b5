//! What people call a task.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the names of those snapshots of a box begin that a stop makes; they go by themselves.
pub const STOP_SNAPSHOT: &str = "stop-";

/// 1 to 63 of `a-z A-Z 0-9 . _ -`, beginning with a letter; never the spelling of an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskName(Box<str>);

/// The text is no task name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 63 of a-z, A-Z, 0-9, '.', '_' and '-', begins with a letter, and is no id")]
pub struct BadTaskName;

impl TaskName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TaskName {
    type Err = BadTaskName;

    fn from_str(text: &str) -> Result<Self, BadTaskName> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let good = (1..=63).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(plain)
            && text.parse::<crate::TaskId>().is_err();
        if good {
            Ok(Self(text.into()))
        } else {
            Err(BadTaskName)
        }
    }
}

impl TryFrom<String> for TaskName {
    type Error = BadTaskName;

    fn try_from(text: String) -> Result<Self, BadTaskName> {
        text.parse()
    }
}

impl From<TaskName> for String {
    fn from(name: TaskName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_name_can_neither_pose_as_an_id_nor_drive_a_terminal() {
        for good in ["train", "run.2", "A_b-c"] {
            assert!(good.parse::<TaskName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "17",
            "task-17",
            "vps-3",
            "a b",
            "\x1b[2J",
            "-x",
            "é",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<TaskName>().is_err(), "{bad:?}");
        }
    }
}

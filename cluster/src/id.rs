//! Short numbers that name things for ever, and how they are spelt.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names one task. Starts at 1; never reused, not even after a restore. The default, 0, names none.
#[derive(
    Default, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TaskId(pub u64);

/// One start of a task: its number counts from 1. At most one process tree ever exists for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    pub task: TaskId,
    pub number: u32,
}

impl fmt::Display for AttemptId {
    /// `17.1`: as in names of files, containers and channels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task.0, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let (task, number) = text.split_once('.').ok_or(BadId)?;
        if task.starts_with(|c: char| !c.is_ascii_digit()) {
            return Err(BadId);
        }
        let task = task.parse()?;
        let TaskId(number) = number.parse()?;
        let number = u32::try_from(number).map_err(|_| BadId)?;
        Ok(Self { task, number })
    }
}

/// The text is no id: neither `17` nor `task-17` nor `vps-17`.
#[derive(Debug, PartialEq, Eq)]
pub struct BadId;

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id is a number such as 17 or task-17")
    }
}

impl std::error::Error for BadId {}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task-{}", self.0)
    }
}

impl FromStr for TaskId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let digits = text
            .strip_prefix("task-")
            .or_else(|| text.strip_prefix("vps-"))
            .unwrap_or(text);
        // One spelling a number: no sign, no leading zero, so that ids compare as text too.
        if digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadId);
        }
        digits.parse().map(TaskId).map_err(|_| BadId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        assert_eq!(TaskId(17).to_string().parse(), Ok(TaskId(17)));
        assert_eq!("vps-42".parse(), Ok(TaskId(42)));
        for bad in [
            "",
            "0",
            "-1",
            "+1",
            "017",
            "task-",
            "task-x",
            "99999999999999999999",
        ] {
            assert_eq!(bad.parse::<TaskId>(), Err(BadId), "{bad}");
        }
    }
}

//! What a stream is for, as the path of its SSH channel (`forwarded-streamlocal@openssh.com`).

use std::fmt;
use std::str::FromStr;

use cluster::{AttemptId, TaskId};

/// The address of one stream. Its text is the channel's socket path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelName {
    /// `output/17.1/0/0/follow`: the attempt's output from these offsets of stdout and stderr, as
    /// [`super::output`] frames; `once` ends at the present end, `follow` with the attempt.
    Output {
        attempt: AttemptId,
        stdout: u64,
        stderr: u64,
        follow: bool,
    },
    /// `stdin/17.1`: raw bytes into the attempt's live input; its end of file is the task's.
    Stdin { attempt: AttemptId },
    /// `guest/17.1/keys`, `guest/17.1/bulk`: a session, transfer or forward in the attempt's box
    /// ([`super::session`]). `keys`: somebody types, so it shares its connection with no bulk data.
    Guest { attempt: AttemptId, typed: bool },
    /// `errand/42`: one errand about the box of this VPS ([`super::errand`]).
    Errand { vps: TaskId },
    /// `examine`: how the node is ([`super::examine`]).
    Examine,
    /// `spool/17`: opened by the runner; the spooled input of a task, raw.
    Spool { task: TaskId },
}

/// The text names no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such stream")]
pub struct BadChannelName;

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output {
                attempt,
                stdout,
                stderr,
                follow,
            } => {
                let mode = if *follow { "follow" } else { "once" };
                write!(f, "output/{attempt}/{stdout}/{stderr}/{mode}")
            }
            Self::Stdin { attempt } => write!(f, "stdin/{attempt}"),
            Self::Guest { attempt, typed } => {
                let kind = if *typed { "keys" } else { "bulk" };
                write!(f, "guest/{attempt}/{kind}")
            }
            Self::Errand { vps } => write!(f, "errand/{}", vps.0),
            Self::Examine => f.write_str("examine"),
            Self::Spool { task } => write!(f, "spool/{}", task.0),
        }
    }
}

impl FromStr for ChannelName {
    type Err = BadChannelName;

    fn from_str(text: &str) -> Result<Self, BadChannelName> {
        let bad = |_| BadChannelName;
        let words: Vec<&str> = text.splitn(6, '/').collect();
        match words[..] {
            ["output", attempt, stdout, stderr, mode] => Ok(Self::Output {
                attempt: attempt.parse().map_err(|_| BadChannelName)?,
                stdout: stdout.parse().map_err(bad)?,
                stderr: stderr.parse().map_err(bad)?,
                follow: match mode {
                    "follow" => true,
                    "once" => false,
                    _ => return Err(BadChannelName),
                },
            }),
            ["stdin", attempt] => attempt
                .parse()
                .map(|attempt| Self::Stdin { attempt })
                .map_err(|_| BadChannelName),
            ["guest", attempt, kind @ ("keys" | "bulk")] => attempt
                .parse()
                .map(|attempt| Self::Guest {
                    attempt,
                    typed: kind == "keys",
                })
                .map_err(|_| BadChannelName),
            ["errand", vps] if vps.bytes().all(|b| b.is_ascii_digit()) => vps
                .parse()
                .map(|vps| Self::Errand { vps })
                .map_err(|_| BadChannelName),
            ["examine"] => Ok(Self::Examine),
            ["spool", task] if task.bytes().all(|b| b.is_ascii_digit()) => task
                .parse()
                .map(|task| Self::Spool { task })
                .map_err(|_| BadChannelName),
            _ => Err(BadChannelName),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in [
            "output/17.1/0/900/follow",
            "output/17.2/5/0/once",
            "stdin/17.1",
            "guest/17.1/keys",
            "guest/17.2/bulk",
            "errand/42",
            "examine",
            "spool/17",
        ] {
            let name: ChannelName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
        }
        for bad in [
            "",
            "output/17/0/0/follow",
            "output/17.1/0/0",
            "output/17.1/-1/0/once",
            "stdin/17.0",
            "stdin/../etc",
            "spool/task-1",
            "guest/17.1",
            "guest/17.1/mouse",
            "spool/17/2",
            "examine/n1",
            "control",
        ] {
            assert_eq!(bad.parse::<ChannelName>(), Err(BadChannelName), "{bad}");
        }
    }
}

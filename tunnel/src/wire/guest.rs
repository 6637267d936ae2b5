//! What the guest in a box and its runner say, and the files they share.
//!
//! The guest dials `RUN_DIR/sock` once for control (JSON frames of [`super::frame`], at most
//! `LARGEST_HOSTILE` bytes each) and once more for each stream the runner asks for with
//! [`ToGuest::Open`]; such a connection begins with one frame [`StreamHead`]. A [`GuestStream::Stdin`]
//! connection then carries chunks from the runner: a big-endian `u32` length and so many bytes, at most
//! [`LARGEST_CHUNK`]; length 0 is the input's end of file. An end without it is a cut, not an end.

use std::collections::BTreeMap;

use cluster::{AttemptId, OutputSize};
use serde::{Deserialize, Serialize};

/// Mounted read-only in a container: the guest's program.
pub const GUEST_PATH: &str = "/.river/guest";
/// Mounted read-only in a container: [`SPEC`] and [`SOCKET`] of this attempt.
pub const RUN_DIR: &str = "/.river/run";
/// Mounted writable in a container: output, marks and exit record of this attempt.
pub const OUT_DIR: &str = "/.river/out";

/// In the run directory: a [`GuestSpec`].
pub const SPEC: &str = "spec.json";
/// In the run directory: the runner's socket.
pub const SOCKET: &str = "sock";
/// In the run directory: the spooled input, if there is one.
pub const INPUT: &str = "input";
/// In the out directory: made with `O_EXCL` before the command starts; whoever finds it does not start.
pub const BEGUN: &str = "begun";
/// In the out directory: why the command could not be started, in words; blank when it could.
pub const FAILED: &str = "failed";
/// In the out directory: an [`ExitRecord`], written last, by rename.
pub const EXIT: &str = "exit.json";

/// Largest chunk of a stdin stream, in bytes.
pub const LARGEST_CHUNK: usize = 256 << 10;

/// What to run and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestSpec {
    pub protocol: u32,
    pub attempt: AttemptId,
    /// Empty: no command of its own; the box stays for whoever enters it, until it is stopped.
    pub argv: Vec<String>,
    /// The whole environment, the image's included.
    pub env: BTreeMap<String, String>,
    /// `None`: the image's, else `/`.
    pub workdir: Option<String>,
    pub user: GuestUser,
    #[serde(default)]
    pub rights: GuestRights,
    pub stdin: GuestStdin,
    pub time_limit_ms: Option<u64>,
    /// Between TERM and KILL.
    pub grace_ms: u64,
    /// Bytes kept of each of stdout and stderr; beyond it the middle goes, with a marked gap.
    pub output_cap: u64,
    /// Numbers of the machine's cores to stay on; empty: as the engine says.
    pub affinity: Vec<usize>,
}

/// Whom the command runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestUser {
    /// The image's USER, e.g. `app`, `1000`, `1000:100`; looked up in the box's own files. Empty: root.
    Image(String),
    /// The `process` engine's.
    Ids { uid: u32, gid: u32 },
    /// As the guest itself.
    Same,
}

/// What the command may do beyond its user (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestRights {
    /// Nothing, even as root.
    #[default]
    None,
    /// What its box and user have.
    Box,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestStdin {
    Empty,
    /// From [`INPUT`].
    File,
    /// From a stream the runner opens; cut after its first byte and before its end of file, the task fails.
    Live,
    /// As live, but a cut leaves the input open for the next stream.
    Typed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToGuest {
    /// Dial again and begin with this id.
    Open {
        id: u64,
        stream: GuestStream,
    },
    /// TERM to the command's process group, KILL after the grace.
    Stop {
        grace_ms: u64,
    },
    Signal {
        signal: u8,
    },
    /// STOP and CONT for the whole process group; engines with a freezer do not use it.
    Freeze {
        frozen: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestStream {
    /// The command's live input, in chunks.
    Stdin,
    /// A session, transfer or forward: [`super::session`].
    Session,
}

/// First frame of a stream connection, from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    pub id: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromGuest {
    Hello {
        protocol: u32,
        attempt: AttemptId,
    },
    /// The command runs. Unix milliseconds.
    Started {
        at: u64,
    },
    /// As the record on disk.
    Exited(ExitRecord),
}

/// The last word of an attempt; written by its tenant, so believed for that attempt alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    pub attempt: AttemptId,
    /// Unix milliseconds.
    pub started: Option<u64>,
    pub ended: u64,
    pub end: GuestEnd,
    /// With what is unwritten.
    pub output: OutputSize,
    #[serde(default, skip_serializing_if = "Unwritten::is_empty")]
    pub unwritten: Unwritten,
}

/// The last bytes of each stream, where the disk had no room for them any more: marks of what was dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwritten {
    #[serde(default)]
    pub stdout: String,
    #[serde(default)]
    pub stderr: String,
}

impl Unwritten {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestEnd {
    Exited {
        code: u8,
    },
    Signaled {
        signal: u8,
    },
    /// It ended after [`ToGuest::Stop`].
    Stopped,
    OutOfTime,
    InputCut,
    NeverStarted {
        reason: String,
    },
}

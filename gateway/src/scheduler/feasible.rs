//! Which nodes can hold a task, and why the others cannot.

use std::fmt;

use cluster::{DiskTrouble, EngineKind};
use keys::Role;
use shell::render::units::bytes;

use super::{NodeView, Pending};

/// Of all that a node is told, in bytes. As JSON it may be six times as much, and must fit in a frame of 64 MiB
/// (`tunnel::wire::frame::LARGEST`) together with what has just been taken from the node.
const MOST_WORDS: usize = 8 << 20;

/// Why a node does not take a task now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `-t` names another node.
    NotTheTarget,
    Unreachable,
    /// It has just connected, and has not said yet what runs there.
    Unheard,
    /// What was given up there may still be on its cores.
    Ending,
    Draining,
    EngineDown(String),
    /// Its disk takes nothing.
    Disk(DiskTrouble),
    /// `--backend` asks for another.
    OtherEngine(EngineKind),
    /// Images, mounts and privilege need containers.
    NoContainers,
    /// Its runner would leave out what it does not know.
    TooOld {
        runner: String,
    },
    /// The `process` engine isolates nothing.
    NotOpenTo {
        needed: Role,
    },
    /// It could never hold it.
    TooSmall {
        what: &'static str,
        wanted: u64,
        has: u64,
    },
    /// It could not be told more: its list goes in one frame.
    Crowded,
    /// It cannot hold it now.
    Busy {
        what: &'static str,
        wanted: u64,
        free: u64,
    },
}

impl Refusal {
    /// Waiting may help.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Crowded | Self::Unheard | Self::Ending => true,
            Self::NotTheTarget
            | Self::Unreachable
            | Self::Draining
            | Self::EngineDown(_)
            | Self::Disk(_)
            | Self::OtherEngine(_)
            | Self::NoContainers
            | Self::TooOld { .. }
            | Self::NotOpenTo { .. }
            | Self::TooSmall { .. } => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTheTarget => f.write_str("not the node you asked for"),
            Self::Unreachable => f.write_str("not connected"),
            Self::Unheard => f.write_str("has just connected: says in a moment what runs there"),
            Self::Ending => f.write_str("first ends what was given up there"),
            Self::Draining => f.write_str("draining: takes nothing new"),
            Self::EngineDown(error) => write!(f, "its engine is down: {error}"),
            Self::Disk(disk) => write!(f, "{}: {}", disk.what, disk.detail),
            Self::OtherEngine(engine) => write!(f, "has the {engine} engine"),
            Self::NoContainers => {
                f.write_str("its process engine has no images, environments, mounts or privilege")
            }
            Self::TooOld { runner } => {
                write!(
                    f,
                    "its river-runner {runner} is too old for this: upgrade it"
                )
            }
            Self::NotOpenTo { needed } => {
                write!(
                    f,
                    "its process engine isolates nothing and is open to {needed}s only"
                )
            }
            Self::TooSmall { what, wanted, has } => {
                write!(
                    f,
                    "too small: {} wanted, it has {}",
                    amount(what, *wanted),
                    amount(what, *has)
                )
            }
            Self::Crowded => {
                f.write_str("waits for room: too many tasks, or too long ones, are there")
            }
            Self::Busy { what, wanted, free } => {
                write!(
                    f,
                    "waits for room: {} wanted, {} free",
                    amount(what, *wanted),
                    amount(what, *free)
                )
            }
        }
    }
}

fn amount(what: &str, count: u64) -> String {
    if what == "memory" {
        return format!("{} of memory", bytes(count));
    }
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Why this node does not take the task now; `None`: it can.
#[must_use]
pub fn refusal(task: &Pending<'_>, node: &NodeView) -> Option<Refusal> {
    let spec = task.spec;
    if spec
        .target
        .as_ref()
        .is_some_and(|target| *target != node.name)
    {
        return Some(Refusal::NotTheTarget);
    }
    let engine = node.facts.engine;
    if spec.backend.is_some_and(|wanted| wanted != engine) {
        return Some(Refusal::OtherEngine(engine));
    }
    if spec.needs_container() && engine == EngineKind::Process {
        return Some(Refusal::NoContainers);
    }
    if spec.protocol() > node.protocol.max(1) {
        let runner = node.facts.runner_version.clone();
        return Some(Refusal::TooOld { runner });
    }
    if task.role < node.facts.open_to {
        return Some(Refusal::NotOpenTo {
            needed: node.facts.open_to,
        });
    }
    let (wanted, has) = (spec.request(), node.facts.resources());
    if wanted.cores > has.cores {
        let (wanted, has) = (wanted.cores.into(), has.cores.into());
        return Some(Refusal::TooSmall {
            what: "core",
            wanted,
            has,
        });
    }
    if wanted.memory > has.memory {
        let (wanted, has) = (wanted.memory, has.memory);
        return Some(Refusal::TooSmall {
            what: "memory",
            wanted,
            has,
        });
    }
    if let Err(closed) = &node.open {
        return Some(closed.clone());
    }
    if node.words + spec.weight() > MOST_WORDS {
        return Some(Refusal::Crowded);
    }
    let free = node.cores.len() as u64;
    if u64::from(wanted.cores) > free {
        return Some(Refusal::Busy {
            what: "core",
            wanted: wanted.cores.into(),
            free,
        });
    }
    if wanted.memory > node.memory {
        return Some(Refusal::Busy {
            what: "memory",
            wanted: wanted.memory,
            free: node.memory,
        });
    }
    None
}

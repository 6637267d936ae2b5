//! The rows of `docs/chaos.md`.

mod aimed;

use crate::cluster::Cluster;
use crate::ledger::Ledger;
use crate::node::Engine;
use crate::residue;

/// One fault, and what must hold under it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) fault: &'static str,
    /// Part of `make test`.
    pub(crate) small: bool,
    /// What was seen, in words; a bar that is missed is a panic.
    row: fn(Play) -> String,
}

/// How a row is played.
#[derive(Clone, Copy)]
pub(crate) struct Play {
    pub(crate) seed: u64,
    pub(crate) small: bool,
}

impl Row {
    pub(crate) fn play(&self, seed: u64, small: bool) -> String {
        (self.row)(Play { seed, small })
    }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "F1",
        fault: "kill -9 of the gateway at P1..P7, P15, P16",
        small: true,
        row: aimed::gateway,
    },
    Row {
        name: "F3",
        fault: "kill -9 of a runner at P7..P18",
        small: true,
        row: aimed::runner,
    },
    Row {
        name: "F4",
        fault: "kill -9 of both at once",
        small: true,
        row: aimed::both,
    },
];

/// A cluster that is looked at before and after.
pub(crate) fn with(
    engines: &[Engine],
    lines: &str,
    row: impl FnOnce(&mut Cluster, &mut Ledger) -> String,
) -> String {
    let mut cluster = Cluster::new(engines, lines);
    // Images and networks are made by the first task.
    for node in &cluster.nodes {
        let warm = format!("task run -t {} -- true", node.name());
        assert_eq!(cluster.river(&warm).code, 0);
    }
    let mut ledger = Ledger::new(&cluster);
    residue::until_clean(&cluster, &residue::idle(&cluster));
    let before = residue::look(&cluster);
    let seen = row(&mut cluster, &mut ledger);
    residue::until_clean(&cluster, &before);
    let checked = cluster.gateway_command().arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "I8, I9: {said}");
    seen
}

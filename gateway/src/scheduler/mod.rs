//! Where does it run? `place(queue, nodes)` is a function of its arguments.
//!
//! Priority, then age. A later task may start earlier only where that delays nobody before it (EASY
//! backfill: Lifka, "The ANL/IBM SP scheduling system", 1995): the first task that cannot start gets
//! one node reserved, and what starts on that node must end by its limit before the reservation.

mod feasible;
mod rank;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter::Peekable;

use cluster::{Resources, TaskId, TaskSpec, Timestamp};
use keys::{NodeName, Role};

pub use feasible::{Refusal, refusal};

/// A waiting task.
#[derive(Clone, Debug)]
pub struct Pending<'a> {
    pub id: TaskId,
    pub spec: &'a TaskSpec,
    pub role: Role,
}

/// A node as the scheduler sees it.
#[derive(Clone, Debug)]
pub struct NodeView {
    pub name: NodeName,
    pub facts: cluster::NodeFacts,
    /// The version that its runner speaks.
    pub protocol: u32,
    /// Connected, not draining, its engine up.
    pub open: Result<(), Refusal>,
    /// Numbers of free cores, ascending.
    pub cores: Vec<u32>,
    /// Bytes.
    pub memory: u64,
    /// What runs, with the moment it ends at the latest, if it has a limit.
    pub running: Vec<(Resources, Option<Timestamp>)>,
    /// What the node has to be told of all that is placed there, [`TaskSpec::weight`].
    pub words: usize,
}

/// One task gets its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub task: TaskId,
    pub node: NodeName,
    pub cores: Vec<u32>,
}

/// How many kinds of tasks may find no place before the rest is left for the next turn.
const DEPTH: usize = 10_000;

struct Reservation {
    node: usize,
    /// When the head can start there at the latest; `None`: nobody knows.
    at: Option<Timestamp>,
}

/// Gives places to as many tasks as it can, by priority and age. `lines`: those that are alike, in that order. In one pass
/// nodes only get fuller: where one found no room none that is like it does, so a thousand of them keep nobody waiting.
#[must_use]
pub fn place<'a, L: Iterator<Item = Pending<'a>>>(
    lines: impl Iterator<Item = L>,
    nodes: &mut [NodeView],
    now: Timestamp,
) -> Vec<Assigned> {
    let mut assigned = Vec::new();
    let mut reserved: Option<Reservation> = None;
    let mut failures = 0;
    let mut lines: Vec<Peekable<L>> = lines.map(Iterator::peekable).collect();
    let heads = lines.iter_mut().enumerate();
    let mut heads: BinaryHeap<_> = heads
        .filter_map(|(line, tasks)| head(line, tasks))
        .collect();
    while failures < DEPTH
        && let Some(Reverse((_, line))) = heads.pop()
    {
        let tasks = &mut lines[line];
        let Some(task) = tasks.next() else {
            continue;
        };
        if let Some(index) = choose(&task, nodes, reserved.as_ref(), now) {
            assigned.push(take(&task, &mut nodes[index], now));
            heads.extend(head(line, tasks));
            continue;
        }
        failures += 1;
        if reserved.is_none() {
            reserved = reserve(&task, nodes, now);
        }
    }
    assigned
}

/// Whose turn it is in a line, before others: the highest priority, then the oldest.
fn head<'a>(
    line: usize,
    tasks: &mut Peekable<impl Iterator<Item = Pending<'a>>>,
) -> Option<Reverse<((i32, TaskId), usize)>> {
    let task = tasks.peek()?;
    Some(Reverse(((-task.spec.priority, task.id), line)))
}

/// All of a task that decides where it fits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    target: Option<NodeName>,
    backend: Option<cluster::EngineKind>,
    contained: bool,
    protocol: u32,
    role: Role,
    cores: u32,
    memory: u64,
    time_limit_ms: Option<u64>,
    /// Roughly: a long command must not hold up short ones.
    words: usize,
}

impl Shape {
    #[must_use]
    pub fn of(spec: &TaskSpec, role: Role) -> Self {
        Self {
            target: spec.target.clone(),
            backend: spec.backend,
            contained: spec.needs_container(),
            protocol: spec.protocol(),
            role,
            cores: spec.cores,
            memory: spec.memory,
            time_limit_ms: spec.time_limit_ms,
            words: spec.weight() >> 16,
        }
    }
}

/// The best node where the task can start now without delaying the head.
fn choose(
    task: &Pending<'_>,
    nodes: &[NodeView],
    reserved: Option<&Reservation>,
    now: Timestamp,
) -> Option<usize> {
    let fits = |(index, node): &(usize, &NodeView)| {
        refusal(task, node).is_none()
            && reserved.is_none_or(|head| {
                head.node != *index
                    || ends_before(task.spec, head.at, now)
                    || takes_nothing(task.spec)
            })
    };
    nodes
        .iter()
        .enumerate()
        .filter(fits)
        .min_by_key(|(_, node)| rank::leftover(node, task.spec.request()))
        .map(|(index, _)| index)
}

fn takes_nothing(spec: &TaskSpec) -> bool {
    spec.cores == 0 && spec.memory == 0
}

fn ends_before(spec: &TaskSpec, start: Option<Timestamp>, now: Timestamp) -> bool {
    match (spec.time_limit_ms, start) {
        (Some(limit), Some(start)) => now.0.saturating_add(limit) <= start.0,
        _ => false,
    }
}

fn take(task: &Pending<'_>, node: &mut NodeView, now: Timestamp) -> Assigned {
    let count = task.spec.cores as usize;
    let cores: Vec<u32> = node.cores.drain(..count).collect();
    node.memory = node.memory.saturating_sub(task.spec.memory);
    node.words += task.spec.weight();
    let end = task
        .spec
        .time_limit_ms
        .map(|limit| Timestamp(now.0.saturating_add(limit)));
    node.running.push((task.spec.request(), end));
    Assigned {
        task: task.id,
        node: node.name.clone(),
        cores,
    }
}

/// The node where the head of the queue can start first.
fn reserve(task: &Pending<'_>, nodes: &[NodeView], now: Timestamp) -> Option<Reservation> {
    nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| refusal(task, node).is_none_or(|r| r.may_pass()))
        .map(|(index, node)| (index, starts_by(task.spec, node, now), node))
        // A known moment before an unknown one; then where least is missing.
        .min_by_key(|(_, at, node)| {
            let missing = (task.spec.cores as usize).saturating_sub(node.cores.len());
            (at.is_none(), *at, missing)
        })
        .map(|(node, at, _)| Reservation { node, at })
}

/// When the task can start on this node at the latest; `None`: something there has no limit.
#[must_use]
pub fn starts_by(spec: &TaskSpec, node: &NodeView, now: Timestamp) -> Option<Timestamp> {
    let cores = u32::try_from(node.cores.len()).unwrap_or(u32::MAX);
    let mut free = Resources {
        cores,
        memory: node.memory,
    };
    if free.fits(spec.request()) {
        return Some(now);
    }
    let mut ends: Vec<(Timestamp, Resources)> = node
        .running
        .iter()
        .filter_map(|(held, end)| end.map(|end| (end, *held)))
        .collect();
    ends.sort_by_key(|(end, _)| *end);
    for (end, held) in ends {
        free = free.plus(held);
        if free.fits(spec.request()) {
            return Some(end.max(now));
        }
    }
    None
}

#[cfg(test)]
mod tests;

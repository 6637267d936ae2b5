//! Stories of the queue, with numbers.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use cluster::{EngineKind, NodeFacts};

use super::*;

fn node(name: &str, cores: u32) -> NodeView {
    let cores: Vec<u32> = (0..cores).collect();
    let facts = NodeFacts {
        cores: cores.clone(),
        memory: 8 << 30,
        engine: EngineKind::Docker,
        engine_version: String::new(),
        open_to: Role::User,
        kernel: String::new(),
        arch: String::new(),
        runner_version: String::new(),
        machine_id: String::new(),
        boot_id: String::new(),
    };
    let memory = facts.memory;
    NodeView {
        name: name.parse().unwrap(),
        facts,
        protocol: 1,
        open: Ok(()),
        cores,
        memory,
        running: Vec::new(),
        words: 0,
    }
}

fn spec(cores: u32, limit_ms: Option<u64>) -> TaskSpec {
    TaskSpec {
        cores,
        time_limit_ms: limit_ms,
        ..TaskSpec::of(vec!["true".into()])
    }
}

/// By what is alike.
fn lines<'a>(
    queue: impl Iterator<Item = Pending<'a>>,
) -> impl Iterator<Item = IntoIter<Pending<'a>>> {
    let mut lines: BTreeMap<Shape, Vec<Pending<'a>>> = BTreeMap::new();
    for task in queue {
        let shape = Shape::of(task.spec, task.role);
        lines.entry(shape).or_default().push(task);
    }
    lines.into_values().map(|mut line| {
        line.sort_by_key(|task| (-task.spec.priority, task.id));
        line.into_iter()
    })
}

fn run(specs: &[TaskSpec], nodes: &mut [NodeView]) -> Vec<(u64, String)> {
    let queue = (1..).zip(specs).map(|(id, spec)| Pending {
        id: TaskId(id),
        spec,
        role: Role::User,
    });
    place(lines(queue), nodes, Timestamp(0))
        .into_iter()
        .map(|a| (a.task.0, a.node.to_string()))
        .collect()
}

#[test]
fn a_small_task_never_delays_the_head() {
    let mut nodes = [node("n1", 2)];
    nodes[0].running.push((
        Resources {
            cores: 1,
            memory: 0,
        },
        None,
    ));
    nodes[0].cores = vec![1];
    assert!(run(&[spec(2, None), spec(1, None)], &mut nodes).is_empty());
}

#[test]
fn a_small_task_that_ends_in_time_goes_first() {
    let mut nodes = [node("n1", 2)];
    nodes[0].running.push((
        Resources {
            cores: 1,
            memory: 0,
        },
        Some(Timestamp(60_000)),
    ));
    nodes[0].cores = vec![1];
    let seen = run(
        &[spec(2, None), spec(1, Some(61_000)), spec(1, Some(60_000))],
        &mut nodes,
    );
    assert_eq!(seen, [(3, "n1".into())]);
}

#[test]
fn one_node_is_kept_for_the_head_and_others_are_free() {
    let mut nodes = [node("n1", 4), node("n2", 2)];
    nodes[0].cores = vec![3];
    nodes[1].cores = vec![1];
    // The head can only ever fit on n1.
    assert_eq!(
        run(&[spec(4, None), spec(1, None)], &mut nodes),
        [(2, "n2".into())]
    );
}

#[test]
fn the_tightest_node_is_taken_and_cores_are_never_shared() {
    let mut nodes = [node("n1", 8), node("n2", 2)];
    let queue = [spec(2, None), spec(2, None), spec(6, None)];
    assert_eq!(
        run(&queue, &mut nodes),
        [(1, "n2".into()), (2, "n1".into()), (3, "n1".into())]
    );
    assert!(nodes.iter().all(|n| n.cores.is_empty()));
}

#[test]
fn a_refusal_names_the_numbers() {
    let busy = spec(3, None);
    let task = Pending {
        id: TaskId(1),
        spec: &busy,
        role: Role::User,
    };
    let small = refusal(&task, &node("n1", 2)).unwrap();
    assert_eq!(
        small.to_string(),
        "too small: 3 cores wanted, it has 2 cores"
    );
    let mut process = node("n1", 4);
    process.facts.engine = EngineKind::Process;
    process.facts.open_to = Role::Operator;
    assert!(matches!(
        refusal(&task, &process),
        Some(Refusal::NotOpenTo { .. })
    ));
}

#[test]
fn ten_thousand_waiting_tasks_are_no_burden() {
    let specs: Vec<TaskSpec> = (0..10_000).map(|_| spec(1, None)).collect();
    let mut nodes: Vec<NodeView> = (0..20).map(|n| node(&format!("n{n}"), 64)).collect();
    assert_eq!(run(&specs, &mut nodes).len(), 20 * 64);
}

/// `place`, asking for each task anew.
fn slowly(queue: &[Pending<'_>], nodes: &mut [NodeView]) -> Vec<Assigned> {
    let (mut assigned, mut reserved) = (Vec::new(), None);
    for task in queue {
        if let Some(index) = choose(task, nodes, reserved.as_ref(), Timestamp(0)) {
            assigned.push(take(task, &mut nodes[index], Timestamp(0)));
        } else if reserved.is_none() {
            reserved = reserve(task, nodes, Timestamp(0));
        }
    }
    assigned
}

proptest::proptest! {
    #[test]
    fn what_found_no_room_needs_not_be_asked_again(
        wishes in proptest::collection::vec((0u32..4, 0usize..3, 0usize..3, proptest::bool::ANY), 1..60),
        sizes in proptest::collection::vec(1u32..5, 1..4),
    ) {
        let (limits, targets) = ([None, Some(10), Some(60_000)], [None, Some("n0"), Some("n1")]);
        let specs: Vec<TaskSpec> = wishes
            .iter()
            .map(|(cores, limit, target, read_only)| TaskSpec {
                target: targets[*target].map(|name| name.parse().unwrap()),
                read_only: *read_only,
                ..spec(*cores, limits[*limit])
            })
            .collect();
        let queue: Vec<Pending<'_>> = (1..)
            .zip(&specs)
            .map(|(id, spec)| Pending { id: TaskId(id), spec, role: Role::User })
            .collect();
        let nodes = || -> Vec<NodeView> {
            let nodes = (0..).zip(&sizes).map(|(n, size)| {
                let mut node = node(&format!("n{n}"), *size);
                node.protocol = 1 + n % 2;
                // One core is taken for a while.
                let held = Resources { cores: 1, memory: 0 };
                node.cores.remove(0);
                node.running.push((held, Some(Timestamp(30_000))));
                node
            });
            nodes.collect()
        };
        let (mut one, mut other) = (nodes(), nodes());
        let seen = place(lines(queue.iter().cloned()), &mut one, Timestamp(0));
        proptest::prop_assert_eq!(seen, slowly(&queue, &mut other));
    }
}

#[test]
fn a_node_is_given_no_more_than_it_can_be_told() {
    let long = TaskSpec {
        cores: 0,
        ..TaskSpec::of(vec!["x".repeat(200 << 10)])
    };
    let short = spec(0, None);
    let mut specs = vec![long; 60];
    specs.push(short);
    let mut nodes = [node("n1", 2)];
    let placed = run(&specs, &mut nodes);
    assert!(placed.len() < 45, "{} were placed", placed.len());
    assert!(placed.len() > 20, "{} were placed", placed.len());
    assert!(nodes[0].words <= 8 << 20);
    // Nobody waits behind them for what is free.
    assert_eq!(placed.last().unwrap().0, 61);
}

#[test]
fn any_number_that_waits_keeps_nobody_from_what_is_free() {
    let mut nodes = [node("n1", 2), node("n2", 2)];
    nodes[0].open = Err(Refusal::Draining);
    nodes[1].facts.engine = EngineKind::Process;
    let for_a_node = TaskSpec {
        target: Some("n1".parse().unwrap()),
        ..spec(1, None)
    };
    // The node of this engine takes nothing: those behind waited for a thousand of these.
    let for_an_engine = TaskSpec {
        backend: Some(EngineKind::Docker),
        ..spec(1, None)
    };
    for waits in [for_a_node, for_an_engine] {
        let mut specs = vec![waits; 3 * DEPTH];
        specs.push(spec(1, None));
        let last = specs.len() as u64;
        let mut nodes = nodes.clone();
        assert_eq!(run(&specs, &mut nodes), [(last, "n2".to_owned())]);
    }
}

#[test]
fn who_is_older_goes_first_whatever_is_alike() {
    let mut nodes = [node("n1", 3)];
    let specs = [
        spec(1, Some(10)),
        spec(1, None),
        TaskSpec {
            priority: 1,
            ..spec(1, None)
        },
        spec(1, Some(10)),
    ];
    let seen: Vec<u64> = run(&specs, &mut nodes)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert_eq!(seen, [3, 1, 2]);
}

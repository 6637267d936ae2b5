//! Stories of the state.

use cluster::{
    AttemptReport, End, EngineKind, NodeFacts, Observation, OutputSize, Phase, Stdin, StopReason,
    TaskSpec, TaskState,
};
use keys::{Account, Role};
use shell::command::Submit;
use tunnel::wire::Hello;

use super::*;

mod audit;
mod away;
mod names;
mod owned;

fn state() -> State {
    let mut directory = Directory::default();
    for (name, role) in [("alice", Role::Admin), ("bob", Role::User)] {
        let name = name.parse().unwrap();
        directory.put_account(Account {
            name,
            role,
            disabled: false,
            created: 0,
        });
    }
    let node = Node {
        name: "n1".parse().unwrap(),
        joined: Timestamp(0),
        certificate: 1,
        machine_id: "m".into(),
        draining: false,
        facts: None,
        seen: None,
        protocol: 0,
        lost: false,
    };
    let counters = Counters {
        epoch: 1,
        ..Counters::default()
    };
    State::load(
        Settings::default(),
        counters,
        directory,
        vec![Arc::new(node)],
        Vec::new(),
        Timestamp(0),
    )
}

fn actor(name: &str, role: Role) -> Actor {
    Actor {
        account: name.parse().unwrap(),
        role,
        proof: String::new(),
    }
}

fn change(state: &mut State, name: &str, role: Role, change: Change) -> Result<Answer, Failure> {
    let input = Input::Change {
        ticket: Ticket(1),
        actor: actor(name, role),
        change,
        dice: [3; 32],
    };
    let effects = state.handle(input, Timestamp(1));
    let audited = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Audit(_)));
    assert!(audited, "every change is in the audit log, refused or done");
    let answer = |effect| {
        if let Effect::Answer(_, answer) = effect {
            Some(answer)
        } else {
            None
        }
    };
    effects.into_iter().find_map(answer).unwrap()
}

fn submit(spec: TaskSpec) -> Change {
    Change::Submit(Submit {
        specs: vec![spec],
        wait: false,
        batch: false,
        each: false,
        keys: false,
        make_key: false,
        spool: None,
        known: Vec::new(),
    })
}

fn plain() -> TaskSpec {
    TaskSpec::of(vec!["true".into()])
}

fn hello(id: u64, highest_task: u64) -> Hello {
    let facts = NodeFacts {
        cores: vec![0, 1],
        memory: 1 << 30,
        engine: EngineKind::Docker,
        engine_version: String::new(),
        open_to: Role::User,
        kernel: String::new(),
        arch: String::new(),
        runner_version: String::new(),
        machine_id: "m".into(),
        boot_id: String::new(),
    };
    Hello {
        protocol: 1,
        newest: 2,
        facts,
        highest_epoch: 1,
        highest_task: TaskId(highest_task),
        instance: id,
    }
}

fn link(state: &mut State, id: u64, highest_task: u64) -> Vec<Effect> {
    let hello = hello(id, highest_task);
    let up = Input::LinkUp {
        node: "n1".parse().unwrap(),
        link: LinkId(id),
        hello: Box::new(hello),
    };
    state.handle(up, Timestamp(1))
}

/// The node says what is there: `phase` of attempt 1.1, or nothing.
fn observed(state: &mut State, link: u64, phase: Option<Phase>, now: u64) -> Vec<Effect> {
    let node: NodeName = "n1".parse().unwrap();
    let attempt = AttemptId {
        task: TaskId(1),
        number: 1,
    };
    let version = state.assignments(&node).version;
    let report = |phase| AttemptReport { attempt, phase };
    let observation = Observation {
        version,
        attempts: phase.map(report).into_iter().collect(),
        ..Observation::default()
    };
    let input = Input::Observed {
        node,
        link: LinkId(link),
        observation,
    };
    state.handle(input, Timestamp(now))
}

/// One core of n1 has task-1, and n1 is silent until it is given up; `killed` before that.
fn given_up(killed: bool) -> State {
    let mut state = state();
    link(&mut state, 1, 0);
    observed(&mut state, 1, None, 1);
    change(&mut state, "bob", Role::User, submit(plain())).unwrap();
    let started = Timestamp(1);
    observed(&mut state, 1, Some(Phase::Running { started }), 1);
    if killed {
        let tasks = vec![shell::command::TaskRef::task("1")];
        change(&mut state, "bob", Role::User, Change::TaskKill { tasks }).unwrap();
    }
    let down = Input::LinkDown {
        node: "n1".parse().unwrap(),
        link: LinkId(1),
    };
    state.handle(down, Timestamp(2));
    state.handle(Input::Tick, Timestamp(1_000_000));
    state
}

#[test]
fn a_task_is_placed_in_the_turn_that_made_it() {
    let mut state = state();
    link(&mut state, 1, 0);
    observed(&mut state, 1, None, 1);
    change(&mut state, "bob", Role::User, submit(plain())).unwrap();
    let task = state.task(TaskId(1)).unwrap();
    assert_eq!(task.state, TaskState::Assigning);
    let list = state.assignments(&"n1".parse().unwrap());
    assert_eq!(
        (list.list.len(), list.list[0].cores.as_slice()),
        (1, &[0][..])
    );
}

#[test]
fn a_refusal_changes_nothing() {
    let mut state = state();
    change(&mut state, "alice", Role::Admin, submit(plain())).unwrap();
    let kill = Change::TaskKill {
        tasks: vec![shell::command::TaskRef::task("1")],
    };
    let failure = change(&mut state, "bob", Role::User, kill).unwrap_err();
    assert_eq!(failure.kind.code(), 4);
    assert!(failure.sentence.contains("alice"), "{}", failure.sentence);
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Pending);
    let privileged = TaskSpec {
        privileged: true,
        ..plain()
    };
    assert_eq!(
        change(&mut state, "bob", Role::User, submit(privileged))
            .unwrap_err()
            .kind
            .code(),
        4
    );
    assert_eq!(state.counters().task, 1, "no id was spent");
}

#[test]
fn ids_jump_past_what_a_node_has_seen() {
    let mut state = state();
    link(&mut state, 1, 41);
    change(&mut state, "bob", Role::User, submit(plain())).unwrap();
    assert!(state.task(TaskId(42)).is_some());
}

#[test]
fn a_late_report_is_noted_and_not_believed() {
    let mut state = given_up(false);
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Lost);
    link(&mut state, 2, 1);
    let phase = Phase::Ended {
        started: None,
        ended: Timestamp(3),
        end: End::Exited { code: 0 },
        output: OutputSize::default(),
    };
    let effects = observed(&mut state, 2, Some(phase), 1_000_001);
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Lost);
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Audit(entry) if entry.action == "late report"))
    );
    let list = state.assignments(&"n1".parse().unwrap()).list;
    assert_eq!(list[0].wanted, Wanted::Drop);
}

/// Whatever became of the task: until its process is gone, its cores are nobody else's.
#[test]
fn a_node_ends_what_was_given_up_before_it_takes_anything() {
    for killed in [false, true] {
        let mut state = given_up(killed);
        change(&mut state, "bob", Role::User, submit(plain())).unwrap();
        let waits = |state: &State| state.task(TaskId(2)).unwrap().state == TaskState::Pending;
        link(&mut state, 2, 1);
        assert!(waits(&state), "placed before the node said what runs there");
        let started = Timestamp(1);
        observed(&mut state, 2, Some(Phase::Running { started }), 1_000_001);
        assert!(waits(&state), "placed beside what still runs");
        let list = state.assignments(&"n1".parse().unwrap()).list;
        assert_eq!(list[0].wanted, Wanted::Stop(StopReason::Fenced));
        let phase = Phase::Ended {
            started: Some(started),
            ended: Timestamp(3),
            end: End::Stopped,
            output: OutputSize::default(),
        };
        observed(&mut state, 2, Some(phase), 1_000_002);
        assert!(!waits(&state), "killed: {killed}");
    }
}

/// What streamed its input cannot have it again.
#[test]
fn live_input_is_never_retried() {
    let mut state = state();
    link(&mut state, 1, 0);
    observed(&mut state, 1, None, 1);
    let spec = TaskSpec {
        stdin: Stdin::Live,
        retries: 3,
        ..plain()
    };
    change(&mut state, "bob", Role::User, submit(spec)).unwrap();
    let phase = Phase::Ended {
        started: Some(Timestamp(1)),
        ended: Timestamp(2),
        end: End::Exited { code: 1 },
        output: OutputSize::default(),
    };
    observed(&mut state, 1, Some(phase), 2);
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Failed);
}

#[test]
fn the_same_key_is_the_same_task() {
    let mut state = state();
    let spec = || TaskSpec {
        key: Some("k".into()),
        ..plain()
    };
    change(&mut state, "bob", Role::User, submit(spec())).unwrap();
    change(&mut state, "bob", Role::User, submit(spec())).unwrap();
    assert_eq!(state.counters().task, 1);
    change(&mut state, "alice", Role::Admin, submit(spec())).unwrap();
    assert_eq!(
        state.counters().task,
        2,
        "another owner's key is another key"
    );
}

/// Its old certificate once stayed good for a connection that was there already.
#[test]
fn a_node_that_joins_again_loses_its_old_connections() {
    let mut state = state();
    let node: NodeName = "n1".parse().unwrap();
    let invite = Change::NodeInvite {
        node: node.clone(),
        lifetime_ms: 1000,
    };
    let invited = change(&mut state, "alice", Role::Admin, invite);
    let Ok(Answer::Reply(Reply::NodeInvited { token, .. })) = invited else {
        panic!("{invited:?}")
    };
    link(&mut state, 1, 0);
    let join = Input::Join {
        ticket: Ticket(2),
        hash: keys::token::hash(&token),
        machine_id: "m".into(),
    };
    let effects = state.handle(join, Timestamp(2));
    let closes = |effect: &Effect| matches!(effect, Effect::CloseNode(name, _) if *name == node);
    assert!(effects.iter().any(closes), "{effects:?}");
}

#[test]
fn several_things_are_one_turn_and_the_queue_is_looked_at_once() {
    let submitted = |ticket| Input::Change {
        ticket: Ticket(ticket),
        actor: actor("bob", Role::User),
        change: submit(plain()),
        dice: [3; 32],
    };
    let mut state = state();
    link(&mut state, 1, 0);
    observed(&mut state, 1, None, 1);
    let effects = state.turn((1..=3).map(submitted), Timestamp(1));
    let answers: Vec<u64> = effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Answer(ticket, Ok(_)) = effect {
                Some(ticket.0)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(answers, [1, 2, 3]);
    let states: Vec<_> = state.tasks().map(|task| task.state).collect();
    use TaskState::{Assigning, Pending};
    assert_eq!(states, [Assigning, Assigning, Pending], "it has two cores");
}

#[test]
fn what_says_nothing_new_changes_nothing() {
    let mut state = state();
    link(&mut state, 1, 0);
    change(&mut state, "bob", Role::User, submit(plain())).unwrap();
    observed(&mut state, 1, None, 1);
    let started = Timestamp(1);
    observed(&mut state, 1, Some(Phase::Running { started }), 2);
    let before = state.clone();
    let effects = observed(&mut state, 1, Some(Phase::Running { started }), 3);
    assert!(effects.is_empty() && state.is_same(&before), "{effects:?}");
    observed(&mut state, 1, Some(Phase::Paused { started }), 4);
    assert!(!state.is_same(&before));
}

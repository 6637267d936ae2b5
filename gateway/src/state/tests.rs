//! Stories of the state.

use cluster::{
    AttemptReport, End, EngineKind, NodeFacts, Observation, OutputSize, Phase, TaskSpec, TaskState,
};
use keys::{Account, Role};
use shell::command::Submit;
use tunnel::wire::Hello;

use super::*;

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
        keys: false,
        spool: None,
    })
}

fn plain() -> TaskSpec {
    TaskSpec::of(vec!["true".into()])
}

fn link(state: &mut State, id: u64, highest_task: u64) -> Vec<Effect> {
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
    let hello = Hello {
        protocol: 1,
        facts,
        highest_epoch: 1,
        highest_task: TaskId(highest_task),
        instance: id,
    };
    let node = "n1".parse().unwrap();
    state.handle(
        Input::LinkUp {
            node,
            link: LinkId(id),
            hello: Box::new(hello),
        },
        Timestamp(1),
    )
}

#[test]
fn a_task_is_placed_in_the_turn_that_made_it() {
    let mut state = state();
    link(&mut state, 1, 0);
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
        tasks: vec![shell::command::TaskRef("1".into())],
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
    let mut state = state();
    link(&mut state, 1, 0);
    change(&mut state, "bob", Role::User, submit(plain())).unwrap();
    let node: NodeName = "n1".parse().unwrap();
    state.handle(
        Input::LinkDown {
            node: node.clone(),
            link: LinkId(1),
        },
        Timestamp(2),
    );
    state.handle(Input::Tick, Timestamp(1_000_000));
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Lost);
    link(&mut state, 2, 1);
    let attempt = AttemptId {
        task: TaskId(1),
        number: 1,
    };
    let phase = Phase::Ended {
        started: None,
        ended: Timestamp(3),
        end: End::Exited { code: 0 },
        output: OutputSize::default(),
    };
    let version = state.assignments(&node).version;
    let attempts = vec![AttemptReport { attempt, phase }];
    let observation = Observation {
        version,
        attempts,
        ..Observation::default()
    };
    let effects = state.handle(
        Input::Observed {
            node: node.clone(),
            link: LinkId(2),
            observation,
        },
        Timestamp(1_000_001),
    );
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Lost);
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Audit(entry) if entry.action == "late report"))
    );
    assert_eq!(state.assignments(&node).list[0].wanted, Wanted::Drop);
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

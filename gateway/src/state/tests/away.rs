//! Nodes that are away, and a store that was put back.

use super::*;

fn attempt(task: u64) -> AttemptId {
    AttemptId {
        task: TaskId(task),
        number: 1,
    }
}

/// Task 1 of bob's, on n1.
fn with(spec: TaskSpec) -> State {
    let mut state = state();
    link(&mut state, 1, 0);
    observed(&mut state, 1, None, 1);
    change(&mut state, "bob", Role::User, submit(spec)).unwrap();
    state
}

fn with_a_box() -> State {
    with(TaskSpec {
        vps: Some(cluster::task::Vps::default()),
        ..TaskSpec::of(Vec::new())
    })
}

/// One that a lost node may still speak of once stopped all forgetting.
#[test]
fn what_a_node_that_is_away_may_still_speak_of_keeps_nothing_else_in_memory() {
    let mut state = given_up(false);
    let settings = Settings {
        keep_ended: 1,
        ..Settings::default()
    };
    state.settings = Arc::new(settings);
    for id in 2..=5 {
        change(&mut state, "bob", Role::User, submit(plain())).unwrap();
        let tasks = vec![shell::command::TaskRef::task(id.to_string())];
        change(&mut state, "bob", Role::User, Change::TaskKill { tasks }).unwrap();
    }
    let left: Vec<u64> = state.tasks().map(|task| task.id.0).collect();
    assert_eq!(
        left,
        [1],
        "the first is fenced, the others are in the store"
    );
}

/// The copy knows it as waiting; it ran since, and its input went with its end.
#[test]
fn a_task_whose_input_is_gone_ends_and_frees_its_cores() {
    let mut state = with(plain());
    let other = Input::InputGone {
        attempt: AttemptId {
            number: 2,
            ..attempt(1)
        },
    };
    state.handle(other, Timestamp(2));
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Assigning);
    let gone = Input::InputGone {
        attempt: attempt(1),
    };
    state.handle(gone.clone(), Timestamp(2));
    let task = state.task(TaskId(1)).unwrap();
    let outcome = task.outcome.as_ref().unwrap();
    assert_eq!((task.state, outcome.code), (TaskState::Failed, 125));
    assert!(outcome.reason.as_ref().unwrap().contains("its input"));
    let list = state.assignments(&"n1".parse().unwrap()).list;
    assert_eq!(list[0].wanted, Wanted::Drop);
    // Said twice, and of one that runs: nothing.
    assert!(state.handle(gone, Timestamp(3)).is_empty());
}

/// A node with a higher epoch comes after another one: what that one loses is noticed all the same.
#[test]
fn a_higher_epoch_in_mid_life_does_not_hide_what_other_nodes_lose() {
    let mut before = state();
    link(&mut before, 1, 0);
    observed(&mut before, 1, None, 1);
    change(&mut before, "bob", Role::User, submit(plain())).unwrap();
    let started = Timestamp(1);
    observed(&mut before, 1, Some(Phase::Running { started }), 1);
    // The next life of the gateway, and a second node.
    let node = |name: &str| {
        let known = before.node(&"n1".parse().unwrap()).unwrap();
        Arc::new(Node {
            name: name.parse().unwrap(),
            ..(**known).clone()
        })
    };
    let counters = Counters {
        epoch: 2,
        task: 1,
        ..Counters::default()
    };
    let mut state = State::load(
        Settings::default(),
        counters,
        Directory::default(),
        vec![node("n1"), node("n2")],
        before.tasks().cloned().collect(),
        Timestamp(2),
    );
    link(&mut state, 1, 1);
    observed(&mut state, 1, Some(Phase::Running { started }), 3);
    let up = |name: &str, id, epoch| {
        let facts = node(name).facts.clone().unwrap();
        let hello = Hello {
            protocol: 1,
            newest: 2,
            facts,
            highest_epoch: epoch,
            highest_task: TaskId(1),
            instance: id,
        };
        Input::LinkUp {
            node: name.parse().unwrap(),
            link: LinkId(id),
            hello: Box::new(hello),
        }
    };
    let effects = state.handle(up("n2", 2, 8), Timestamp(4));
    let told = |effect: &Effect| matches!(effect, Effect::Publish(name) if name.as_str() == "n1");
    assert!(effects.iter().any(told), "{effects:?}");
    observed(&mut state, 1, None, 5);
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Lost);
}

/// The node was unreachable for ever then, although its newer connection stood.
#[test]
fn of_two_connections_the_newer_one_counts_whichever_is_heard_first() {
    let mut state = state();
    let name: NodeName = "n1".parse().unwrap();
    link(&mut state, 7, 0);
    let effects = link(&mut state, 6, 0);
    assert!(effects.is_empty(), "{effects:?}");
    let node = name.clone();
    let link = LinkId(6);
    state.handle(Input::LinkDown { node, link }, Timestamp(2));
    assert_eq!(state.link(&name).map(|link| link.id), Some(LinkId(7)));
}

/// After a restore its node was given up, and it was made anew on another: what was forgotten on the first lay there for
/// ever.
#[test]
fn a_box_is_kept_only_where_its_disk_is() {
    let mut state = with_a_box();
    let (here, elsewhere) = ("n1".parse().unwrap(), "n2".parse().unwrap());
    state.fence(&elsewhere, attempt(1), Wanted::Drop, &mut Vec::new());
    let keeps = |node| state.assignments(node).list[0].keeps_box;
    assert!(keeps(&here) && !keeps(&elsewhere));
}

/// Deleted while it waited for its next life, and the gateway fell before its node heard of it.
#[test]
fn a_box_that_was_deleted_unheard_goes_when_its_node_shows_it() {
    let mut state = with_a_box();
    let mut task = (**state.task(TaskId(1)).unwrap()).clone();
    task.placement = None;
    state.delete(task, Timestamp(2), &mut Vec::new());
    let name: NodeName = "n1".parse().unwrap();
    state.fenced.clear();
    let shows = |state: &mut State, held: &[AttemptId]| {
        let stranger = |held: &AttemptId| Stranger {
            name: "river-1.0".to_owned(),
            attempt: Some(*held),
        };
        let observation = Observation {
            version: state.assignments(&name).version,
            strangers: held.iter().map(stranger).collect(),
            ..Observation::default()
        };
        let (node, link) = (name.clone(), LinkId(1));
        let input = Input::Observed {
            node,
            link,
            observation,
        };
        state.handle(input, Timestamp(3))
    };
    let held = AttemptId {
        number: 0,
        ..attempt(1)
    };
    assert!(!shows(&mut state, &[held]).is_empty());
    let list = state.assignments(&name).list;
    assert_eq!(
        (list[0].attempt, list[0].wanted),
        (attempt(1), Wanted::Drop)
    );
    assert!(!list[0].keeps_box);
    assert!(shows(&mut state, &[held]).is_empty(), "said once");
    shows(&mut state, &[]);
    assert!(state.assignments(&name).list.is_empty(), "until it is gone");
}

/// The gateway was stopped for most of the time in which a node is given up.
#[test]
fn a_node_that_nobody_listened_to_was_not_silent() {
    let mut state = with(plain());
    let down = Input::LinkDown {
        node: "n1".parse().unwrap(),
        link: LinkId(1),
    };
    state.handle(down, Timestamp(2000));
    state.excuse(Duration::from_secs(400));
    assert_eq!(state.next_deadline(), Some(Timestamp(702_000)));
    state.handle(Input::Tick, Timestamp(701_999));
    let of = |state: &State| state.task(TaskId(1)).unwrap().state;
    assert_eq!(of(&state), TaskState::Assigning);
    state.handle(Input::Tick, Timestamp(702_000));
    assert_eq!(of(&state), TaskState::Lost);
}

/// A node that lies about its clock ended the gateway: its store has no such time.
#[test]
fn a_time_that_has_not_come_is_not_believed() {
    let mut state = with(plain());
    let (started, ended) = (Some(Timestamp(u64::MAX)), Timestamp(u64::MAX));
    let end = End::Exited { code: 3 };
    let output = OutputSize::default();
    let phase = Phase::Ended {
        started,
        ended,
        end,
        output,
    };
    observed(&mut state, 1, Some(phase), 7);
    let task = state.task(TaskId(1)).unwrap();
    let now = Some(Timestamp(7));
    assert_eq!((task.started, task.ended), (now, now));
}

/// Its disk is another one: a task would begin twice, and a box be there without its files.
#[test]
fn what_began_on_a_node_that_was_made_anew_is_over() {
    let mut state = with(plain());
    let started = Timestamp(1);
    observed(&mut state, 1, Some(Phase::Running { started }), 1);
    let mut hello = hello(2, 0);
    hello.highest_epoch = 0;
    let up = Input::LinkUp {
        node: "n1".parse().unwrap(),
        link: LinkId(2),
        hello: Box::new(hello),
    };
    state.handle(up, Timestamp(3));
    assert_eq!(state.task(TaskId(1)).unwrap().state, TaskState::Lost);
    let list = state.assignments(&"n1".parse().unwrap()).list;
    assert!(list.iter().all(|own| own.wanted != Wanted::Run), "{list:?}");
}

/// Only the store knew that it was over: it ran on, and its cores were given twice.
#[test]
fn what_the_store_alone_knows_to_be_over_ends_when_its_node_shows_it() {
    let state = given_up(false);
    let over = Arc::clone(state.task(TaskId(1)).unwrap());
    assert_eq!(over.state, TaskState::Lost);
    // Another life of the gateway: so long ago that it was not read.
    let counters = state.counters;
    let nodes = state.nodes.values().cloned().collect();
    let directory = state.directory().clone();
    let mut state = State::load(
        Settings::default(),
        counters,
        directory,
        nodes,
        Vec::new(),
        Timestamp(2),
    );
    link(&mut state, 2, 1);
    let started = Timestamp(1);
    let asks = |effects: Vec<Effect>| {
        let recalls = |effect: &Effect| matches!(effect, Effect::Recall { .. });
        effects.iter().filter(|effect| recalls(effect)).count()
    };
    let running = || Some(Phase::Running { started });
    assert_eq!(asks(observed(&mut state, 2, running(), 3)), 1);
    assert_eq!(asks(observed(&mut state, 2, running(), 4)), 0, "asked once");
    let recalled = Input::Recalled {
        node: "n1".parse().unwrap(),
        attempt: attempt(1),
        task: over,
    };
    state.handle(recalled, Timestamp(5));
    let list = state.assignments(&"n1".parse().unwrap()).list;
    assert_eq!(list[0].wanted, Wanted::Stop(StopReason::Fenced));
}

/// The first to end took the input of the others with it.
#[test]
fn tasks_of_one_submit_share_their_input_until_the_last_has_ended() {
    let mut state = state();
    let spec = TaskSpec {
        stdin: Stdin::Spooled,
        ..plain()
    };
    let Change::Submit(mut submit) = submit(spec.clone()) else {
        unreachable!()
    };
    submit.specs.push(spec);
    submit.spool = Some(cluster::task::Spool {
        file: "f".to_owned(),
        length: 1,
    });
    change(&mut state, "bob", Role::User, Change::Submit(submit)).unwrap();
    let mut kill = |id: &str| {
        let input = Input::Change {
            ticket: Ticket(1),
            actor: actor("bob", Role::User),
            change: Change::TaskKill {
                tasks: vec![shell::command::TaskRef::task(id)],
            },
            dice: [3; 32],
        };
        let effects = state.handle(input, Timestamp(2));
        let dropped = |effect: &Effect| matches!(effect, Effect::DropSpool(_));
        effects.iter().any(dropped)
    };
    assert!(!kill("1"));
    assert!(kill("2"));
}

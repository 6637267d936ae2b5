//! What the audit log says of a submit: which tasks it made.

use super::*;

fn submitted(state: &mut State, specs: Vec<TaskSpec>) -> String {
    let change = Change::Submit(Submit {
        specs,
        ..Submit::default()
    });
    let input = Input::Change {
        ticket: Ticket(1),
        actor: actor("bob", Role::User),
        change,
        dice: [3; 32],
    };
    let effects = state.handle(input, Timestamp(1));
    let entry = effects.into_iter().find_map(|effect| {
        let Effect::Audit(entry) = effect else {
            return None;
        };
        Some(entry.object)
    });
    entry.unwrap()
}

fn keyed(key: &str) -> TaskSpec {
    TaskSpec {
        key: Some(key.to_owned()),
        ..TaskSpec::of(vec!["make".to_owned(), "all".to_owned()])
    }
}

#[test]
fn a_submit_is_noted_by_its_numbers() {
    let mut state = state();
    assert_eq!(submitted(&mut state, vec![keyed("a")]), "task-1: make");
    assert_eq!(
        submitted(&mut state, vec![keyed("a")]),
        "task-1 again: make"
    );
    let three = ["b", "a", "c"].map(keyed);
    let noted = submitted(&mut state, three.into());
    assert_eq!(noted, "task-2..task-3: 3 tasks: make");
}

//! What is not over is in memory: nobody has all of that.

use shell::Kind;
use shell::command::TaskRef;

use super::*;

/// Room for some of these.
const UNENDED: usize = 1 << 20;

fn long() -> TaskSpec {
    TaskSpec::of(vec!["echo".to_owned(), "x".repeat(100 << 10)])
}

#[test]
fn one_accounts_tasks_fill_their_part_of_memory_and_others_have_theirs() {
    let mut state = state();
    state.settings = Arc::new(Settings {
        unended: UNENDED,
        ..Settings::default()
    });
    let most = UNENDED / long().weight();
    for _ in 0..most {
        change(&mut state, "bob", Role::User, submit(long())).unwrap();
    }
    let refused = change(&mut state, "bob", Role::User, submit(long())).unwrap_err();
    assert_eq!(refused.kind, Kind::Busy);
    assert!(refused.sentence.contains("bob: "), "{}", refused.sentence);
    assert_eq!(state.tasks().count(), most, "nothing has changed");
    change(&mut state, "alice", Role::Admin, submit(long())).unwrap();
    // What has ended is in the store.
    let tasks = vec![TaskRef::task("1")];
    change(&mut state, "bob", Role::User, Change::TaskKill { tasks }).unwrap();
    change(&mut state, "bob", Role::User, submit(long())).unwrap();
    change(&mut state, "bob", Role::User, submit(long())).unwrap_err();
}

//! What follows from a list of the gateway, one assignment at a time. Pure.

use std::collections::BTreeMap;

use cluster::{Assignment, AttemptId, Wanted};

use super::{Attempt, Kept};

/// What is to be done about it outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// A new attempt: into the journal before anything is made of it.
    Begins,
    /// Another wish, into the journal: a runner that starts anew must not begin what was stopped meanwhile.
    Changes,
    Nothing,
}

/// Takes one assignment of a list that is obeyed.
pub fn take(attempts: &mut BTreeMap<AttemptId, Attempt>, assignment: &Assignment) -> Follows {
    if let Some(attempt) = attempts.get_mut(&assignment.attempt) {
        return if attempt.hear(assignment) {
            Follows::Changes
        } else {
            Follows::Nothing
        };
    }
    let begins = matches!(assignment.wanted, Wanted::Run | Wanted::Pause);
    // The attempt is forgotten, and its box is to go all the same: in the journal, that is not forgotten.
    let box_goes =
        assignment.wanted == Wanted::Drop && assignment.spec.vps.is_some() && !assignment.keeps_box;
    if !begins && !box_goes {
        // Over before it was here: nothing to begin, and nothing to remember.
        return Follows::Nothing;
    }
    let mut attempt = Attempt::new(assignment.clone());
    attempt.kept = Kept::Nothing;
    attempts.insert(assignment.attempt, attempt);
    Follows::Begins
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cluster::task::Vps;
    use cluster::{TaskId, TaskSpec};

    use super::super::{Action, next};
    use super::*;

    /// A runner that fell before the box was gone left it there for ever: only the journal outlives it.
    #[test]
    fn a_box_that_is_to_go_is_in_the_journal_until_it_is_gone() {
        let id = AttemptId {
            task: TaskId(1),
            number: 2,
        };
        let mut assignment = Assignment {
            attempt: id,
            owner: "alice".parse().unwrap(),
            spec: Arc::new(TaskSpec {
                vps: Some(Vps::default()),
                ..TaskSpec::of(Vec::new())
            }),
            cores: Vec::new(),
            spooled: None,
            wanted: Wanted::Drop,
            keeps_box: true,
        };
        let mut attempts = BTreeMap::new();
        assert_eq!(take(&mut attempts, &assignment), Follows::Nothing);
        assignment.keeps_box = false;
        assert_eq!(take(&mut attempts, &assignment), Follows::Begins);
        let due = next(&attempts[&id], 0, cluster::Timestamp(1));
        assert_eq!(due, Some(Action::Drop), "nothing of it begins");
    }

    /// After a restore of the gateway the same number was given again, with other cores: the node used the first ones,
    /// which the gateway gave to somebody else.
    #[test]
    fn what_has_not_begun_begins_with_what_the_newest_list_gives_it() {
        let id = AttemptId {
            task: TaskId(1),
            number: 2,
        };
        let assignment = Assignment {
            attempt: id,
            owner: "alice".parse().unwrap(),
            spec: Arc::new(TaskSpec::of(vec!["true".to_owned()])),
            cores: vec![1],
            spooled: None,
            wanted: Wanted::Run,
            keeps_box: false,
        };
        let elsewhere = Assignment {
            cores: vec![2],
            ..assignment.clone()
        };
        let mut attempts = BTreeMap::new();
        assert_eq!(take(&mut attempts, &assignment), Follows::Begins);
        assert_eq!(take(&mut attempts, &elsewhere), Follows::Changes);
        assert_eq!(attempts[&id].assignment.cores, [2]);
    }
}

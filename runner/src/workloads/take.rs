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
    /// The attempt is forgotten, and this box of it is to go all the same.
    BoxGoes(AttemptId),
    Nothing,
}

/// Takes one assignment of a list that is obeyed.
pub fn take(attempts: &mut BTreeMap<AttemptId, Attempt>, assignment: &Assignment) -> Follows {
    match attempts.get_mut(&assignment.attempt) {
        Some(attempt) => {
            let known = &mut attempt.assignment;
            let wish = (assignment.wanted, assignment.keeps_box);
            if (known.wanted, known.keeps_box) == wish {
                return Follows::Nothing;
            }
            (known.wanted, known.keeps_box) = wish;
            Follows::Changes
        }
        None if assignment.wanted == Wanted::Drop
            && assignment.spec.vps.is_some()
            && !assignment.keeps_box =>
        {
            Follows::BoxGoes(assignment.box_id())
        }
        // Over before it was here: nothing to begin, and nothing to remember.
        None if assignment.wanted != Wanted::Run && assignment.wanted != Wanted::Pause => {
            Follows::Nothing
        }
        None => {
            let mut attempt = Attempt::new(assignment.clone());
            attempt.kept = Kept::Nothing;
            attempts.insert(assignment.attempt, attempt);
            Follows::Begins
        }
    }
}

//! Every permission decision, as one table. Default deny: what no rule allows is refused.

use crate::{Actor, Role, UserName};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Version, nodes, the caller's own account.
    ReadCluster,
    /// State, reasons and output of tasks.
    ReadTask,
    /// A plain task.
    SubmitTask,
    /// A task with a privileged container.
    SubmitPrivileged,
    /// A task that mounts a path of its node.
    SubmitMount,
    /// A task above ordinary priority.
    SubmitUrgent,
    /// Kill, pause, resume.
    ControlTask,
    /// Its live output and input, or a shell beside it.
    EnterTask,
    /// Invite, drain, undrain, remove nodes.
    OperateNodes,
    /// Make an account of this role.
    Invite(Role),
    /// Keys of an account.
    EditKeys,
    /// Audit log, gateway configuration.
    ReadAudit,
    /// Role and standing of other accounts.
    EditAccounts,
}

/// On whose thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The cluster itself, or things of everybody.
    Cluster,
    /// A task, its output, or an account.
    OwnedBy(&'a UserName),
}

/// Proof that a judgement was made; only [`judge`] can build one.
#[derive(Debug)]
pub struct Permit(());

/// Why not; the caller adds what the object was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("it belongs to {owner}")]
    NotYours { owner: UserName, needed: Role },
    #[error("this needs the role {needed}, and yours is {yours}")]
    NeedsRole { needed: Role, yours: Role },
}

/// May `actor` do `action` on `subject`?
///
/// # Errors
/// [`Denial`] says why not.
pub fn judge(actor: &Actor, action: Action, subject: Subject<'_>) -> Result<Permit, Denial> {
    let own = matches!(subject, Subject::OwnedBy(owner) if *owner == actor.account);
    let shared = matches!(subject, Subject::Cluster);
    let needed = match action {
        Action::ReadCluster | Action::SubmitTask => Role::User,
        Action::ReadTask | Action::ControlTask | Action::EnterTask | Action::EditKeys if own => {
            Role::User
        }
        Action::ReadTask | Action::ControlTask => Role::Operator,
        // Whose input and keys these are is not the cluster's business.
        Action::EnterTask | Action::EditKeys => Role::Admin,
        Action::SubmitPrivileged | Action::SubmitMount | Action::SubmitUrgent => Role::Operator,
        Action::OperateNodes | Action::ReadAudit => Role::Operator,
        Action::Invite(Role::User) => Role::Operator,
        Action::Invite(Role::Operator | Role::Admin) | Action::EditAccounts => Role::Admin,
    };
    if actor.role >= needed {
        return Ok(Permit(()));
    }
    Err(match subject {
        Subject::OwnedBy(owner) if !own && !shared => Denial::NotYours {
            owner: owner.clone(),
            needed,
        },
        Subject::OwnedBy(_) | Subject::Cluster => Denial::NeedsRole {
            needed,
            yours: actor.role,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(account: &str, role: Role) -> Actor {
        let account = account.parse().unwrap();
        Actor {
            account,
            role,
            proof: String::new(),
        }
    }

    #[test]
    fn a_task_belongs_to_its_owner() {
        let alice: UserName = "alice".parse().unwrap();
        let bob = actor("bob", Role::User);
        for action in [Action::ReadTask, Action::ControlTask, Action::EnterTask] {
            let denial = judge(&bob, action, Subject::OwnedBy(&alice)).unwrap_err();
            assert_eq!(
                denial,
                Denial::NotYours {
                    owner: alice.clone(),
                    needed: if action == Action::EnterTask {
                        Role::Admin
                    } else {
                        Role::Operator
                    },
                }
            );
            assert!(
                judge(
                    &actor("alice", Role::User),
                    action,
                    Subject::OwnedBy(&alice)
                )
                .is_ok()
            );
        }
    }

    #[test]
    fn privilege_mounts_and_nodes_are_for_operators() {
        for action in [
            Action::SubmitPrivileged,
            Action::SubmitMount,
            Action::OperateNodes,
        ] {
            assert!(judge(&actor("bob", Role::User), action, Subject::Cluster).is_err());
            assert!(judge(&actor("olga", Role::Operator), action, Subject::Cluster).is_ok());
        }
    }

    #[test]
    fn nobody_makes_an_account_above_their_own() {
        for role in Role::ALL {
            for invited in Role::ALL {
                let may =
                    judge(&actor("a", role), Action::Invite(invited), Subject::Cluster).is_ok();
                assert!(!may || invited <= role, "{role} invites {invited}");
            }
        }
    }
}

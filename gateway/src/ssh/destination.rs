//! What a login name addresses. Pure. The explicit forms always address; every other name is the shell.

use cluster::TaskId;

/// Where a login name leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    Shell,
    /// `task-17@`
    Task(TaskId),
    /// `vps-42@`
    Vps(TaskId),
    /// `invite-CODE@`: the code.
    Invite(String),
    /// `join@`: a runner with a token.
    Join,
    /// `node@`: a runner with a certificate.
    Node,
}

impl Destination {
    #[must_use]
    pub fn of(login: &str) -> Self {
        if let Some(code) = login.strip_prefix("invite-") {
            return Self::Invite(code.to_ascii_lowercase());
        }
        let id = |prefix: &str| {
            login
                .strip_prefix(prefix)
                .and_then(|text| text.parse().ok())
        };
        match login {
            "join" => Self::Join,
            "node" => Self::Node,
            _ => match (id("task-"), id("vps-")) {
                (Some(id), _) => Self::Task(id),
                (None, Some(id)) => Self::Vps(id),
                (None, None) => Self::Shell,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_name_is_the_place() {
        assert_eq!(Destination::of("alice"), Destination::Shell);
        assert_eq!(Destination::of("root"), Destination::Shell);
        assert_eq!(Destination::of("task-17"), Destination::Task(TaskId(17)));
        assert_eq!(Destination::of("vps-42"), Destination::Vps(TaskId(42)));
        assert_eq!(
            Destination::of("invite-ABC"),
            Destination::Invite("abc".into())
        );
        assert_eq!(Destination::of("join"), Destination::Join);
        assert_eq!(Destination::of("task-x"), Destination::Shell);
    }
}

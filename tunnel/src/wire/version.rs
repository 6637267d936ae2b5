//! Which versions understand each other. Both ends of a link judge alike, and say the same sentence.

use serde::Deserialize;

use super::message::{FromRunner, Hello, Join, Welcome};
use super::{OLDEST, PROTOCOL};

/// What a program speaks, from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub oldest: u32,
    pub newest: u32,
}

/// Of this program.
pub const OURS: Versions = Versions {
    oldest: OLDEST,
    newest: PROTOCOL,
};

impl Versions {
    /// `newest` is 0 where the peer is of the first version, which named one number.
    const fn said(oldest: u32, newest: u32) -> Self {
        let newest = if newest < oldest { oldest } else { newest };
        Self { oldest, newest }
    }

    /// What two of them speak: the newest that both know. `None`: they are too far apart.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "protocol {}", self.oldest)?;
        if self.newest > self.oldest {
            write!(f, " to {}", self.newest)?;
        }
        Ok(())
    }
}

impl Hello {
    #[must_use]
    pub const fn versions(&self) -> Versions {
        Versions::said(self.protocol, self.newest)
    }
}

impl Join {
    #[must_use]
    pub const fn versions(&self) -> Versions {
        Versions::said(self.protocol, self.newest)
    }
}

impl Welcome {
    #[must_use]
    pub const fn versions(&self) -> Versions {
        Versions::said(self.protocol, self.newest)
    }
}

/// Can a runner and a gateway talk? Each is named by its program's version.
///
/// # Errors
/// One sentence with both versions, and which of them is to be upgraded.
pub fn judge(runner: (&str, Versions), gateway: (&str, Versions)) -> Result<u32, String> {
    runner.1.common(gateway.1).ok_or_else(|| {
        let older = if runner.1.newest < gateway.1.newest {
            "the runner"
        } else {
            "the gateway"
        };
        format!(
            "river-runner {} speaks {}, river-gateway {} speaks {}: upgrade {older}",
            runner.0, runner.1, gateway.0, gateway.1
        )
    })
}

/// The little of a hello that every version says alike.
#[derive(Deserialize)]
struct First {
    hello: Head,
}

#[derive(Deserialize)]
struct Head {
    protocol: u32,
    #[serde(default)]
    newest: u32,
    #[serde(default)]
    facts: Facts,
}

#[derive(Default, Deserialize)]
struct Facts {
    #[serde(default)]
    runner_version: String,
}

/// Why a first frame is no hello of somebody to talk with.
#[derive(Debug, PartialEq, Eq)]
pub enum NoHello {
    /// No runner speaks so.
    Nonsense,
    /// A runner of another version; one sentence.
    Foreign(String),
}

/// Reads a runner's first frame, at a gateway whose program has this version.
///
/// # Errors
/// [`NoHello`]
pub fn hello(body: &[u8], gateway: &str) -> Result<Hello, NoHello> {
    let First { hello: head } = serde_json::from_slice(body).map_err(|_| NoHello::Nonsense)?;
    let program: String = head.facts.runner_version.chars().take(64).collect();
    judge(
        (&program, Versions::said(head.protocol, head.newest)),
        (gateway, OURS),
    )
    .map_err(NoHello::Foreign)?;
    match serde_json::from_slice(body) {
        Ok(FromRunner::Hello(hello)) => Ok(*hello),
        Ok(FromRunner::Observed(_) | FromRunner::Pong) => Err(NoHello::Nonsense),
        // It has something that this version does not know, such as another engine.
        Err(error) => Err(NoHello::Foreign(format!(
            "river-runner {program} says of its node what river-gateway {gateway} does not understand ({error}): \
             upgrade the gateway"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn versions(oldest: u32, newest: u32) -> Versions {
        Versions { oldest, newest }
    }

    #[test]
    fn neighbours_speak_the_newest_that_both_know() {
        assert_eq!(versions(1, 2).common(versions(1, 1)), Some(1));
        assert_eq!(versions(1, 2).common(versions(2, 3)), Some(2));
        assert_eq!(versions(2, 3).common(versions(2, 3)), Some(3));
        assert_eq!(versions(1, 1).common(versions(2, 3)), None);
    }

    #[test]
    fn those_too_far_apart_are_named_with_the_one_to_upgrade() {
        let said = judge(("0.1.0", versions(1, 1)), ("0.3.0", versions(2, 3)));
        assert_eq!(
            said.unwrap_err(),
            "river-runner 0.1.0 speaks protocol 1, river-gateway 0.3.0 speaks protocol 2 to 3: upgrade the runner"
        );
        let said = judge(("0.3.0", versions(2, 3)), ("0.1.0", versions(1, 1)));
        assert!(said.unwrap_err().ends_with(": upgrade the gateway"));
    }

    #[test]
    fn a_hello_that_only_a_newer_gateway_understands_is_refused_by_name() {
        let foreign = |text: &str| match hello(text.as_bytes(), "0.1.0") {
            Err(NoHello::Foreign(why)) => why,
            other => format!("{other:?}"),
        };
        let why =
            foreign(r#"{"hello":{"protocol":8,"newest":9,"facts":{"runner_version":"3.0.0"}}}"#);
        assert!(
            why.starts_with("river-runner 3.0.0 speaks protocol 8 to 9, river-gateway 0.1.0"),
            "{why}"
        );
        let why = foreign(r#"{"hello":{"protocol":1,"newest":9,"facts":{"engine":"steam"}}}"#);
        assert!(
            why.contains("does not understand") && why.ends_with("upgrade the gateway"),
            "{why}"
        );
        for bad in ["7", "{}", r#""pong""#, "{\"hello\":7}", "\u{1}"] {
            assert_eq!(
                hello(bad.as_bytes(), "0.1.0").unwrap_err(),
                NoHello::Nonsense
            );
        }
    }
}

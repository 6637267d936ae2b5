//! Names that are parsed once and valid ever after.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of an account or node, in bytes.
pub const LONGEST: usize = 32;

/// Login names that address something else or would mislead.
const RESERVED: [&str; 5] = ["root", "admin", "node", "join", "river"];

/// Login names with these beginnings always address (`product.md` §1).
const RESERVED_PREFIXES: [&str; 4] = ["task-", "vps-", "invite-", "node-"];

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("a name is 1 to {LONGEST} of a-z, 0-9 and '-', and begins with a letter")]
    Spelling,
    #[error("this name is reserved")]
    Reserved,
}

fn check(text: &str) -> Result<(), BadName> {
    let spelt = (1..=LONGEST).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if spelt {
        Ok(())
    } else {
        Err(BadName::Spelling)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                check(text)?;
                let further: fn(&str) -> Result<(), BadName> = $check;
                further(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// An account. Never a login name that addresses something else.
    UserName,
    |text| {
        let taken = RESERVED.contains(&text) || RESERVED_PREFIXES.iter().any(|p| text.starts_with(p));
        if taken { Err(BadName::Reserved) } else { Ok(()) }
    }
);

name!(
    /// A machine that runs tasks.
    NodeName,
    |_| Ok(())
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_short() {
        for good in ["a", "alice", "n1", "gpu-box-2", &"a".repeat(32)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "1a",
            "-a",
            "Alice",
            "a b",
            "a\x1b[2J",
            "é",
            "a.b",
            "a/b",
            &"a".repeat(33),
        ] {
            assert_eq!(bad.parse::<NodeName>(), Err(BadName::Spelling), "{bad:?}");
        }
    }

    #[test]
    fn an_account_never_bears_an_address() {
        for bad in ["root", "join", "task-1", "vps-x", "invite-abc"] {
            assert_eq!(bad.parse::<UserName>(), Err(BadName::Reserved), "{bad}");
        }
    }
}

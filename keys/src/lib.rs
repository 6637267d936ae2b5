//! Who is asking, how we know, and what they may do. Values only: no clock, file or socket.
#![warn(clippy::indexing_slicing, clippy::panic, clippy::string_slice)]

pub mod actor;
#[cfg(feature = "ssh")]
pub mod authority;
#[cfg(feature = "ssh")]
pub mod certificate;
pub mod directory;
pub mod name;
pub mod policy;
#[cfg(all(feature = "ssh", any(test, feature = "properties")))]
pub mod properties;
#[cfg(feature = "ssh")]
pub mod public_key;
pub mod role;
#[cfg(feature = "ssh")]
pub mod token;

pub use actor::Actor;
pub use directory::{Account, AccountKey, Directory, Invitation, JoinToken};
pub use name::{BadName, NodeName, UserName};
pub use policy::{Action, Denial, Permit, Subject, judge};
#[cfg(feature = "ssh")]
pub use public_key::{AccountKeyLine, BadKey};
pub use role::Role;

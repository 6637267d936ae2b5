//! The authenticated person behind a request.

use serde::{Deserialize, Serialize};

use crate::{Role, UserName};

/// Made only where a credential was proved (`keys::Directory`), by the machine's own operator at the
/// console, and in tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    pub account: UserName,
    pub role: Role,
    /// What proved it: an OpenSSH key fingerprint (`SHA256:…`) for the audit log.
    pub proof: String,
}

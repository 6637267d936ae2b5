//! Accounts, keys and standing invitations in memory. Built from records; finds the actor for a key.
//!
//! All times are milliseconds since the Unix epoch.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Actor, NodeName, Role, UserName};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: UserName,
    pub role: Role,
    /// Signs in no more; its tasks go on.
    pub disabled: bool,
    pub created: u64,
}

/// A public key that signs its account in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountKey {
    pub account: UserName,
    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// `ssh-ed25519`, …
    pub algorithm: String,
    /// The OpenSSH public key line without its comment.
    pub line: String,
    pub comment: String,
    pub added: u64,
}

/// The right to become an account, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// SHA-256 of the code, hex; the code itself is never stored.
    pub hash: String,
    pub role: Role,
    /// The account it makes, or adds a key to; `None`: the newcomer chooses.
    pub name: Option<UserName>,
    /// `None`: the gateway's own first start.
    pub by: Option<UserName>,
    pub expires: u64,
}

/// The right to become a node, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// SHA-256 of the token's secret, hex.
    pub hash: String,
    pub node: NodeName,
    pub by: UserName,
    pub expires: u64,
}

/// Everything that proves somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    accounts: BTreeMap<UserName, Account>,
    /// By fingerprint: a key names one account.
    keys: BTreeMap<String, AccountKey>,
    /// By hash.
    invitations: BTreeMap<String, Invitation>,
    join_tokens: BTreeMap<String, JoinToken>,
}

impl Directory {
    /// The person behind a key whose possession was proved. `None`: unknown, or disabled.
    #[must_use]
    pub fn actor(&self, fingerprint: &str) -> Option<Actor> {
        let key = self.keys.get(fingerprint)?;
        let account = self.accounts.get(&key.account).filter(|a| !a.disabled)?;
        Some(Actor {
            account: account.name.clone(),
            role: account.role,
            proof: fingerprint.to_owned(),
        })
    }

    #[must_use]
    pub fn account(&self, name: &UserName) -> Option<&Account> {
        self.accounts.get(name)
    }

    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    #[must_use]
    pub fn key(&self, fingerprint: &str) -> Option<&AccountKey> {
        self.keys.get(fingerprint)
    }

    pub fn keys_of<'a>(&'a self, name: &'a UserName) -> impl Iterator<Item = &'a AccountKey> {
        self.keys.values().filter(move |key| key.account == *name)
    }

    /// The invitation with this hash, while it lasts.
    #[must_use]
    pub fn invitation(&self, hash: &str, now: u64) -> Option<&Invitation> {
        self.invitations
            .get(hash)
            .filter(|invitation| invitation.expires > now)
    }

    /// The join token with this hash, while it lasts.
    #[must_use]
    pub fn join_token(&self, hash: &str, now: u64) -> Option<&JoinToken> {
        self.join_tokens
            .get(hash)
            .filter(|token| token.expires > now)
    }

    pub fn put_account(&mut self, account: Account) {
        self.accounts.insert(account.name.clone(), account);
    }

    pub fn put_key(&mut self, key: AccountKey) {
        self.keys.insert(key.fingerprint.clone(), key);
    }

    pub fn remove_key(&mut self, fingerprint: &str) -> Option<AccountKey> {
        self.keys.remove(fingerprint)
    }

    pub fn put_invitation(&mut self, invitation: Invitation) {
        self.invitations.insert(invitation.hash.clone(), invitation);
    }

    pub fn remove_invitation(&mut self, hash: &str) -> Option<Invitation> {
        self.invitations.remove(hash)
    }

    pub fn put_join_token(&mut self, token: JoinToken) {
        self.join_tokens.insert(token.hash.clone(), token);
    }

    pub fn remove_join_token(&mut self, hash: &str) -> Option<JoinToken> {
        self.join_tokens.remove(hash)
    }

    /// Hashes of what has expired by `now`: invitations, join tokens.
    #[must_use]
    pub fn expired(&self, now: u64) -> (Vec<String>, Vec<String>) {
        let invitations = self.invitations.values().filter(|i| i.expires <= now);
        let tokens = self.join_tokens.values().filter(|t| t.expires <= now);
        (
            invitations.map(|i| i.hash.clone()).collect(),
            tokens.map(|t| t.hash.clone()).collect(),
        )
    }
}

//! Accounts, keys and invitations.

use std::sync::Arc;

use cluster::Timestamp;
use keys::{Account, AccountKey, AccountKeyLine, Actor, Invitation, Role, UserName, token};
use shell::reply::{AccountRow, KeyRow};
use shell::{Failure, Kind, Reply};

use super::{AuditEntry, Dice, Effect, Record, State};

/// How long the first operator's invitation lasts, in milliseconds: a day.
const FIRST_LIFETIME_MS: u64 = 24 * 3600 * 1000;

impl State {
    /// While there is no account at all: an invitation for the first, an admin. Its code and record.
    #[must_use]
    pub fn first_invitation(
        &mut self,
        dice: &Dice,
        now: Timestamp,
    ) -> Option<(String, Vec<Effect>)> {
        if self.directory.accounts().next().is_some() {
            return None;
        }
        let code = token::mint(dice);
        let invitation = Invitation {
            hash: token::hash(&code),
            role: Role::Admin,
            name: None,
            by: None,
            expires: now.0.saturating_add(FIRST_LIFETIME_MS),
        };
        Arc::make_mut(&mut self.directory).put_invitation(invitation.clone());
        Some((code, vec![Effect::Save(Record::Invitation(invitation))]))
    }

    pub(super) fn on_invite(
        &mut self,
        actor: &Actor,
        (role, name): (Role, Option<&UserName>),
        lifetime_ms: u64,
        dice: &Dice,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        if let Some(name) = name.filter(|name| self.directory.account(name).is_some()) {
            return Err(
                Failure::new(Kind::Failed, format!("{name}: this account exists"))
                    .hint("its owner adds keys by `auth key add`"),
            );
        }
        let code = token::mint(dice);
        let expires = Timestamp(now.0.saturating_add(lifetime_ms));
        let invitation = Invitation {
            hash: token::hash(&code),
            role,
            name: name.cloned(),
            by: Some(actor.account.clone()),
            expires: expires.0,
        };
        Arc::make_mut(&mut self.directory).put_invitation(invitation.clone());
        out.push(Effect::Save(Record::Invitation(invitation)));
        Ok(Reply::Invited {
            code,
            role,
            name: name.cloned(),
            expires,
        })
    }

    /// `invite-CODE@`: the key that proved itself becomes the account's.
    pub(super) fn on_enrol(
        &mut self,
        hash: &str,
        key: AccountKeyLine,
        wish: Option<UserName>,
        dice: &Dice,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Account, Failure> {
        let invitation = self
            .directory
            .invitation(hash, now.0)
            .cloned()
            .ok_or_else(|| {
                Failure::new(Kind::Denied, "this invitation is unknown, used or expired")
                    .hint("ask for a new one: `auth invite`")
            })?;
        if let Some(known) = self.directory.key(&key.fingerprint) {
            let sentence = format!(
                "{}: this key belongs to {} already",
                key.fingerprint, known.account
            );
            return Err(Failure::new(Kind::Failed, sentence)
                .hint("just sign in with it, or choose another key by `ssh -i`"));
        }
        let name = match (&invitation.name, wish) {
            (Some(name), Some(wish)) if *name != wish => {
                let sentence = format!("{wish}: this invitation is for {name}");
                return Err(Failure::new(Kind::Denied, sentence).hint("leave the name out"));
            }
            (Some(name), _) => name.clone(),
            (None, Some(wish)) => wish,
            (None, None) => self.free_name(dice),
        };
        if self.directory.account(&name).is_some() {
            return Err(
                Failure::new(Kind::Failed, format!("{name}: this account exists"))
                    .hint("give another name after the address: `ssh invite-…@river NAME`"),
            );
        }
        let account = Account {
            name: name.clone(),
            role: invitation.role,
            disabled: false,
            created: now.0,
        };
        let directory = Arc::make_mut(&mut self.directory);
        directory.remove_invitation(hash);
        directory.put_account(account.clone());
        out.push(Effect::Save(Record::InvitationRemoved {
            hash: hash.to_owned(),
        }));
        out.push(Effect::Save(Record::Account(account.clone())));
        let fingerprint = key.fingerprint.clone();
        self.put_key(name.clone(), key, now, out);
        out.push(Effect::Audit(AuditEntry {
            at: now,
            account: name.to_string(),
            action: "enrol".to_owned(),
            object: fingerprint,
            verdict: "done".to_owned(),
        }));
        Ok(account)
    }

    fn free_name(&self, dice: &Dice) -> UserName {
        let mut number = u32::from(dice[2]) * 256 + u32::from(dice[3]);
        loop {
            number += 1;
            if let Ok(name) = format!("user-{number}").parse()
                && self.directory.account(&name).is_none()
            {
                return name;
            }
        }
    }

    fn put_key(
        &mut self,
        account: UserName,
        key: AccountKeyLine,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> AccountKey {
        let key = AccountKey {
            account,
            fingerprint: key.fingerprint,
            algorithm: key.algorithm,
            line: key.line,
            comment: key.comment,
            added: now.0,
        };
        Arc::make_mut(&mut self.directory).put_key(key.clone());
        out.push(Effect::Save(Record::Key(key.clone())));
        key
    }

    pub(super) fn on_key_add(
        &mut self,
        actor: &Actor,
        account: Option<&UserName>,
        line: &str,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let account = self
            .account_or_hint(account.unwrap_or(&actor.account))?
            .name;
        let key = AccountKeyLine::parse(line).map_err(|bad| {
            Failure::usage(format!("this is no public key: {bad}")).hint(
                "give one line of a .pub file, in quotes: \"auth key add 'ssh-ed25519 AAAA…'\"",
            )
        })?;
        if let Some(known) = self.directory.key(&key.fingerprint) {
            let sentence = format!(
                "{}: this key belongs to {} already",
                key.fingerprint, known.account
            );
            return Err(Failure::new(Kind::Failed, sentence).hint("a key names one account"));
        }
        let key = self.put_key(account, key, now, out);
        Ok(Reply::KeyAdded(key_row(&key)))
    }

    pub(super) fn on_key_remove(
        &mut self,
        actor: &Actor,
        account: Option<&UserName>,
        fingerprint: &str,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let account = self
            .account_or_hint(account.unwrap_or(&actor.account))?
            .name;
        let matching: Vec<String> = self
            .directory
            .keys_of(&account)
            .filter(|key| {
                key.fingerprint.starts_with(fingerprint)
                    || key.fingerprint[7..].starts_with(fingerprint)
            })
            .map(|key| key.fingerprint.clone())
            .collect();
        let [found] = &matching[..] else {
            let many = if matching.is_empty() {
                "no such key"
            } else {
                "several keys begin so"
            };
            return Err(Failure::not_found(format!("{fingerprint}: {many}"))
                .hint("`auth key list` shows the keys"));
        };
        if self.directory.keys_of(&account).count() == 1 {
            let sentence = format!("{found}: this is the last key of {account}");
            return Err(
                Failure::new(Kind::Failed, sentence).hint("add another one first: `auth key add`")
            );
        }
        Arc::make_mut(&mut self.directory).remove_key(found);
        out.push(Effect::Save(Record::KeyRemoved {
            fingerprint: found.clone(),
        }));
        Ok(Reply::KeyRemoved {
            fingerprint: found.clone(),
        })
    }

    pub(super) fn on_role(
        &mut self,
        name: &UserName,
        role: Role,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let mut account = self.account_or_hint(name)?;
        if account.role == Role::Admin && role != Role::Admin {
            self.another_admin(name)?;
        }
        account.role = role;
        Ok(self.put_account(account, out))
    }

    pub(super) fn on_disable(
        &mut self,
        actor: &Actor,
        name: &UserName,
        disabled: bool,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Failure> {
        let mut account = self.account_or_hint(name)?;
        if disabled && *name == actor.account {
            return Err(
                Failure::new(Kind::Failed, format!("{name}: this is your own account"))
                    .hint("another admin can disable it"),
            );
        }
        account.disabled = disabled;
        Ok(self.put_account(account, out))
    }

    fn another_admin(&self, name: &UserName) -> Result<(), Failure> {
        let others = self
            .directory
            .accounts()
            .filter(|a| a.role == Role::Admin && !a.disabled && a.name != *name);
        if others.count() > 0 {
            return Ok(());
        }
        Err(
            Failure::new(Kind::Failed, format!("{name}: this is the last admin"))
                .hint("make another admin first"),
        )
    }

    fn put_account(&mut self, account: Account, out: &mut Vec<Effect>) -> Reply {
        Arc::make_mut(&mut self.directory).put_account(account.clone());
        out.push(Effect::Save(Record::Account(account.clone())));
        Reply::AccountChanged(self.account_row(&account))
    }

    fn account_or_hint(&self, name: &UserName) -> Result<Account, Failure> {
        self.directory.account(name).cloned().ok_or_else(|| {
            Failure::not_found(format!("{name}: no such account"))
                .hint("`auth user list` shows the accounts")
        })
    }

    #[must_use]
    pub fn account_row(&self, account: &Account) -> AccountRow {
        AccountRow {
            name: account.name.clone(),
            role: account.role,
            disabled: account.disabled,
            keys: self.directory.keys_of(&account.name).count(),
            created: Timestamp(account.created),
        }
    }

    /// Removes what nobody used in time.
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let (invitations, tokens) = self.directory.expired(now.0);
        if invitations.is_empty() && tokens.is_empty() {
            return;
        }
        let directory = Arc::make_mut(&mut self.directory);
        for hash in invitations {
            directory.remove_invitation(&hash);
            out.push(Effect::Save(Record::InvitationRemoved { hash }));
        }
        for hash in tokens {
            directory.remove_join_token(&hash);
            out.push(Effect::Save(Record::JoinTokenRemoved { hash }));
        }
    }
}

/// A key for a listing.
#[must_use]
pub fn key_row(key: &AccountKey) -> KeyRow {
    KeyRow {
        account: key.account.clone(),
        fingerprint: key.fingerprint.clone(),
        algorithm: key.algorithm.clone(),
        comment: key.comment.clone(),
        added: Timestamp(key.added),
        last_used: None,
    }
}

//! Accounts and keys one may see.

use keys::{Actor, UserName};
use shell::{Failure, Reply};

use crate::state::{State, key_row};

pub(super) fn own(state: &State, actor: &Actor) -> Result<Reply, Failure> {
    let directory = state.directory();
    let account = directory.account(&actor.account).ok_or_else(|| {
        Failure::not_found(format!("{}: no such account", actor.account)).hint("sign in again")
    })?;
    let keys = directory.keys_of(&account.name).map(key_row).collect();
    Ok(Reply::Account(state.account_row(account), keys))
}

pub(super) fn keys(state: &State, name: &UserName) -> Result<Reply, Failure> {
    let directory = state.directory();
    if directory.account(name).is_none() {
        return Err(Failure::not_found(format!("{name}: no such account"))
            .hint("`auth user list` shows the accounts"));
    }
    Ok(Reply::Keys(directory.keys_of(name).map(key_row).collect()))
}

pub(super) fn users(state: &State) -> Reply {
    let rows = state
        .directory()
        .accounts()
        .map(|account| state.account_row(account));
    Reply::Accounts(rows.collect())
}

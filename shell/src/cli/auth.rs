//! `auth …`

use clap::Subcommand;
use keys::{Role, UserName};

use super::{Listing, values};
use crate::command::{Change, Command, Query};

#[derive(Subcommand)]
pub(super) enum AuthVerb {
    /// Your account and its keys
    Status,
    /// A one-time code that makes an account
    Invite {
        /// user, operator or admin
        #[arg(long, default_value = "user", value_name = "ROLE")]
        role: Role,
        /// The account's name; else the newcomer chooses
        #[arg(long, value_name = "NAME")]
        name: Option<UserName>,
        /// How long the code lasts
        #[arg(long, default_value = "1d", value_name = "TIME", value_parser = values::duration)]
        expires: u64,
    },
    /// Keys that sign an account in
    #[command(subcommand)]
    Key(KeyVerb),
    /// Accounts
    #[command(subcommand)]
    User(UserVerb),
}

#[derive(Subcommand)]
pub(super) enum KeyVerb {
    /// Keys of your account
    #[command(visible_alias = "ls")]
    List {
        /// Of another account
        #[arg(long, value_name = "NAME")]
        account: Option<UserName>,
        #[command(flatten)]
        _listing: Listing,
    },
    /// Let another key sign in
    Add {
        /// To another account
        #[arg(long, value_name = "NAME")]
        account: Option<UserName>,
        /// The line of a .pub file
        #[arg(required = true, value_name = "KEY")]
        line: Vec<String>,
    },
    /// A key signs in no more
    #[command(visible_alias = "rm")]
    Remove {
        /// Of another account
        #[arg(long, value_name = "NAME")]
        account: Option<UserName>,
        /// SHA256:… or the beginning of it
        fingerprint: String,
    },
}

#[derive(Subcommand)]
pub(super) enum UserVerb {
    /// All accounts
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        _listing: Listing,
    },
    /// Change an account's role
    Role { account: UserName, role: Role },
    /// An account signs in no more; its tasks go on
    Disable { account: UserName },
    /// An account signs in again
    Enable { account: UserName },
}

impl AuthVerb {
    pub(super) fn command(self) -> Command {
        match self {
            Self::Status => Command::Query(Query::AuthStatus),
            Self::Invite {
                role,
                name,
                expires,
            } => Command::Change(Change::Invite {
                role,
                name,
                lifetime_ms: expires,
            }),
            Self::Key(KeyVerb::List { account, .. }) => Command::Query(Query::KeyList { account }),
            Self::Key(KeyVerb::Add { account, line }) => Command::Change(Change::KeyAdd {
                account,
                line: line.join(" "),
            }),
            Self::Key(KeyVerb::Remove {
                account,
                fingerprint,
            }) => Command::Change(Change::KeyRemove {
                account,
                fingerprint,
            }),
            Self::User(UserVerb::List { .. }) => Command::Query(Query::UserList),
            Self::User(UserVerb::Role { account, role }) => {
                Command::Change(Change::UserRole { account, role })
            }
            Self::User(UserVerb::Disable { account }) => Command::Change(Change::UserDisable {
                account,
                disabled: true,
            }),
            Self::User(UserVerb::Enable { account }) => Command::Change(Change::UserDisable {
                account,
                disabled: false,
            }),
        }
    }
}

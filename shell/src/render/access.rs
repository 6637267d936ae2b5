//! Accounts, keys, invitations, and the audit log.

use cluster::Timestamp;
use keys::{Role, UserName};

use super::View;
use super::table::{fields, table};
use super::units::{span, time};
use crate::escape::safe;
use crate::reply::{AccountRow, AuditRow, KeyRow};

pub(super) fn account(account: &AccountRow, own: &[KeyRow], view: &View) -> String {
    let mut text = fields(&[
        ("account", account.name.to_string()),
        ("role", account.role.to_string()),
        ("since", time(account.created)),
    ]);
    text.push('\n');
    text.push_str(&keys(own, view));
    text
}

pub(super) fn changed(account: &AccountRow) -> String {
    let standing = if account.disabled { ", disabled" } else { "" };
    format!("{} is {}{standing}\n", account.name, account.role)
}

pub(super) fn accounts(rows: &[AccountRow], view: &View) -> String {
    let lines = rows.iter().map(|row| {
        let standing = if row.disabled { "disabled" } else { "active" };
        vec![
            row.name.to_string(),
            row.role.to_string(),
            standing.to_owned(),
            row.keys.to_string(),
            time(row.created),
        ]
    });
    table(
        &["NAME", "ROLE", "STANDING", "KEYS", "SINCE"],
        lines.collect(),
        view.width,
    )
}

pub(super) fn keys(rows: &[KeyRow], view: &View) -> String {
    let lines = rows.iter().map(|row| {
        vec![
            safe(&row.fingerprint),
            safe(&row.algorithm),
            time(row.added),
            safe(&row.comment),
        ]
    });
    // A fingerprint is never broken over lines: it is there to be copied.
    let width = if view.width >= 100 { view.width } else { 0 };
    table(
        &["FINGERPRINT", "KIND", "ADDED", "COMMENT"],
        lines.collect(),
        width,
    )
}

pub(super) fn invited(
    code: &str,
    role: Role,
    name: Option<&UserName>,
    expires: Timestamp,
    view: &View,
) -> (String, Option<String>) {
    let whom = name.map_or_else(
        || format!("a new {role}"),
        |name| format!("{name}, as {role}"),
    );
    let left = span(expires.since(view.now));
    let text = format!("{code}\n");
    (
        text,
        Some(format!(
            "for {whom}: one use, lasts {left}. They type: ssh invite-{code}@GATEWAY"
        )),
    )
}

pub(super) fn audit(rows: &[AuditRow], view: &View) -> String {
    let lines = rows.iter().map(|row| {
        vec![
            time(row.at),
            safe(&row.account),
            safe(&row.action),
            safe(&row.object),
            safe(&row.verdict),
        ]
    });
    table(
        &["TIME", "WHO", "WHAT", "ON", "VERDICT"],
        lines.collect(),
        view.width,
    )
}

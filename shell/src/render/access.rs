//! Accounts, keys, invitations, and the audit log.

use cluster::Timestamp;
use keys::{Role, UserName};

use super::View;
use super::fold::fold;
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
    let text = format!("ssh invite-{code}@river\n");
    (
        text,
        Some(format!(
            "for {whom}: one use, lasts {left}; where ~/.ssh/config knows no river:\n  ssh -p PORT invite-{code}@HOST"
        )),
    )
}

/// Columns of one word or two, longer ones not aligned.
const SHORT: usize = 18;

/// A row is a line where it has room; a long verdict goes on under it, and the time stands alone.
pub(super) fn audit(rows: &[AuditRow], view: &View) -> String {
    let head = ["TIME", "WHO", "WHAT", "ON", "VERDICT"].map(ToOwned::to_owned);
    let cells = rows.iter().map(|row| {
        let words = [&row.account, &row.action, &row.object, &row.verdict].map(|word| safe(word));
        let [account, action, object, verdict] = words;
        [time(row.at), account, action, object, verdict]
    });
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(cells).collect();
    let longest = |column: fn(&[String; 5]) -> &String, most: usize| {
        let lengths = lines.iter().map(|line| column(line).chars().count());
        lengths
            .filter(|length| *length <= most)
            .max()
            .unwrap_or_default()
    };
    let at = longest(|line| &line[0], usize::MAX);
    let (who, what) = (
        longest(|line| &line[1], SHORT),
        longest(|line| &line[2], SHORT),
    );
    let on = longest(|line| &line[3], SHORT);
    let shown = lines
        .iter()
        .map(|[time, account, action, object, verdict]| {
            let line =
                format!("{time:at$}  {account:who$}  {action:what$}  {object:on$}  {verdict}");
            fold(&line, view.columns(), at + 2)
        });
    shown.collect()
}

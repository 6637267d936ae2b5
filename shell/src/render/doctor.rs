//! What `doctor` found: one line a hop, or as many as its words need.

use super::View;
use super::fold::fold;
use crate::escape::safe;
use crate::reply::{Hop, Verdict};

/// The lines, and what there is to do in one sentence.
pub(super) fn hops(hops: &[Hop], view: &View) -> (String, Option<String>) {
    let width = |of: fn(&Hop) -> &str| {
        let lengths = hops.iter().map(|hop| safe(of(hop)).chars().count());
        lengths.max().unwrap_or_default()
    };
    let (place, what) = (width(|hop| &hop.place), width(|hop| hop.what));
    let lines = hops.iter().map(|hop| {
        let (name, verdict) = (safe(&hop.place), hop.verdict.name());
        let remedy = hop
            .remedy
            .as_deref()
            .map(|remedy| format!("; {}", safe(remedy)));
        let (seen, remedy) = (safe(&hop.seen), remedy.unwrap_or_default());
        let line = format!(
            "{verdict:<4}  {name:<place$}  {:<what$}  {seen}{remedy}",
            hop.what
        );
        fold(&line, view.columns(), place + what + 10)
    });
    let count = |wanted| hops.iter().filter(|hop| hop.verdict == wanted).count();
    let (bad, warn) = (count(Verdict::Bad), count(Verdict::Warn));
    let sum = match (bad, warn) {
        (0, 0) => "all is well".to_owned(),
        _ => format!("{bad} bad, {warn} to look after"),
    };
    (lines.collect(), Some(sum))
}

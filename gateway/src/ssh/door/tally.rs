//! What happens at the door, in few words: the first of a kind at once, then at most one line in a while.
//! Pure.

use core::net::IpAddr;
use std::time::Duration;

/// Between two lines.
pub(super) const SPAN: Duration = Duration::from_secs(10);

/// What can happen to somebody who is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Left, or was cut, after keys had been refused.
    Failed,
    /// Did not sign in in time.
    Late,
    /// Cut for a newcomer.
    Yielded,
    /// No room to wait in.
    Refused,
}

/// Counts of one span.
#[derive(Default)]
pub(super) struct Tally {
    counts: [u64; 4],
    last: Option<IpAddr>,
    /// The newest reason that is known.
    why: Option<String>,
    /// When the last line was said.
    said: Option<Duration>,
}

impl Tally {
    pub(super) fn note(&mut self, event: Event, source: IpAddr, why: Option<&str>) {
        let [failed, late, yielded, refused] = &mut self.counts;
        let count = match event {
            Event::Failed => failed,
            Event::Late => late,
            Event::Yielded => yielded,
            Event::Refused => refused,
        };
        *count += 1;
        self.last = Some(source);
        if let Some(why) = why {
            self.why = Some(why.to_owned());
        }
    }

    /// A line, if there is something to say and the last one is a while ago.
    pub(super) fn line(&mut self, now: Duration) -> Option<String> {
        let early = self.said.is_some_and(|said| now < said + SPAN);
        let last = self.last.filter(|_| !early)?;
        let words = [
            "had no key that is known here",
            "did not sign in in time",
            "yielded their place to others",
            "found no room to wait in",
        ];
        let some = self.counts.iter().zip(words).filter(|(n, _)| **n > 0);
        let told: Vec<String> = some.map(|(n, word)| format!("{n} {word}")).collect();
        let why = self.why.take().map(|why| format!(": {why}"));
        *self = Self {
            said: Some(now),
            ..Self::default()
        };
        let told = told.join(", ");
        Some(format!(
            "{told}; the last of {last}{}",
            why.unwrap_or_default()
        ))
    }

    /// Is something untold?
    pub(super) fn is_owing(&self) -> bool {
        self.last.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_are_two_lines() {
        let mut tally = Tally::default();
        let source = "10.0.0.7".parse().unwrap();
        let mut lines = Vec::new();
        for n in 0..1000 {
            tally.note(Event::Failed, source, None);
            lines.extend(tally.line(Duration::from_millis(n)));
        }
        assert_eq!(
            lines,
            ["1 had no key that is known here; the last of 10.0.0.7"]
        );
        tally.note(Event::Failed, source, Some("expired"));
        tally.note(Event::Yielded, "10.0.0.8".parse().unwrap(), None);
        assert!(tally.is_owing());
        assert_eq!(
            tally.line(SPAN).unwrap(),
            "1000 had no key that is known here, 1 yielded their place to others; the last of 10.0.0.8: expired"
        );
        assert!(!tally.is_owing());
        assert_eq!(tally.line(2 * SPAN), None);
    }
}

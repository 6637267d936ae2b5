//! Lines of a batch as they come, in pieces of any length; no more of a line is kept than one may have.

use std::collections::VecDeque;

use cluster::TaskSpec;
use shell::{Failure, LONGEST_SPEC};

/// See the module.
#[derive(Default)]
pub(super) struct Lines {
    /// Of lines whose end has not come, and of those that nobody has taken yet.
    bytes: VecDeque<u8>,
    /// How much of it was looked through for an end of line.
    seen: usize,
    /// The line that `bytes` begins in is longer than a line may be, and its begin is gone.
    long: bool,
    ended: bool,
    /// Lines given out.
    count: u64,
}

/// One, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: u64,
    /// `None`: it was too long to be kept.
    bytes: Option<Vec<u8>>,
}

impl Lines {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Nothing follows: what is left is a line too.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// The number of the first that was not given out.
    pub(super) const fn begun(&self) -> u64 {
        self.count + 1
    }

    /// The next that is whole.
    pub(super) fn next(&mut self) -> Option<Line> {
        let mut unseen = self.bytes.iter().skip(self.seen);
        let end = unseen.position(|byte| *byte == b'\n');
        let length = match end {
            Some(more) => self.seen + more,
            None if self.ended && (self.long || !self.bytes.is_empty()) => self.bytes.len(),
            None => {
                self.seen = self.bytes.len();
                if self.seen > LONGEST_SPEC + 1 {
                    self.bytes.clear();
                    (self.seen, self.long) = (0, true);
                }
                return None;
            }
        };
        let mut bytes: Vec<u8> = self.bytes.drain(..length).collect();
        self.bytes.pop_front();
        self.seen = 0;
        self.count += 1;
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let whole = !std::mem::take(&mut self.long);
        Some(Line {
            number: self.count,
            bytes: whole.then_some(bytes),
        })
    }
}

impl Line {
    /// Bytes of it that were kept.
    pub(super) fn len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::len)
    }

    /// `None`: nothing is asked for in it.
    pub(super) fn spec(&self) -> Option<Result<TaskSpec, Failure>> {
        let wrong = |sentence: String, hint: &str| {
            let failure = Failure::usage(sentence).hint(hint);
            Some(Err(failure.of_line(self.number)))
        };
        let Some(bytes) = &self.bytes else {
            let sentence = format!("longer than {} KiB", LONGEST_SPEC >> 10);
            return wrong(sentence, "a task reads more from a file, or by --stdin");
        };
        match std::str::from_utf8(bytes) {
            Ok(line) => shell::parse_line(self.number, line),
            Err(_) => wrong("not UTF-8".to_owned(), "send it as UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lines: &mut Lines) -> Vec<(u64, Option<String>)> {
        std::iter::from_fn(|| lines.next())
            .map(|line| {
                let text = line.bytes.map(|bytes| String::from_utf8(bytes).unwrap());
                (line.number, text)
            })
            .collect()
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let text = b"-- true\r\n\n# nothing\n-- echo a\n-- last";
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for piece in text.chunks(size) {
                lines.take(piece);
                seen.extend(all(&mut lines));
            }
            lines.end();
            seen.extend(all(&mut lines));
            let wanted = ["-- true", "", "# nothing", "-- echo a", "-- last"];
            let wanted = (1..).zip(wanted.map(|line| Some(line.to_owned())));
            assert_eq!(seen, wanted.collect::<Vec<_>>(), "{size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_and_never_kept() {
        let mut lines = Lines::default();
        for _ in 0..100 {
            lines.take(&[b'x'; 32 << 10]);
            assert!(lines.next().is_none());
            assert!(lines.bytes.len() <= LONGEST_SPEC + 1);
        }
        lines.take(b"\n-- true\n");
        let long = lines.next().unwrap();
        let failure = long.spec().unwrap().unwrap_err();
        assert!(
            failure.sentence.starts_with("line 1: longer than"),
            "{failure:?}"
        );
        assert_eq!(
            lines.next().unwrap().spec().unwrap().unwrap().command,
            ["true"]
        );
        lines.end();
        assert_eq!(all(&mut lines), []);
    }

    #[test]
    fn a_line_that_is_no_text_is_refused_by_its_number() {
        let mut lines = Lines::default();
        lines.take(b"# \xff is fine nowhere\n-- \xff\n\n");
        let refused: Vec<_> = std::iter::from_fn(|| lines.next())
            .filter_map(|line| line.spec())
            .map(|spec| spec.unwrap_err().sentence)
            .collect();
        assert_eq!(refused, ["line 1: not UTF-8", "line 2: not UTF-8"]);
    }
}

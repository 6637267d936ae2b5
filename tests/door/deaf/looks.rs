//! … on terminals: shells, which wait for who looks, and those that stay, which do not.

use std::cell::{Cell, RefCell};

use harness::wait::until;

use super::{Flooded, MANY, STUCK, lab};
use crate::raw::Raw;
use crate::readers::BOUNDLESS;
use crate::say::{text, uint};
use crate::{fresh, is_sound};

/// A session with a terminal of 80 by 24 (RFC 4254, 6.2); the server's number of it.
fn seat(raw: &mut Raw, own: u32, window: u32) -> u32 {
    let channel = raw.open("session", (own, window), &[]).unwrap().unwrap();
    let mut more = Vec::new();
    text(&mut more, b"xterm");
    for number in [80, 24, 0, 0] {
        uint(&mut more, number);
    }
    text(&mut more, &[0]);
    raw.ask(channel, "pty-req", &more).unwrap();
    channel
}

/// Bytes of a line of [`Count`], and the first.
const LINE: usize = 10;
const FIRST: usize = 10_000_000;

/// Lines of numbers on a terminal, eight digits each.
struct Count<'a> {
    raw: &'a mut Raw,
    own: u32,
    said: Vec<u8>,
    next: usize,
}

impl<'a> Count<'a> {
    /// From the first line on; what the shell said before is passed over.
    fn of((raw, own): (&'a mut Raw, u32)) -> Self {
        let mut count = Self {
            raw,
            own,
            said: Vec::new(),
            next: FIRST,
        };
        let first = format!("{FIRST}\r\n");
        let begin = loop {
            let mut all = count.said.windows(first.len());
            if let Some(at) = all.position(|part| part == first.as_bytes()) {
                break at;
            }
            count.more();
        };
        count.said.drain(..begin);
        count
    }

    fn more(&mut self) {
        self.said.extend(self.raw.data(self.own).unwrap());
    }

    /// So many lines, or all before something else comes.
    fn lines(&mut self, most: usize) -> usize {
        let end = self.next + most;
        let mut right = true;
        while right && self.next < end {
            while self.said.len() < LINE {
                self.more();
            }
            let here = self.said.chunks_exact(LINE).zip(self.next..end);
            let count = here
                .take_while(|(line, number)| *line == format!("{number}\r\n").as_bytes())
                .count();
            right = count == (self.said.len() / LINE).min(end - self.next);
            self.said.drain(..count * LINE);
            self.next += count;
        }
        self.next + most - end
    }
}

/// What each `seq` to this number has written, in bytes (proc(5), io).
fn written(last: usize) -> Vec<u64> {
    let line = format!("seq\0{FIRST}\0{last}\0");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let all = processes.filter_map(|process| {
        let path = process.path();
        let said = std::fs::read(path.join("cmdline")).ok()?;
        let io = std::fs::read_to_string(path.join("io")).ok()?;
        let count = io.lines().find_map(|line| line.strip_prefix("wchar: "))?;
        (said == line.as_bytes()).then(|| count.parse().unwrap())
    });
    all.collect()
}

#[test]
fn shells_that_flood_who_looks_at_nothing_cost_little_and_wait_for_them() {
    let (river, key) = lab();
    // Nobody else counts so far.
    let last = 90_000_000 + usize::from(river.port);
    let begin = |raw: &mut Raw, own, window| {
        let channel = seat(raw, own, window);
        raw.ask(channel, "shell", &[]).unwrap();
        let line = format!("exec seq {FIRST} {last}\n");
        raw.put(channel, line.as_bytes()).unwrap();
        channel
    };
    let (before, still) = (RefCell::default(), Cell::new(0));
    let flows = || {
        let now = written(last);
        let all = now.len() == (MANY + STUCK) as usize;
        let waits = all && before.replace(now.clone()) == now;
        still.set(if waits { still.get() + 1 } else { 0 });
        still.get() > 10
    };
    let live = ("echo alive", "alive");
    let mut all = Flooded::of(&river, ("lab", &key), begin, flows, live);
    let counts = written(last);
    eprintln!("{:?} bytes were written at least", counts.iter().min());
    assert!(counts.iter().all(|count| *count < 16 << 20), "{counts:?}");
    for one in all.wake() {
        assert_eq!(Count::of(one).lines(500_000), 500_000);
    }
    drop(all);
    until("no shell is left in the box", || written(last).is_empty());
    is_sound(&river);
}

/// Each of some has a terminal of its own, the others look at the first of those.
#[test]
fn terminals_that_flood_viewers_who_look_at_nothing_go_on_and_say_what_was_not_seen() {
    const TERMINALS: u32 = 4;
    const AGAIN: u32 = MANY + STUCK / 2;
    let (river, key) = lab();
    let last = FIRST + 300_000 + usize::from(river.port);
    let next = Cell::new(0);
    let done = |number: u32| river.dir.path().join(format!("home/done-{number}"));
    let begin = |raw: &mut Raw, own, window| {
        let number = next.replace(next.get() + 1);
        let channel = seat(raw, own, window);
        // The first who reads nothing, three more, and the one that gives its window again.
        if number < TERMINALS || number == AGAIN {
            let line = format!("connect lab --terminal t{number}");
            raw.exec(channel, &line).unwrap();
            let line = format!("seq {FIRST} {last}; touch {}\n", done(number).display());
            raw.put(channel, line.as_bytes()).unwrap();
        } else {
            let only = ["", " --read-only"][(number % 2) as usize];
            let line = format!("connect lab --terminal t0{only}");
            raw.exec(channel, &line).unwrap();
        }
        channel
    };
    // Nobody who looks at nothing is waited for longer than ten seconds.
    let flows = || {
        (0..TERMINALS)
            .chain([AGAIN])
            .all(|number| done(number).exists())
    };
    let live = ("version", "river 0");
    let mut all = Flooded::of(&river, ("alice", &key), begin, flows, live);
    // Somebody else types in that terminal.
    let mut raw = Raw::inside(river.port, fresh(), "alice", &key);
    let channel = seat(&mut raw, 7, BOUNDLESS);
    raw.exec(channel, "connect lab --terminal t0").unwrap();
    raw.put(channel, b"echo mark-$((40 + 2))\n").unwrap();
    raw.hears(7, "mark-42");
    let [deaf, stuck] = all.wake();
    let whole = last + 1 - FIRST;
    // Of the one who reads nothing all is on its way; the other, who gave no window, has lost some.
    assert_eq!(Count::of(deaf).lines(whole), whole);
    let mut count = Count::of(stuck);
    let seen = count.lines(whole);
    eprintln!("{seen} lines of {whole} were on their way");
    let (before, skipped, after) = loop {
        if let Some(told) = not_shown(&count.said) {
            break told;
        }
        count.more();
    };
    // It goes on where it says, in the middle of a line.
    let at = seen * LINE + before + skipped;
    count.next = FIRST + at.div_ceil(LINE);
    let rest = after + count.next * LINE - FIRST * LINE - at;
    while count.said.len() < rest {
        count.more();
    }
    count.said.drain(..rest);
    let left = last + 1 - count.next;
    assert_eq!(count.lines(left), left);
    drop(all);
    is_sound(&river);
}

/// Where the mark begins, how many bytes it says, and where it ends.
fn not_shown(said: &[u8]) -> Option<(usize, usize, usize)> {
    let text = String::from_utf8_lossy(said);
    let (before, rest) = text.split_once("\x18\r\n[river: ")?;
    let (mark, _) = rest.split_once(" bytes were not shown]\r\n")?;
    let after = before.len() + 11 + mark.len() + 24;
    Some((before.len(), mark.parse().ok()?, after))
}

//! What a stream's disk did not take: held for a while, then dropped, and marked where it would have been.
//!
//! The command goes on in any case, and so does whoever wants to stop it.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

/// How long the disk may take nothing before bytes are dropped; the command waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Of one stream.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Rest of a mark that is being written, and how many bytes it tells of.
    mark: Vec<u8>,
    told: u64,
    held: Vec<u8>,
    /// Not told of by any mark yet.
    dropped: u64,
    /// Since when the disk takes nothing.
    since: Option<Instant>,
    next: Option<Instant>,
}

fn mark(dropped: u64) -> String {
    format!("\n[{dropped} bytes dropped: disk full]\n")
}

impl Backlog {
    /// Nothing is held: more may come.
    pub(super) fn is_free(&self) -> bool {
        self.held.is_empty()
    }

    /// Takes the next bytes of the stream, once [`Backlog::is_free`].
    pub(super) fn put(
        &mut self,
        bytes: &[u8],
        now: Instant,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) {
        if self.since.is_some() && self.next.is_some_and(|next| now < next) {
            self.dropped += bytes.len() as u64;
            return;
        }
        let mut rest = bytes;
        if self.since.is_none() {
            while !rest.is_empty() {
                match write(rest) {
                    Ok(written @ 1..) => rest = &rest[written..],
                    Ok(0) | Err(_) => break,
                }
            }
        }
        if !rest.is_empty() {
            self.held.extend_from_slice(rest);
            self.again(now, write);
        }
    }

    /// Tries once more what the disk did not take.
    pub(super) fn again(&mut self, now: Instant, write: impl FnMut(&[u8]) -> io::Result<usize>) {
        if self.flush(write).is_ok() {
            (self.since, self.next) = (None, None);
            return;
        }
        let since = *self.since.get_or_insert(now);
        self.next = Some(now + PAUSE);
        if now >= since + PATIENCE {
            self.give_up();
        }
    }

    fn flush(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        if self.mark.is_empty() && self.dropped > 0 {
            self.told = std::mem::take(&mut self.dropped);
            self.mark = mark(self.told).into_bytes();
        }
        if let Err(error) = write_all(&mut self.mark, &mut write) {
            if self.mark.len() == mark(self.told).len() {
                // Nothing of it is there: the next one tells of more.
                self.dropped += std::mem::take(&mut self.told);
                self.mark.clear();
            }
            return Err(error);
        }
        write_all(&mut self.held, &mut write)
    }

    /// What is held is dropped now.
    pub(super) fn give_up(&mut self) {
        self.dropped += std::mem::take(&mut self.held).len() as u64;
    }

    /// The stream has ended: what would be its last bytes and is not on the disk.
    pub(super) fn last(mut self) -> String {
        self.give_up();
        let dropped = self.dropped;
        let mut last = String::from_utf8_lossy(&self.mark).into_owned();
        if dropped > 0 {
            last.push_str(&mark(dropped));
        }
        last
    }
}

fn write_all(
    bytes: &mut Vec<u8>,
    write: &mut impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(bytes)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => drop(bytes.drain(..written)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So much room, and what was written.
    struct Disk {
        room: usize,
        text: Vec<u8>,
    }

    impl Disk {
        fn with(room: usize) -> Self {
            let text = Vec::new();
            Self { room, text }
        }

        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.text.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn text(&self) -> &str {
            std::str::from_utf8(&self.text).unwrap()
        }
    }

    #[test]
    fn a_short_lack_of_room_costs_nothing() {
        let mut disk = Disk::with(3);
        let (mut backlog, begun) = (Backlog::default(), Instant::now());
        backlog.put(b"abcdef", begun, |bytes| disk.write(bytes));
        assert!(!backlog.is_free(), "the command waits");
        backlog.again(begun + PATIENCE / 2, |bytes| disk.write(bytes));
        assert!(!backlog.is_free());
        disk.room = 100;
        backlog.again(begun + PATIENCE * 2, |bytes| disk.write(bytes));
        backlog.put(b"gh", begun + PATIENCE * 2, |bytes| disk.write(bytes));
        assert_eq!(disk.text(), "abcdefgh");
        assert_eq!(backlog.last(), "");
    }

    #[test]
    fn what_is_dropped_is_marked_where_it_would_have_been() {
        let mut disk = Disk::with(2);
        let (mut backlog, begun) = (Backlog::default(), Instant::now());
        backlog.put(b"abcd", begun, |bytes| disk.write(bytes));
        let later = begun + PATIENCE;
        backlog.again(later, |bytes| disk.write(bytes));
        assert!(backlog.is_free(), "the command goes on");
        backlog.put(b"efg", later, |bytes| disk.write(bytes));
        backlog.put(b"h", later + PAUSE, |bytes| disk.write(bytes));
        disk.room = 1000;
        backlog.put(b"ij", later + PAUSE * 2, |bytes| disk.write(bytes));
        assert_eq!(disk.text(), "ab\n[6 bytes dropped: disk full]\nij");
        assert_eq!(backlog.last(), "");
    }

    #[test]
    fn a_mark_that_is_cut_is_finished_first() {
        let mut disk = Disk::with(2);
        let (mut backlog, begun) = (Backlog::default(), Instant::now());
        backlog.put(b"abcd", begun, |bytes| disk.write(bytes));
        let later = begun + PATIENCE;
        backlog.again(later, |bytes| disk.write(bytes));
        disk.room = 5;
        backlog.put(b"ef", later + PAUSE, |bytes| disk.write(bytes));
        assert_eq!(disk.text(), "ab\n[2 b");
        let last = backlog.last();
        assert_eq!(
            last,
            "ytes dropped: disk full]\n\n[2 bytes dropped: disk full]\n"
        );
    }
}

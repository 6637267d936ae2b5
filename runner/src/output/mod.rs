//! A task's output files: read, follow, hand on ([`serve`]). What a tenant put there is opened with care.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::Context;
use bytes::{Bytes, BytesMut};
use cluster::{AttemptId, OutputSize};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use tunnel::guest::output::{SEGMENT, Which};
use tunnel::wire::guest::{BEGUN, EXIT, ExitRecord};

mod serve;
mod watches;

pub use serve::serve;
pub use watches::Watches;

/// Bytes of one frame.
const PIECE: usize = 256 << 10;
/// Longest exit record believed.
const LONGEST_RECORD: u64 = 16 << 10;

/// Opens a regular file beneath `dir`: no link, no pipe, no way out (openat2(2)).
fn open(dir: &File, name: &str) -> io::Result<File> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    let fd: OwnedFd = openat2(dir, name, how)?;
    let file = File::from(fd);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// The guest's last word, if it is there.
///
/// # Errors
/// When something else is in its place, or it makes no sense.
pub fn record(out: &Path, attempt: AttemptId) -> anyhow::Result<Option<ExitRecord>> {
    let dir = File::open(out)?;
    let file = match open(&dir, EXIT) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("the exit record"),
    };
    let mut text = Vec::new();
    file.take(LONGEST_RECORD + 1).read_to_end(&mut text)?;
    anyhow::ensure!(
        text.len() as u64 <= LONGEST_RECORD,
        "the exit record is too long"
    );
    let record: ExitRecord = serde_json::from_slice(&text).context("the exit record")?;
    anyhow::ensure!(
        record.attempt == attempt,
        "the exit record is another attempt's"
    );
    Ok(Some(record))
}

/// Did the command of this attempt ever begin?
#[must_use]
pub fn begun(out: &Path) -> bool {
    File::open(out).is_ok_and(|dir| open(&dir, BEGUN).is_ok())
}

/// What is on the disk now, for an attempt whose guest left no record.
#[must_use]
pub fn size(out: &Path) -> OutputSize {
    let Ok(dir) = File::open(out) else {
        return OutputSize::default();
    };
    OutputSize {
        stdout: length(&dir, out, Which::Stdout),
        stderr: length(&dir, out, Which::Stderr),
    }
}

fn length(dir: &File, out: &Path, which: Which) -> u64 {
    let last = segments(out, which).max();
    let Some(last) = last else { return 0 };
    let tail = open(dir, &which.segment(last))
        .and_then(|file| file.metadata())
        .map_or(0, |meta| meta.len());
    last.saturating_mul(SEGMENT)
        .saturating_add(tail.min(SEGMENT))
}

/// Numbers of the segments that are there.
fn segments(out: &Path, which: Which) -> impl Iterator<Item = u64> {
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    let prefix = which.segment(0).trim_end_matches('0').to_owned();
    entries.filter_map(move |entry| {
        let name = entry.file_name();
        let number = name.to_str()?.strip_prefix(&prefix)?.parse().ok()?;
        let spelt = which.segment(number) == *name.to_str()?;
        // A tenant may call a file what he likes.
        (spelt && number < u64::MAX / SEGMENT).then_some(number)
    })
}

/// Where a reader is in one stream.
struct Reader {
    which: Which,
    at: u64,
    open: Option<(u64, File)>,
}

/// What was next.
enum Next {
    Bytes(Bytes),
    Gap(u64),
    /// Nothing yet.
    Nothing,
}

impl Reader {
    fn next(&mut self, dir: &File, out: &Path) -> io::Result<Next> {
        match self.read(dir)? {
            Some(piece) => Ok(Next::Bytes(piece)),
            None => self.gap(dir, out),
        }
    }

    /// What is there of the present segment, from here on.
    fn read(&mut self, dir: &File) -> io::Result<Option<Bytes>> {
        let number = self.at / SEGMENT;
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            self.open = match open(dir, &self.which.segment(number)) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(self.at % SEGMENT))?;
                    Some((number, file))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        let Some((_, file)) = &mut self.open else {
            return Ok(None);
        };
        let room = usize::try_from(SEGMENT - self.at % SEGMENT)
            .unwrap_or(PIECE)
            .min(PIECE);
        let mut piece = BytesMut::zeroed(room);
        let count = file.read(&mut piece)?;
        piece.truncate(count);
        self.at += count as u64;
        Ok((count > 0).then(|| piece.freeze()))
    }

    /// To the next segment that is there.
    fn gap(&mut self, dir: &File, out: &Path) -> io::Result<Next> {
        let number = self.at / SEGMENT;
        let later = segments(out, self.which).filter(|later| *later > number);
        let Some(later) = later.min() else {
            return Ok(Next::Nothing);
        };
        // A later one means that nothing more is written to this one. What came between our last look
        // and the later one's beginning is no gap.
        match self.read(dir)? {
            Some(piece) => Ok(Next::Bytes(piece)),
            None => Ok(self.skip(later * SEGMENT)),
        }
    }

    fn skip(&mut self, to: u64) -> Next {
        let gap = to.saturating_sub(self.at);
        self.at = to;
        if gap == 0 {
            Next::Nothing
        } else {
            Next::Gap(gap)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> AttemptId {
        "17.1".parse().unwrap()
    }

    #[test]
    fn a_tenant_cannot_lead_the_runner_astray() {
        let dir = tempfile::tempdir().unwrap();
        let exit = dir.path().join(EXIT);
        assert!(record(dir.path(), attempt()).unwrap().is_none());
        std::os::unix::fs::symlink("/etc/passwd", &exit).unwrap();
        assert!(record(dir.path(), attempt()).is_err(), "a link");
        std::fs::remove_file(&exit).unwrap();
        nix::unistd::mkfifo(&exit, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(
            record(dir.path(), attempt()).is_err(),
            "a pipe, without waiting for its writer"
        );
        std::fs::remove_file(&exit).unwrap();
        std::fs::write(&exit, vec![b' '; 20_000]).unwrap();
        assert!(record(dir.path(), attempt()).is_err(), "too long");
    }

    #[test]
    fn a_writer_that_outran_its_reader_left_no_gap() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::open(dir.path()).unwrap();
        let mut reader = Reader {
            which: Which::Stdout,
            at: SEGMENT - 3,
            open: None,
        };
        let first = vec![b'a'; usize::try_from(SEGMENT).unwrap() - 3];
        std::fs::write(dir.path().join("out.0"), &first).unwrap();
        assert!(reader.read(&file).unwrap().is_none());
        // Between the look at the segment and the look for a later one.
        let mut rest = std::fs::OpenOptions::new()
            .append(true)
            .open(dir.path().join("out.0"))
            .unwrap();
        std::io::Write::write_all(&mut rest, b"bcd").unwrap();
        std::fs::write(dir.path().join("out.1"), b"e").unwrap();
        assert!(matches!(reader.gap(&file, dir.path()).unwrap(), Next::Bytes(b) if b == "bcd"));
        assert!(matches!(reader.next(&file, dir.path()).unwrap(), Next::Bytes(b) if b == "e"));
    }

    #[test]
    fn a_name_of_a_segment_that_cannot_be_is_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(format!("out.{}", u64::MAX)), b"x").unwrap();
        assert_eq!(size(dir.path()).stdout, 0);
    }

    #[test]
    fn a_missing_segment_is_a_gap_of_known_length() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("out.0"), b"abc").unwrap();
        std::fs::write(dir.path().join("out.2"), b"tail").unwrap();
        std::fs::write(dir.path().join("out.02"), b"no segment").unwrap();
        assert_eq!(size(dir.path()).stdout, 2 * SEGMENT + 4);
        let file = File::open(dir.path()).unwrap();
        let mut reader = Reader {
            which: Which::Stdout,
            at: 1,
            open: None,
        };
        assert!(matches!(reader.next(&file, dir.path()).unwrap(), Next::Bytes(b) if b == "bc"));
        assert!(
            matches!(reader.next(&file, dir.path()).unwrap(), Next::Gap(g) if g == 2 * SEGMENT - 3)
        );
        assert!(matches!(reader.next(&file, dir.path()).unwrap(), Next::Bytes(b) if b == "tail"));
        assert!(matches!(
            reader.next(&file, dir.path()).unwrap(),
            Next::Nothing
        ));
    }
}

//! An attempt's output on disk: segments of fixed length, so that an offset names its file.
//!
//! `out.0`, `out.1`, … and `err.0`, …: segment `n` holds bytes from `n × SEGMENT`. Above the cap the
//! first half and the latest stay, and the middle goes segment by segment: a missing file is a gap of
//! known length. The guest writes, the runner reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes of a segment.
pub const SEGMENT: u64 = 16 << 20;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Stdout,
    Stderr,
}

impl Which {
    /// File name of a segment.
    #[must_use]
    pub fn segment(self, number: u64) -> String {
        match self {
            Self::Stdout => format!("out.{number}"),
            Self::Stderr => format!("err.{number}"),
        }
    }
}

/// Appends to one stream's segments.
#[derive(Debug)]
pub struct OutputFile {
    dir: PathBuf,
    which: Which,
    file: Option<File>,
    length: u64,
    /// Segments that may be kept; at least 2.
    keep: u64,
    /// Lowest segment behind the head that is still there.
    oldest: u64,
    dirty: bool,
}

impl OutputFile {
    /// Nothing is made before the first byte.
    #[must_use]
    pub fn new(dir: &Path, which: Which, cap: u64) -> Self {
        let keep = (cap / SEGMENT).max(2);
        let oldest = keep.div_ceil(2);
        Self {
            dir: dir.to_owned(),
            which,
            file: None,
            length: 0,
            keep,
            oldest,
            dirty: false,
        }
    }

    /// Bytes written so far, dropped ones included.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Writes as much as fits into the present segment; returns how much that was.
    ///
    /// # Errors
    /// When the disk is full or broken; nothing of `bytes` counts as written then.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = SEGMENT - self.length % SEGMENT;
        let take = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if self.file.is_none() || self.length.is_multiple_of(SEGMENT) {
            self.roll()?;
        }
        let Some(file) = &mut self.file else {
            return Ok(0);
        };
        let written = file.write(&bytes[..take])?;
        self.length += written as u64;
        self.dirty |= written > 0;
        Ok(written)
    }

    fn roll(&mut self) -> io::Result<()> {
        let number = self.length / SEGMENT;
        if let Some(full) = self.file.take() {
            full.sync_data()?;
        }
        while number + 1 - (self.oldest - self.keep.div_ceil(2)) > self.keep {
            let _ = std::fs::remove_file(self.dir.join(self.which.segment(self.oldest)));
            self.oldest += 1;
        }
        let path = self.dir.join(self.which.segment(number));
        self.file = Some(OpenOptions::new().append(true).create(true).open(path)?);
        Ok(())
    }

    /// A handle to be synced elsewhere, if anything was written since the last.
    pub fn dirty(&mut self) -> Option<File> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        self.file.as_ref().and_then(|file| file.try_clone().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept_and_the_middle_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = OutputFile::new(dir.path(), Which::Stdout, 4 * SEGMENT);
        let piece = vec![7_u8; 1 << 20];
        let mut left = 7 * SEGMENT + 5;
        while left > 0 {
            let take = usize::try_from(left).unwrap().min(piece.len());
            left -= file.write(&piece[..take]).unwrap() as u64;
        }
        assert_eq!(file.length(), 7 * SEGMENT + 5);
        let there: Vec<u64> = (0..9)
            .filter(|n| dir.path().join(Which::Stdout.segment(*n)).exists())
            .collect();
        assert_eq!(there, [0, 1, 6, 7]);
    }
}

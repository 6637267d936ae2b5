//! The client's end: lines and answers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// Longest line taken, in bytes: a name has 255, a complaint a path and words.
const LONGEST: u64 = 16 << 10;
/// Bytes moved at a time.
pub(super) const PIECE: usize = 256 << 10;

/// Reads and writes, and counts what went wrong.
pub(super) struct Peer<R, W> {
    input: BufReader<R>,
    output: W,
    pub(super) errors: u32,
}

impl<R: Read, W: Write> Peer<R, W> {
    pub(super) fn new(input: R, output: W) -> Self {
        Self {
            input: BufReader::with_capacity(PIECE, input),
            output,
            errors: 0,
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    pub(super) fn ok(&mut self) -> io::Result<()> {
        self.send(&[0])
    }

    /// Something did not work; the rest may.
    pub(super) fn complain(&mut self, about: &Path, why: &io::Error) -> io::Result<()> {
        let why = crate::guest::launch::plain(why);
        self.words(&format!("{}: {why}", about.display()))
    }

    /// The other end breaks the protocol: the last word.
    pub(super) fn refuse(&mut self, words: &str) -> io::Error {
        // It is over in any case.
        let _ = self.words(words);
        io::Error::new(io::ErrorKind::InvalidData, words.to_owned())
    }

    fn words(&mut self, words: &str) -> io::Result<()> {
        self.errors += 1;
        let words: String = words
            .chars()
            .map(|letter| if letter.is_control() { '?' } else { letter })
            .collect();
        self.send(format!("\x01scp: {words}\n").as_bytes())
    }

    /// Does the client want us to go on with this one?
    ///
    /// # Errors
    /// It is gone, or had enough.
    pub(super) fn agrees(&mut self) -> io::Result<bool> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        if byte == [0] {
            return Ok(true);
        }
        self.errors += 1;
        // Its words are for its own user.
        let _ = self.line()?;
        if byte == [2] {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(false)
    }

    /// The next line without its end; `None` at the end of all.
    pub(super) fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        (&mut self.input)
            .take(LONGEST)
            .read_until(b'\n', &mut line)?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) if line.len() as u64 + 1 == LONGEST => {
                Err(self.refuse("that line is too long"))
            }
            Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(buffer)
    }
}

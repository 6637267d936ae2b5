//! Moves JSON frames over a stream.

use std::io;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use super::stream::{Stream, StreamReader, StreamWriter};
use crate::wire::frame::{self, FrameError};
use crate::wire::hear::{Heard, Message};

/// A stream of frames both ways.
#[derive(Debug)]
pub struct Frames {
    reader: FrameReader,
    writer: FrameWriter,
}

/// See [`Frames`].
#[derive(Debug)]
pub struct FrameReader {
    stream: StreamReader,
    bytes: BytesMut,
    largest: usize,
}

/// See [`Frames`].
#[derive(Debug)]
pub struct FrameWriter {
    stream: StreamWriter,
    /// Of a frame whose sending was given up half-way: it goes out first, or nobody could read on.
    unsent: Bytes,
}

impl Frames {
    /// Between gateway and runner: frames up to [`frame::LARGEST`].
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self::with_largest(stream, frame::LARGEST)
    }

    /// With a peer that has not proved itself: frames up to [`frame::LARGEST_HOSTILE`] are taken.
    #[must_use]
    pub fn hostile(stream: Stream) -> Self {
        Self::with_largest(stream, frame::LARGEST_HOSTILE)
    }

    fn with_largest(stream: Stream, largest: usize) -> Self {
        let (reader, writer) = stream.split();
        Self {
            reader: FrameReader {
                stream: reader,
                bytes: BytesMut::new(),
                largest,
            },
            writer: FrameWriter {
                stream: writer,
                unsent: Bytes::new(),
            },
        }
    }

    /// See [`FrameReader::recv`].
    ///
    /// # Errors
    /// As there.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        self.reader.recv().await
    }

    /// The next frame as it came, for whoever does not know yet what it can be; `None` at the peer's end of file.
    ///
    /// # Errors
    /// As [`FrameReader::recv`], but for what the frame says.
    pub async fn recv_bytes(&mut self) -> io::Result<Option<Bytes>> {
        self.reader.next(frame::cut).await
    }

    /// See [`FrameWriter::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        self.writer.send(value).await
    }

    #[must_use]
    pub fn split(self) -> (FrameReader, FrameWriter) {
        (self.reader, self.writer)
    }
}

impl FrameReader {
    /// The next frame; `None` at the peer's end of file. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`StreamReader::next`]; `InvalidData` for a frame that is too large or no `T`; `UnexpectedEof`
    /// for an end inside a frame.
    pub async fn recv<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        self.next(frame::decode).await
    }

    /// As [`FrameReader::recv`], of a peer that may be newer: what only it knows is skipped, and named in the log.
    ///
    /// # Errors
    /// As there.
    pub async fn hear<T: Message>(&mut self) -> io::Result<Option<T>> {
        loop {
            match self.next(frame::hear).await? {
                Some(Heard::Known(message)) => return Ok(Some(message)),
                Some(Heard::Unknown(name)) => {
                    warn!(message = %name.escape_debug(), "skipped: only a newer version knows it");
                }
                None => return Ok(None),
            }
        }
    }

    async fn next<T>(
        &mut self,
        take: impl Fn(&mut BytesMut, usize) -> Result<Option<T>, FrameError>,
    ) -> io::Result<Option<T>> {
        loop {
            if let Some(value) = take(&mut self.bytes, self.largest).map_err(invalid)? {
                return Ok(Some(value));
            }
            match self.stream.next().await? {
                Some(more) => self.bytes.extend_from_slice(&more),
                None if self.bytes.is_empty() => return Ok(None),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

impl FrameWriter {
    /// Sends one frame. A dropped future's frame is completed by the next call, never cut.
    ///
    /// # Errors
    /// As [`StreamWriter::send`]; `InvalidData` for a value that has no frame.
    pub async fn send<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        let frame = frame::encode(value).map_err(invalid)?;
        self.stream.send_from(&mut self.unsent).await?;
        self.unsent = frame;
        self.stream.send_from(&mut self.unsent).await
    }

    /// See [`StreamWriter::finish`].
    ///
    /// # Errors
    /// As there.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.send_from(&mut self.unsent).await?;
        self.stream.finish().await
    }

    /// See [`StreamWriter::closed`].
    pub async fn closed(&mut self) -> io::Error {
        self.stream.closed().await
    }
}

fn invalid(error: FrameError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

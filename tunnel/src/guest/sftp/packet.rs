//! Fields of packets, read and written.

use std::io;

/// Reads one packet's fields in order.
pub(super) struct Reader<'a>(&'a [u8]);

/// A packet is shorter than its fields.
#[derive(Debug)]
pub(super) struct Short;

impl From<Short> for io::Error {
    fn from(_: Short) -> Self {
        io::ErrorKind::InvalidInput.into()
    }
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Short> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Short> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Short> {
        Ok((u64::from(self.u32()?) << 32) | u64::from(self.u32()?))
    }

    pub(super) fn string(&mut self) -> Result<&'a [u8], Short> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}

/// Writes one packet; its length is filled in when it is dropped.
pub(super) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, kind: u8) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0, 0, 0, 0, kind]);
        Self { out, start }
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn string(&mut self, bytes: &[u8]) -> &mut Self {
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.out.extend_from_slice(bytes);
        self
    }

    /// A string that `fill` writes in place, at most `room` bytes; it returns how many.
    pub(super) fn fill<E>(
        &mut self,
        room: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let at = self.out.len();
        self.out.resize(at + 4 + room, 0);
        let filled = fill(&mut self.out[at + 4..])?;
        self.out.truncate(at + 4 + filled);
        let length = u32::try_from(filled).unwrap_or(u32::MAX);
        self.out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(filled)
    }

    /// Takes the packet back.
    pub(super) fn undo(self) {
        self.out.truncate(self.start);
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if self.out.len() > self.start {
            let length = u32::try_from(self.out.len() - self.start - 4).unwrap_or(u32::MAX);
            self.out[self.start..self.start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }
}

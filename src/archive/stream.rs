//! The bytes of a decompressed tar, counted against the limits as they are consumed.
//! Knows nothing of what they mean.

use std::io::{self, Read};

use super::error::Trouble;
use super::rule::Rule;
use crate::contract::ArchiveLimits;

/// Bytes decompressed at a time; nearly every source file fits in.
const BUFFER_BYTES: usize = 128 << 10;

/// A reader with a buffer of its own, and with errors that tell the archive's faults from the disk's.
pub(super) struct Stream<'l, R> {
    reader: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    consumed: u64,
    limits: &'l ArchiveLimits,
    archive_bytes: u64,
}

impl<'l, R: Read> Stream<'l, R> {
    /// `archive_bytes` is the size of the file that `reader` decompresses.
    pub(super) fn new(reader: R, limits: &'l ArchiveLimits, archive_bytes: u64) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { reader, buffer, start: 0, end: 0, consumed: 0, limits, archive_bytes }
    }

    /// The next bytes: at least one and at most `most`, or none at the end.
    pub(super) fn take(&mut self, most: u64) -> Result<&[u8], Trouble> {
        if self.start == self.end {
            self.refill()?;
        }
        let available = self.end - self.start;
        let count = usize::try_from(most).map_or(available, |most| most.min(available));
        self.consumed += count as u64;
        self.limits.check_bytes(self.consumed, self.archive_bytes)?;
        self.start += count;
        Ok(&self.buffer[self.start - count..self.start])
    }

    fn refill(&mut self) -> Result<(), Trouble> {
        self.start = 0;
        self.end = loop {
            match self.reader.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(Trouble::from_decoder)?,
            }
        };
        Ok(())
    }

    /// Fills `target`; false when the stream ended before its first byte.
    pub(super) fn fill(&mut self, target: &mut [u8]) -> Result<bool, Trouble> {
        let mut filled = 0;
        while filled < target.len() {
            let piece = self.take((target.len() - filled) as u64)?;
            if piece.is_empty() {
                return if filled == 0 { Ok(false) } else { Err(Rule::Truncated.into()) };
            }
            target[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(true)
    }

    /// Passes over `count` bytes.
    pub(super) fn skip(&mut self, mut count: u64) -> Result<(), Trouble> {
        while count > 0 {
            match self.take(count)?.len() {
                0 => return Err(Rule::Truncated.into()),
                taken => count -= taken as u64,
            }
        }
        Ok(())
    }

    /// Reads to the end, where there must be nothing but zeros.
    pub(super) fn expect_zeros(&mut self) -> Result<(), Trouble> {
        loop {
            let rest = self.take(u64::MAX)?;
            if rest.is_empty() {
                return Ok(());
            }
            if rest.iter().any(|&byte| byte != 0) {
                return Err(Rule::TrailingData.into());
            }
        }
    }
}

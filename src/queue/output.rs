//! What a running action has written so far, for whoever watches. Knows nothing of the action and its operation.
//!
//! The bytes have a lock of their own: they are no state of an operation, and every chunk of a chatty action would
//! otherwise stop the whole queue. Memory is bounded: of each stream the last bytes are kept. The complete output is
//! in the result of the action.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::execute::OutputStream;

/// How much of each stream is kept.
const KEPT_BYTES: usize = 1 << 20;

/// Standard output and standard error of one action.
#[derive(Debug)]
pub struct ActionOutput {
    streams: Mutex<[Tail; 2]>,
    /// Whether the action has ended; also touched whenever it has written.
    ended: watch::Sender<bool>,
    kept_bytes: usize,
}

/// The end of a stream.
#[derive(Debug, Default)]
struct Tail {
    bytes: VecDeque<u8>,
    /// Bytes before those that are kept.
    dropped: u64,
}

/// Reads one stream of a running action from some offset on.
#[derive(Debug)]
pub struct OutputReader {
    output: Arc<ActionOutput>,
    stream: OutputStream,
    offset: u64,
    ended: watch::Receiver<bool>,
}

/// An offset that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutputGone {
    #[error(
        "byte {asked} of the stream is no longer kept, {first} is the first that is; all of it will be in the \
         result of the action"
    )]
    Dropped { asked: u64, first: u64 },
    #[error("the stream ended at byte {end}, before byte {asked}")]
    PastTheEnd { asked: u64, end: u64 },
}

impl ActionOutput {
    pub(super) fn new() -> Self {
        Self::keeping(KEPT_BYTES)
    }

    fn keeping(kept_bytes: usize) -> Self {
        Self { streams: Mutex::default(), ended: watch::Sender::new(false), kept_bytes }
    }

    /// Adds what the command wrote.
    pub(super) fn append(&self, stream: OutputStream, bytes: &[u8]) {
        {
            let tail = &mut self.streams.lock()[index(stream)];
            tail.bytes.extend(bytes);
            let excess = tail.bytes.len().saturating_sub(self.kept_bytes);
            tail.bytes.drain(..excess);
            tail.dropped += excess as u64;
        }
        self.ended.send_modify(|_| {});
    }

    /// Nothing will be added any more.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Bytes held in memory.
    pub(super) fn size_bytes(&self) -> usize {
        self.streams.lock().iter().map(|tail| tail.bytes.len()).sum()
    }

    /// Reads a stream from `offset` on, as it grows.
    pub fn read(self: &Arc<Self>, stream: OutputStream, offset: u64) -> OutputReader {
        OutputReader { output: Arc::clone(self), stream, offset, ended: self.ended.subscribe() }
    }

    fn bytes_at(&self, stream: OutputStream, offset: u64, most: usize) -> Result<Found, OutputGone> {
        let tail = &self.streams.lock()[index(stream)];
        let end = tail.dropped + tail.bytes.len() as u64;
        if offset < tail.dropped {
            return Err(OutputGone::Dropped { asked: offset, first: tail.dropped });
        }
        if offset >= end {
            return Ok(Found { bytes: Bytes::new(), end });
        }
        let from = usize::try_from(offset - tail.dropped).expect("an offset into what is in memory");
        let to = tail.bytes.len().min(from.saturating_add(most));
        let (one, two) = tail.bytes.as_slices();
        let bytes = if from < one.len() {
            &one[from..to.min(one.len())]
        } else {
            &two[from - one.len()..to - one.len()]
        };
        Ok(Found { bytes: Bytes::copy_from_slice(bytes), end })
    }
}

struct Found {
    bytes: Bytes,
    /// Where the stream ends for now.
    end: u64,
}

impl OutputReader {
    /// The next bytes, at most `most`, which is to be more than none; waits for them. `None` once the action has
    /// ended and all was read.
    ///
    /// # Errors
    /// [`OutputGone`] if the reader fell too far behind, or began after the end.
    pub async fn next(&mut self, most: usize) -> Result<Option<Bytes>, OutputGone> {
        loop {
            // Before looking at the bytes: they are complete when this says so.
            let ended = *self.ended.borrow_and_update();
            let found = self.output.bytes_at(self.stream, self.offset, most)?;
            if !found.bytes.is_empty() {
                self.offset += found.bytes.len() as u64;
                return Ok(Some(found.bytes));
            }
            if ended && self.offset > found.end {
                return Err(OutputGone::PastTheEnd { asked: self.offset, end: found.end });
            }
            if ended || self.ended.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

fn index(stream: OutputStream) -> usize {
    match stream {
        OutputStream::Stdout => 0,
        OutputStream::Stderr => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::within;

    #[tokio::test]
    async fn a_reader_waits_for_more_until_the_action_ends() {
        let output = Arc::new(ActionOutput::new());
        output.append(OutputStream::Stdout, b"one ");
        output.append(OutputStream::Stderr, b"not this");
        let mut reader = output.read(OutputStream::Stdout, 1);
        assert_eq!(reader.next(2).await.unwrap().unwrap(), "ne");
        let writer = Arc::clone(&output);
        let writing = tokio::spawn(async move {
            writer.append(OutputStream::Stdout, b"two");
            writer.end();
        });
        let mut read = Vec::new();
        while let Some(bytes) = within("more output", reader.next(100)).await.unwrap() {
            read.extend_from_slice(&bytes);
        }
        assert_eq!(read, b" two");
        within("the writer", writing).await.unwrap();
    }

    #[tokio::test]
    async fn only_the_last_bytes_are_kept_and_a_gap_is_an_error() {
        let output = Arc::new(ActionOutput::keeping(8));
        for chunk in [&b"0123"[..], b"456789", b"ab"] {
            output.append(OutputStream::Stdout, chunk);
        }
        assert_eq!(output.size_bytes(), 8);
        let gone = output.read(OutputStream::Stdout, 3).next(9).await.unwrap_err();
        assert_eq!(gone, OutputGone::Dropped { asked: 3, first: 4 });
        output.end();
        let mut reader = output.read(OutputStream::Stdout, 4);
        let mut read = Vec::new();
        while let Some(bytes) = within("more output", reader.next(3)).await.unwrap() {
            read.extend_from_slice(&bytes);
        }
        assert_eq!(read, b"456789ab");
        let gone = output.read(OutputStream::Stdout, 13).next(9).await.unwrap_err();
        assert_eq!(gone, OutputGone::PastTheEnd { asked: 13, end: 12 });
        assert_eq!(output.read(OutputStream::Stdout, 12).next(9).await.unwrap(), None);
    }
}

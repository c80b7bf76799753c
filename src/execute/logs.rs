//! What a command writes: read as it comes, shown to whoever watches, kept within bounds of memory, hashed.
//! Knows nothing of the command.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::kept::Kept;
use super::quota::{Bound, Exceeded, Stopper};
use super::work::{Observer, OutputStream};
use crate::cas::{BlobStore, StoreError};
use crate::digest::{Digest, DigestFunction, Hasher};

/// Bytes of a stream that are in the result itself; the rest of the world reads the blob.
const INLINE: usize = 16 << 10;
/// Bytes of a stream that are kept in memory.
const IN_MEMORY: usize = 256 << 10;

/// One stream of a command, complete.
#[derive(Debug)]
pub(super) struct Log {
    hasher: Hasher,
    memory: Vec<u8>,
    /// Everything, once it is too much for memory.
    file: Option<(File, PathBuf)>,
}

impl Log {
    fn new(function: DigestFunction) -> Self {
        Self { hasher: function.hasher(), memory: Vec::new(), file: None }
    }

    fn take(&mut self, bytes: &[u8], place: &Path) -> io::Result<()> {
        self.hasher.update(bytes);
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY {
            let mut file = fs_err::File::create(place)?.into_parts().0;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some((file, place.to_owned()));
        }
        match &mut self.file {
            Some((file, _)) => file.write_all(bytes),
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.hasher.size_bytes() == 0
    }

    /// Adds a line of our own to a log that is empty.
    pub fn say(&mut self, text: &str) {
        self.hasher.update(text.as_bytes());
        self.memory.extend_from_slice(text.as_bytes());
    }

    /// Puts it into the store. Returns what to put into the result: the bytes if they are few, and the digest if
    /// there are any, or if it is for an engine, as there are some that take no result without.
    pub fn store(self, kept: &Kept) -> Result<(Vec<u8>, Option<Digest>), StoreError> {
        let store = kept.store();
        let digest = self.hasher.finish();
        if digest.size_bytes == 0 {
            return Ok((Vec::new(), kept.is_for_engine().then_some(digest)));
        }
        match self.file {
            Some((file, place)) => {
                drop(file);
                if !store.find_missing(&[digest])?.is_empty() {
                    store.adopt(&digest, &place)?;
                }
                kept.keep(&digest)?;
                Ok((Vec::new(), Some(digest)))
            }
            None => {
                let inline = if self.memory.len() <= INLINE { self.memory.clone() } else { Vec::new() };
                store.write(&digest, Bytes::from(self.memory))?;
                kept.keep(&digest)?;
                Ok((inline, Some(digest)))
            }
        }
    }
}

/// Both streams of a command that is about to run.
pub(super) struct LogReader {
    streams: [(OutputStream, PipeReader); 2],
    stop: PipeReader,
}

/// The ends to be given to the command, and one that ends the reading when it is dropped.
pub(super) struct LogWriters {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub stop: PipeWriter,
}

impl LogReader {
    pub fn new() -> io::Result<(Self, LogWriters)> {
        let (stdout_reader, stdout) = io::pipe()?;
        let (stderr_reader, stderr) = io::pipe()?;
        let (stop_reader, stop) = io::pipe()?;
        for reader in [&stdout_reader, &stderr_reader] {
            let flags = rustix::fs::fcntl_getfl(reader)?;
            rustix::fs::fcntl_setfl(reader, flags | rustix::fs::OFlags::NONBLOCK)?;
        }
        let streams = [(OutputStream::Stdout, stdout_reader), (OutputStream::Stderr, stderr_reader)];
        let writers = LogWriters { stdout: stdout.into(), stderr: stderr.into(), stop };
        Ok((Self { streams, stop: stop_reader }, writers))
    }

    /// Reads until nobody can write any more, or until the command is known to be dead and what it wrote has been
    /// read: somebody else may have got hold of the other end. Large logs go to files in `directory`. A command that
    /// writes more than `limit` to both streams together is stopped, and what came before is kept; one whose logs cannot
    /// be kept is stopped, too.
    pub fn read(
        self,
        observer: &dyn Observer,
        function: DigestFunction,
        directory: &Path,
        limit: &Bound,
        stopper: &Stopper,
    ) -> io::Result<[Log; 2]> {
        let read = self.read_within(observer, function, directory, limit, stopper);
        if read.is_err() {
            stopper.stop();
        }
        read
    }

    fn read_within(
        self,
        observer: &dyn Observer,
        function: DigestFunction,
        directory: &Path,
        limit: &Bound,
        stopper: &Stopper,
    ) -> io::Result<[Log; 2]> {
        let mut left = limit.most;
        let mut logs = [Log::new(function), Log::new(function)];
        let places = [directory.join("stdout"), directory.join("stderr")];
        let mut open = [true; 2];
        let mut buffer = vec![0; 64 << 10];
        let mut stopped = false;
        while open.contains(&true) {
            if !stopped {
                stopped = self.wait(open)?;
            }
            let mut anything = false;
            for (index, (stream, reader)) in self.streams.iter().enumerate() {
                if !open[index] {
                    continue;
                }
                match { reader }.read(&mut buffer) {
                    Ok(0) => open[index] = false,
                    Ok(count) => {
                        anything = true;
                        let kept = usize::try_from(left).unwrap_or(usize::MAX).min(count);
                        observer.output(*stream, &buffer[..kept]);
                        logs[index].take(&buffer[..kept], &places[index])?;
                        left -= kept as u64;
                        if kept < count {
                            let did = "has written too much to standard output and standard error";
                            stopper.exceed(Exceeded::new(limit, did));
                            return Ok(logs);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => anything = true,
                    Err(error) => return Err(error),
                }
            }
            if stopped && !anything {
                break;
            }
        }
        Ok(logs)
    }

    /// Returns whether the command is known to be dead.
    fn wait(&self, open: [bool; 2]) -> io::Result<bool> {
        let mut watched = vec![PollFd::new(&self.stop, PollFlags::IN)];
        for (index, (_, reader)) in self.streams.iter().enumerate() {
            if open[index] {
                watched.push(PollFd::new(reader, PollFlags::IN));
            }
        }
        match poll(&mut watched, None) {
            Ok(_) => Ok(!watched[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

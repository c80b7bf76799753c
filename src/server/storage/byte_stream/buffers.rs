//! Buffers for responses, used again and again: fresh memory of this size costs more to have than to fill.

use bytes::Bytes;
use parking_lot::Mutex;

/// A buffer that can become part of a response.
pub(crate) struct Buffer(Vec<u8>);

/// Bytes in a buffer that holds [`CHUNK_BYTES`] of a blob and what goes before them.
const BUFFER_BYTES: usize = CHUNK_BYTES + 64;

/// Bytes of a blob in one message. Fits the caches of a processor, and is large enough that what a message costs does
/// not matter.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;

/// Most buffers kept, together 8 MiB.
const KEPT: usize = 32;

static BUFFERS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

impl Buffer {
    /// One of at least [`BUFFER_BYTES`], with anything in it.
    pub(crate) fn take() -> Self {
        let kept = BUFFERS.lock().pop();
        Self(kept.unwrap_or_else(|| vec![0; BUFFER_BYTES]))
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// The first `length` bytes, without a copy; the buffer is used again after the last of them is gone.
    pub(crate) fn freeze(self, length: usize) -> Bytes {
        Bytes::from_owner(self).slice(..length)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffers = BUFFERS.lock();
        if buffers.len() < KEPT {
            buffers.push(std::mem::take(&mut self.0));
        }
    }
}

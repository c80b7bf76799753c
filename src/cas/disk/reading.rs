//! Blobs out of the store. Knows nothing of how they came in.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::files::io;
use super::layout::Key;
use super::store::{Core, DiskStore};
use super::writing::in_parallel;
use crate::cas::error::StoreError;
use crate::digest::Digest;

/// Larger blobs are not kept in memory.
const HOT_BLOB: u64 = 16 << 10;

impl DiskStore {
    /// Whether a blob is there. Counts as a use of it.
    pub fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.core.files.has(digest, self.core.files.clock.now())
    }

    /// Opens a blob for reading at any offset. It stays readable when it is evicted meanwhile.
    pub fn file(&self, digest: &Digest) -> Result<fs_err::File, StoreError> {
        self.core.file(digest)
    }
}

impl Core {
    pub fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let now = self.files.clock.now();
        let mut missing = Vec::new();
        for digest in digests {
            if !self.files.has(digest, now)? {
                missing.push(*digest);
            }
        }
        Ok(missing)
    }

    pub fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        if digest.size_bytes == 0 {
            return if self.files.has(digest, 0)? {
                Ok(Bytes::new())
            } else {
                Err(StoreError::NotFound(*digest))
            };
        }
        let key = Key::blob(digest);
        let small = digest.size_bytes <= HOT_BLOB;
        if small
            && self.files.has(digest, self.files.clock.now())?
            && let Some(bytes) = self.recent_blobs.get(&key)
        {
            return Ok(bytes);
        }
        let file = self.files.open_blob(digest)?;
        let bytes = self.read_whole(digest, &file)?;
        if small {
            self.recent_blobs.insert(key, bytes.clone(), bytes.len() + size_of::<(Key, Bytes)>());
        }
        Ok(bytes)
    }

    /// Reads one byte more than there should be, to see that there is none.
    fn read_whole(&self, digest: &Digest, file: &File) -> Result<Bytes, StoreError> {
        let size = usize::try_from(digest.size_bytes)
            .map_err(|_| io(&format!("read blob {digest}"), std::io::ErrorKind::OutOfMemory))?;
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(size + 1)
            .map_err(|_| io(&format!("read blob {digest}"), std::io::ErrorKind::OutOfMemory))?;
        loop {
            match rustix::io::read(file, spare_capacity(&mut bytes)) {
                Ok(0) => break,
                Ok(_) if bytes.len() > size => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(io(&format!("read blob {digest}"), error)),
            }
        }
        if bytes.len() == size { Ok(bytes.into()) } else { Err(self.wrong_size(digest)) }
    }

    pub fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        in_parallel(digests, |digest| self.read(digest))
    }

    pub fn file(&self, digest: &Digest) -> Result<fs_err::File, StoreError> {
        if digest.size_bytes == 0 {
            if !self.files.has(digest, 0)? {
                return Err(StoreError::NotFound(*digest));
            }
            // As empty as a file can be, and always there.
            return fs_err::File::open("/dev/null").map_err(|error| io("open an empty file", error));
        }
        let file = self.files.open_blob(digest)?;
        let status = rustix::fs::fstat(&file).map_err(|error| io("look at a blob", error))?;
        if u64::try_from(status.st_size) != Ok(digest.size_bytes) {
            return Err(self.wrong_size(digest));
        }
        Ok(fs_err::File::from_parts(file, Key::blob(digest).name().below(&self.files.directory)))
    }

    pub fn open_at(&self, digest: &Digest, offset: u64) -> Result<fs_err::File, StoreError> {
        let mut file = self.file(digest)?;
        if offset > 0 && digest.size_bytes > 0 {
            file.seek(SeekFrom::Start(offset)).map_err(|error| io("read a blob", error))?;
        }
        Ok(file)
    }

    /// The file of a blob has become shorter or longer than it was: it goes, and is not served.
    pub fn wrong_size(&self, digest: &Digest) -> StoreError {
        match self.files.condemn(&Key::blob(digest), "it has not the size of its blob any more") {
            Ok(()) => StoreError::NotFound(*digest),
            Err(error) => error,
        }
    }
}

//! Blobs out of the store. Knows nothing of how they came in.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::fstat;
use rustix::io::Errno;

use super::files::io;
use super::layout::Key;
use super::proofs::{ATTEMPTS, Look, Presence, Settled, WORTH_A_LOOK, is_damage};
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

    /// Whether a blob is there and is known to be what it was, as far as can be said without a look at the disk.
    pub fn is_proven(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.core.files.presence(digest, self.core.files.clock.now())? == Presence::Sound)
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

    /// Those that are missing, and those that turn out to be broken. What is known to be sound costs nothing.
    pub fn find_unsound(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let now = self.files.clock.now();
        let mut unsound = Vec::new();
        let mut doubtful = Vec::new();
        for digest in digests {
            match self.files.presence(digest, now)? {
                Presence::Sound => {}
                Presence::Missing => unsound.push(*digest),
                Presence::Doubtful => doubtful.push(*digest),
            }
        }
        let proven = in_parallel(&doubtful, |digest| self.files.holds(digest));
        for (digest, holds) in doubtful.into_iter().zip(proven) {
            if !holds? {
                unsound.push(digest);
            }
        }
        Ok(unsound)
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
        let presence = self.files.presence(digest, self.files.clock.now())?;
        if presence == Presence::Missing {
            self.files.settle_size(digest)?;
            return Err(StoreError::NotFound(*digest));
        }
        if small && let Some(bytes) = self.recent_blobs.get(&key) {
            return Ok(bytes);
        }
        let bytes = self.read_file(digest, presence == Presence::Sound)?;
        if small {
            self.recent_blobs.insert(key, bytes.clone(), bytes.len() + size_of::<(Key, Bytes)>());
        }
        Ok(bytes)
    }

    /// Reads the file of a blob, and hashes what it has if that is in doubt.
    fn read_file(&self, digest: &Digest, mut is_sound: bool) -> Result<Bytes, StoreError> {
        let key = Key::blob(digest);
        for _ in 0..ATTEMPTS {
            let file = self.files.open_blob_file(digest)?;
            // A look costs nothing compared to reading it, unless it is small.
            if is_sound && digest.size_bytes > WORTH_A_LOOK {
                let status = fstat(&file).map_err(|error| io("look at a blob", error))?;
                is_sound = self.files.compare(digest, &status)? == Look::Same;
            }
            if is_sound {
                return self.read_whole(digest, &file);
            }
            let status = fstat(&file).map_err(|error| io("look at a blob", error))?;
            let bytes = self.read_whole(digest, &file)?;
            let actual = digest.function.digest(&bytes);
            let flaw = (actual != *digest).then(|| format!("its bytes have the digest {actual}"));
            match self.files.settle(&key, &status, flaw.as_deref())? {
                Settled::Sound => return Ok(bytes),
                Settled::Broken => break,
                Settled::Replaced => {}
            }
        }
        Err(StoreError::NotFound(*digest))
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
                Err(error) if is_damage(error) => {
                    self.files
                        .condemn(&Key::blob(digest), &format!("it cannot be read: {error}"), |_| true)?;
                    return Err(StoreError::NotFound(*digest));
                }
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
        for _ in 0..ATTEMPTS {
            let file = self.files.open_blob(digest)?;
            let status = fstat(&file).map_err(|error| io("look at a blob", error))?;
            match self.files.compare(digest, &status)? {
                Look::Same => {
                    let path = Key::blob(digest).name().below(&self.files.directory);
                    return Ok(fs_err::File::from_parts(file, path));
                }
                Look::Changed => self.files.doubt(digest)?,
                Look::Wrong => return Err(self.wrong_size(digest)),
            }
        }
        Err(keeps_changing(digest))
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
        match self.files.condemn_wrong(digest) {
            Ok(_) => StoreError::NotFound(*digest),
            Err(error) => error,
        }
    }
}

pub(super) fn keeps_changing(digest: &Digest) -> StoreError {
    StoreError::Damaged(format!("somebody keeps writing to the file of blob {digest}"))
}

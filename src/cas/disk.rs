//! A store in a directory, laid out as Bazel's own disk cache (`cas/ab/abcd…`, `ac/ab/abcd…`; below `blake3/` for
//! that function). Knows nothing of the network.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fs_err::os::unix::fs::OpenOptionsExt;
use prost::Message;

use super::{ActionCache, BlobStore, StoreError};
use crate::digest::{Digest, DigestFunction, Hasher};
use crate::reapi::ActionResult;

/// Where a store is and how large it may get.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    pub directory: PathBuf,
    /// Most bytes of blobs to keep; no limit if `None`.
    pub max_bytes: Option<u64>,
}

/// The mode of a file made of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// 0444.
    Plain,
    /// 0555.
    Executable,
}

/// A store in a directory.
#[derive(Debug)]
pub struct DiskStore {
    directory: PathBuf,
}

/// Keeps blobs from being evicted while it lives.
#[derive(Debug)]
pub struct Pins(());

/// A blob being written: dropped unfinished, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    expected: Digest,
    hasher: Hasher,
    file: tempfile::NamedTempFile,
    place: PathBuf,
}

impl DiskStore {
    /// Opens the store in a directory, which is made if there is none.
    pub fn open(settings: &StoreSettings) -> Result<Self, StoreError> {
        let directory = settings.directory.clone();
        for function in DigestFunction::ALL {
            for kind in ["cas", "ac"] {
                for shard in 0..=255_u8 {
                    let shard =
                        function_directory(&directory, function).join(kind).join(format!("{shard:02x}"));
                    fs_err::create_dir_all(&shard).map_err(|source| io("make the store", source))?;
                }
            }
        }
        for own in ["tmp", "trees", "work"] {
            fs_err::create_dir_all(directory.join(own)).map_err(|source| io("make the store", source))?;
        }
        Ok(Self { directory })
    }

    /// A directory on the file system of the blobs for materialised input trees.
    pub fn trees_directory(&self) -> PathBuf {
        self.directory.join("trees")
    }

    /// A directory on the file system of the blobs for the scratch files of running actions.
    pub fn work_directory(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Keeps `digests` until the pins are dropped.
    ///
    /// # Errors
    /// Those that are not there; then none is pinned.
    pub fn pin(&self, digests: &[Digest]) -> Result<Pins, Vec<Digest>> {
        let missing: Vec<Digest> =
            digests.iter().filter(|digest| !self.place(digest).exists()).copied().collect();
        if missing.is_empty() { Ok(Pins(())) } else { Err(missing) }
    }

    /// Makes `place` a file with the bytes of a blob: a hard link where possible, so whoever gets to see it
    /// must not be able to write to it.
    pub fn link(&self, digest: &Digest, mode: FileMode, place: &Path) -> Result<(), StoreError> {
        let source = self.place(digest);
        fs_err::copy(&source, place).map_err(|source| missing_or_io(digest, "copy a blob", source))?;
        let mode = if mode == FileMode::Executable { 0o555 } else { 0o444 };
        fs_err::set_permissions(place, std::fs::Permissions::from_mode(mode))
            .map_err(|source| io("set the mode of a file", source))
    }

    /// Opens a blob for reading at any offset. It stays readable when it is evicted meanwhile.
    pub fn file(&self, digest: &Digest) -> Result<fs_err::File, StoreError> {
        let file = fs_err::File::open(self.place(digest))
            .map_err(|source| missing_or_io(digest, "open a blob", source))?;
        let length = file.metadata().map_err(|source| io("look at a blob", source))?.len();
        if length == digest.size_bytes { Ok(file) } else { Err(StoreError::NotFound(*digest)) }
    }

    /// Starts to write a blob in pieces.
    pub fn upload(&self, digest: &Digest) -> Result<Upload, StoreError> {
        let file = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o444))
            .tempfile_in(self.directory.join("tmp"))
            .map_err(|source| io("make a temporary file", source))?;
        let hasher = digest.function.hasher();
        Ok(Upload { expected: *digest, hasher, file, place: self.place(digest) })
    }

    /// Takes a file of this file system that nobody can write to any more and whose digest is known.
    pub fn adopt(&self, digest: &Digest, file: &Path) -> Result<(), StoreError> {
        fs_err::rename(file, self.place(digest)).map_err(|source| io("adopt a file", source))
    }

    fn place(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        function_directory(&self.directory, digest.function).join("cas").join(&hex[..2]).join(&hex)
    }

    fn action_place(&self, instance_name: &str, action: &Digest) -> PathBuf {
        let hex = if instance_name.is_empty() {
            action.hex()
        } else {
            action.function.digest(format!("{instance_name}\0{}", action.hex()).as_bytes()).hex()
        };
        function_directory(&self.directory, action.function).join("ac").join(&hex[..2]).join(&hex)
    }
}

impl BlobStore for DiskStore {
    fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        Ok(digests.iter().filter(|digest| self.file(digest).is_err()).copied().collect())
    }

    fn read(&self, digest: &Digest) -> Result<Bytes, StoreError> {
        if digest.size_bytes == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = Vec::new();
        self.file(digest)?.read_to_end(&mut bytes).map_err(|source| io("read a blob", source))?;
        Ok(bytes.into())
    }

    fn read_many(&self, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        digests.iter().map(|digest| self.read(digest)).collect()
    }

    fn open(&self, digest: &Digest, offset: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        let mut file = self.file(digest)?;
        file.seek(SeekFrom::Start(offset)).map_err(|source| io("read a blob", source))?;
        Ok(Box::new(file))
    }

    fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        blobs.iter().map(|(digest, bytes)| self.write_from(digest, &mut &bytes[..])).collect()
    }

    fn write_from(&self, digest: &Digest, source: &mut dyn Read) -> Result<(), StoreError> {
        let mut upload = self.upload(digest)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = source.read(&mut buffer).map_err(|source| io("read what is to be stored", source))?;
            if count == 0 {
                return upload.finish();
            }
            upload.write(&buffer[..count])?;
        }
    }
}

impl Upload {
    /// Bytes written so far.
    pub fn committed_bytes(&self) -> u64 {
        self.hasher.size_bytes()
    }

    /// Takes the next bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|source| io("write a blob", source))
    }

    /// Verifies the blob and makes it visible.
    pub fn finish(self) -> Result<(), StoreError> {
        let actual = self.hasher.finish();
        if actual != self.expected {
            return Err(StoreError::Mismatch { expected: self.expected, actual });
        }
        self.file.persist(&self.place).map_err(|error| io("store a blob", error.error))?;
        Ok(())
    }
}

impl ActionCache for DiskStore {
    fn get(&self, instance_name: &str, action: &Digest) -> Result<Option<ActionResult>, StoreError> {
        match fs_err::read(self.action_place(instance_name, action)) {
            Ok(bytes) => Ok(ActionResult::decode(&bytes[..]).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(io("read an action result", source)),
        }
    }

    fn put(&self, instance_name: &str, action: &Digest, result: &ActionResult) -> Result<(), StoreError> {
        let temporary = self.directory.join("tmp").join(uuid::Uuid::new_v4().to_string());
        fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&result.encode_to_vec()))
            .and_then(|()| fs_err::rename(&temporary, self.action_place(instance_name, action)))
            .map_err(|source| io("store an action result", source))
    }
}

fn function_directory(root: &Path, function: DigestFunction) -> PathBuf {
    match function {
        DigestFunction::Sha256 => root.to_owned(),
        other => root.join(other.name()),
    }
}

fn io(doing: &str, source: std::io::Error) -> StoreError {
    StoreError::Io { doing: doing.to_owned(), source }
}

fn missing_or_io(digest: &Digest, doing: &str, source: std::io::Error) -> StoreError {
    if source.kind() == std::io::ErrorKind::NotFound {
        StoreError::NotFound(*digest)
    } else {
        io(doing, source)
    }
}

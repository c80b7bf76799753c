//! Getting blobs onto the server. Knows nothing of what they are for.

use bytes::Bytes;

use super::error::ClientError;
use super::input_root::{Blobs, Content};
use crate::cas::{BlobStore, StoreError};
use crate::digest::Digest;

/// Blobs up to this size are sent many at a time.
const SMALL: u64 = 1 << 20;
/// Most bytes that are held in memory for that.
const BATCH: u64 = 4 << 20;
/// Most blobs that are asked for, or sent, at a time.
const MANY: usize = 10_000;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uploaded {
    pub blobs: usize,
    pub bytes: u64,
}

/// Sends those of `blobs` that the server lacks.
///
/// # Errors
/// [`ClientError::Changed`] for a file that is not what its digest says; whatever the store refuses.
pub(super) fn upload_missing(store: &dyn BlobStore, blobs: &Blobs) -> Result<Uploaded, ClientError> {
    let digests: Vec<Digest> = blobs.keys().copied().collect();
    let mut missing = Vec::new();
    for some in digests.chunks(MANY) {
        missing.extend(store.find_missing(some)?);
    }
    upload(store, blobs, &missing)
}

/// Sends those of `blobs` that `digests` names.
///
/// # Errors
/// As [`upload_missing`].
pub(super) fn upload(
    store: &dyn BlobStore,
    blobs: &Blobs,
    digests: &[Digest],
) -> Result<Uploaded, ClientError> {
    let mut batch = Vec::new();
    let mut held = 0;
    let mut uploaded = Uploaded::default();
    for digest in digests {
        let Some(content) = blobs.get(digest) else { continue };
        uploaded.blobs += 1;
        uploaded.bytes += digest.size_bytes;
        if digest.size_bytes > SMALL {
            let written = match content {
                Content::Memory(bytes) => store.write(digest, bytes.clone()),
                Content::File(path) => {
                    store.write_reopening(digest, &mut || Ok(Box::new(fs_err::File::open(path)?)))
                }
            };
            written.map_err(|error| blame(error, content))?;
            continue;
        }
        let bytes = match content {
            Content::Memory(bytes) => bytes.clone(),
            Content::File(path) => Bytes::from(fs_err::read(path)?),
        };
        held += bytes.len() as u64;
        batch.push((*digest, bytes));
        if held > BATCH || batch.len() >= MANY {
            send(store, blobs, &std::mem::take(&mut batch))?;
            held = 0;
        }
    }
    send(store, blobs, &batch)?;
    Ok(uploaded)
}

fn send(store: &dyn BlobStore, blobs: &Blobs, batch: &[(Digest, Bytes)]) -> Result<(), ClientError> {
    if batch.is_empty() {
        return Ok(());
    }
    for ((digest, _), written) in batch.iter().zip(store.write_many(batch)) {
        written.map_err(|error| match blobs.get(digest) {
            Some(content) => blame(error, content),
            None => error.into(),
        })?;
    }
    Ok(())
}

fn blame(error: StoreError, content: &Content) -> ClientError {
    match (error, content) {
        (StoreError::Mismatch { .. }, Content::File(path)) => ClientError::Changed(path.clone()),
        (error, _) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cas::{DiskStore, StoreSettings};
    use crate::digest::DigestFunction;

    fn store() -> (tempfile::TempDir, DiskStore) {
        let directory = tempfile::tempdir().unwrap();
        let settings =
            StoreSettings { directory: directory.path().join("store"), ..StoreSettings::default() };
        let store = DiskStore::open(&settings).unwrap();
        (directory, store)
    }

    #[test]
    fn only_what_is_missing_is_sent() {
        let (directory, store) = store();
        let large = directory.path().join("large");
        fs_err::write(&large, vec![7; 2 << 20]).unwrap();
        let contents = [
            Content::Memory("a".into()),
            Content::Memory(vec![1; 3 << 20].into()),
            Content::File(large.clone()),
        ];
        let bytes = [b"a".to_vec(), vec![1; 3 << 20], vec![7; 2 << 20]];
        let mut blobs = Blobs::new();
        for (bytes, content) in bytes.iter().zip(contents) {
            blobs.insert(DigestFunction::Sha256.digest(bytes), content);
        }
        store.write(&DigestFunction::Sha256.digest(b"a"), "a".into()).unwrap();
        let uploaded = upload_missing(&store, &blobs).unwrap();
        assert_eq!(uploaded, Uploaded { blobs: 2, bytes: 5 << 20 });
        for bytes in &bytes {
            assert_eq!(store.read(&DigestFunction::Sha256.digest(bytes)).unwrap(), bytes);
        }
        assert_eq!(upload_missing(&store, &blobs).unwrap(), Uploaded::default());
    }

    #[test]
    fn a_file_that_changed_is_named() {
        let (directory, store) = store();
        for size in [10, 2 << 20] {
            let file = directory.path().join(format!("file-{size}"));
            fs_err::write(&file, vec![1; size]).unwrap();
            let blobs =
                Blobs::from([(DigestFunction::Sha256.digest(&vec![2; size]), Content::File(file.clone()))]);
            match upload_missing(&store, &blobs) {
                Err(ClientError::Changed(path)) => assert_eq!(path, file),
                other => panic!("{other:?}"),
            }
        }
    }
}

//! Blobs in chunks: cut where their content says (FastCDC 2020, as REAPI `FastCdc2020Params` has it), so that two
//! versions of a blob share most of them, and put together again. Knows nothing of where chunks are stored.

use std::collections::HashSet;
use std::io::{self, Read};

use bytes::Bytes;
use fastcdc::v2020::{Normalization, StreamCDC};

use super::error::StoreError;
use super::traits::BlobStore;
use crate::digest::{Digest, DigestFunction};

/// Chunks are written to the store when so many bytes of them have come together.
const BATCH_BYTES: usize = 16 << 20;

/// Where blobs are cut. The limits of a chunk follow from the average: a quarter of it, and four times as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunking {
    average_bytes: u32,
    seed: u32,
}

impl Default for Chunking {
    /// What REAPI recommends: 512 KiB, no seed.
    fn default() -> Self {
        Self { average_bytes: 512 << 10, seed: 0 }
    }
}

impl Chunking {
    /// With chunks of 1 KiB to 4 MiB on average, a multiple of 8 bytes; `None` for others.
    pub fn new(average_bytes: u64, seed: u32) -> Option<Self> {
        let average_bytes = u32::try_from(average_bytes).ok()?;
        let allowed = (1 << 10..=4 << 20).contains(&average_bytes) && average_bytes.is_multiple_of(8);
        allowed.then_some(Self { average_bytes, seed })
    }

    /// REAPI `avg_chunk_size_bytes`.
    pub fn average_bytes(&self) -> u64 {
        self.average_bytes.into()
    }

    /// REAPI `seed`.
    pub fn seed(&self) -> u32 {
        self.seed
    }

    /// No chunk is larger, and smaller blobs are better left whole.
    pub fn max_bytes(&self) -> u64 {
        4 * self.average_bytes()
    }
}

/// A part of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub digest: Digest,
    /// Where it starts in the blob.
    pub offset: u64,
    pub bytes: Bytes,
}

/// The chunks of what `source` yields, in order, each when it is asked for.
pub fn chunks<R: Read>(
    source: R,
    function: DigestFunction,
    chunking: Chunking,
) -> impl Iterator<Item = io::Result<Chunk>> {
    let average = chunking.average_bytes as usize;
    let level = Normalization::Level2;
    let seed = u64::from(chunking.seed);
    StreamCDC::with_level_and_seed(source, average / 4, average, 4 * average, level, seed).map(move |chunk| {
        let chunk = chunk?;
        let bytes = Bytes::from(chunk.data);
        Ok(Chunk { digest: function.digest(&bytes), offset: chunk.offset, bytes })
    })
}

/// Cuts a blob of the store and writes its chunks there; their digests in order (REAPI `SplitBlob`).
pub fn split(
    store: &(impl BlobStore + ?Sized),
    blob: &Digest,
    chunking: Chunking,
) -> Result<Vec<Digest>, StoreError> {
    let source = store.open(blob, 0)?;
    let mut digests = Vec::new();
    let mut batch: Vec<(Digest, Bytes)> = Vec::new();
    let mut batch_bytes = 0;
    let write = |batch: &mut Vec<(Digest, Bytes)>| -> Result<(), StoreError> {
        store.write_many(&std::mem::take(batch)).into_iter().collect()
    };
    for chunk in chunks(source, blob.function, chunking) {
        let chunk = chunk.map_err(|source| StoreError::Io { doing: format!("read blob {blob}"), source })?;
        digests.push(chunk.digest);
        batch_bytes += chunk.bytes.len();
        batch.push((chunk.digest, chunk.bytes));
        if batch_bytes >= BATCH_BYTES {
            write(&mut batch)?;
            batch_bytes = 0;
        }
    }
    write(&mut batch)?;
    Ok(digests)
}

/// Puts a blob together from chunks of the store (REAPI `SpliceBlob`). If it is there already, nothing is read.
///
/// # Errors
/// [`StoreError::NotFound`] with a chunk that is missing, [`StoreError::Mismatch`] if the chunks are not the blob's.
pub fn splice(store: &(impl BlobStore + ?Sized), blob: &Digest, chunks: &[Digest]) -> Result<(), StoreError> {
    if store.find_unsound(&[*blob])?.is_empty() {
        return Ok(());
    }
    let distinct: Vec<Digest> = chunks.iter().copied().collect::<HashSet<_>>().into_iter().collect();
    if let Some(missing) = store.find_missing(&distinct)?.first() {
        return Err(StoreError::NotFound(*missing));
    }
    let mut source = Concatenation { store, chunks: chunks.iter(), current: None, failure: None };
    let written = store.write_from(blob, &mut source);
    match source.failure {
        Some(failure) => Err(failure),
        None => written,
    }
}

/// Reads one chunk after the other.
struct Concatenation<'a, S: ?Sized> {
    store: &'a S,
    chunks: std::slice::Iter<'a, Digest>,
    current: Option<Box<dyn Read + Send>>,
    /// Why a chunk could not be opened, which is more than an [`io::Error`] can say.
    failure: Option<StoreError>,
}

impl<S: BlobStore + ?Sized> Read for Concatenation<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(current) = &mut self.current {
                match current.read(buffer)? {
                    0 if !buffer.is_empty() => self.current = None,
                    count => return Ok(count),
                }
            }
            let Some(next) = self.chunks.next() else { return Ok(0) };
            match self.store.open(next, 0) {
                Ok(chunk) => self.current = Some(chunk),
                Err(failure) => {
                    let error = io::Error::other(failure.to_string());
                    self.failure = Some(failure);
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cas::disk::{DiskStore, StoreSettings};

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn cut(bytes: &[u8], chunking: Chunking) -> Vec<Chunk> {
        chunks(bytes, DigestFunction::Sha256, chunking).map(Result::unwrap).collect()
    }

    fn store() -> (tempfile::TempDir, DiskStore) {
        let directory = tempfile::tempdir().unwrap();
        let settings = StoreSettings { directory: directory.path().to_owned(), ..StoreSettings::default() };
        (directory, DiskStore::open(&settings).unwrap())
    }

    #[test]
    fn only_sizes_of_the_specification_are_taken() {
        for refused in [0, 1000, 1023, 1025, (4 << 20) + 8, 8 << 20, u64::MAX] {
            assert_eq!(Chunking::new(refused, 0), None, "{refused}");
        }
        assert_eq!(Chunking::new(512 << 10, 0), Some(Chunking::default()));
        assert_eq!(Chunking::new(1 << 10, 7).map(|chunking| chunking.max_bytes()), Some(4096));
    }

    /// Clients cut in the same places, so these must never move.
    #[test]
    fn cuts_stay_where_they_are() {
        let chunks = cut(&noise(100_000), Chunking::new(8 << 10, 0).unwrap());
        let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk.bytes.len()).collect();
        assert_eq!(lengths, [14922, 8386, 14356, 8374, 3519, 5088, 8626, 8384, 12892, 10266, 5187]);
    }

    #[test]
    fn one_more_byte_changes_the_chunks_around_it_only() {
        let before = noise(1 << 20);
        let mut after = before.clone();
        after.insert(500_000, 1);
        let chunking = Chunking::new(8 << 10, 0).unwrap();
        let known: HashSet<Digest> = cut(&before, chunking).iter().map(|chunk| chunk.digest).collect();
        let new = cut(&after, chunking).iter().filter(|chunk| !known.contains(&chunk.digest)).count();
        assert!((1..=3).contains(&new), "{new} of {}", known.len());
    }

    #[test]
    fn what_was_split_is_spliced() {
        let (_directory, store) = store();
        let bytes = Bytes::from(noise(300_000));
        let blob = DigestFunction::Blake3.digest(&bytes);
        store.write(&blob, bytes.clone()).unwrap();
        let chunks = split(&store, &blob, Chunking::new(4 << 10, 3).unwrap()).unwrap();
        assert!(chunks.len() > 20);

        let (_directory, other) = self::store();
        for chunk in &chunks {
            other.write(chunk, store.read(chunk).unwrap()).unwrap();
        }
        splice(&other, &blob, &chunks).unwrap();
        assert_eq!(other.read(&blob).unwrap(), bytes);
        splice(&other, &blob, &[]).unwrap();
    }

    #[test]
    fn a_blob_of_missing_or_wrong_chunks_is_refused() {
        let (_directory, store) = store();
        let digest = |bytes: &'static [u8]| DigestFunction::Sha256.digest(bytes);
        for part in [&b"one"[..], b"two"] {
            store.write(&DigestFunction::Sha256.digest(part), Bytes::from_static(part)).unwrap();
        }
        let blob = digest(b"onetwo");
        let missing = splice(&store, &blob, &[digest(b"one"), digest(b"three")]).unwrap_err();
        assert!(matches!(missing, StoreError::NotFound(chunk) if chunk == digest(b"three")));
        let wrong = splice(&store, &blob, &[digest(b"two"), digest(b"one")]).unwrap_err();
        assert!(matches!(wrong, StoreError::Mismatch { .. }));
        splice(&store, &blob, &[digest(b"one"), Digest::empty(DigestFunction::Sha256), digest(b"two")])
            .unwrap();
        assert_eq!(store.read(&blob).unwrap(), &b"onetwo"[..]);
    }

    proptest! {
        #[test]
        fn chunks_are_the_blob_and_within_their_limits(
            bytes in proptest::collection::vec(any::<u8>(), 0..50_000), seed: u32
        ) {
            let chunking = Chunking::new(1 << 10, seed).unwrap();
            let chunks = cut(&bytes, chunking);
            let mut offset = 0;
            for (number, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(chunk.offset, offset);
                prop_assert!(chunk.bytes.len() <= 4 << 10);
                prop_assert!(chunk.bytes.len() >= 256 || number == chunks.len() - 1);
                offset += chunk.bytes.len() as u64;
            }
            let whole: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
            prop_assert_eq!(whole, bytes);
        }
    }
}

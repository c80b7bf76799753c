//! Where things lie in the directory of a store. `cas` and `ac` are exactly as in Bazel's disk cache; the rest
//! is our own. Knows nothing of what is there.
//!
//! ```text
//! cas/ab/abcd…            blobs by SHA-256             blake3/cas/ab/abcd…   and by BLAKE3
//! ac/ab/abcd…             action results               blake3/ac/ab/abcd…
//! crosswheel.lock         locked by the process that uses the store
//! tmp/crosswheel/0 … f    blobs being written; `tmp` itself may be Bazel's, too
//! tmp/crosswheel-old-…    to be deleted in the background
//! quarantine/cas-ab-abcd…  files that were found not to be what their names say
//! variants/ab/abcd…       copies of blobs with the mode that the file in `cas` has not
//! trees/ work/            of whoever runs actions
//! ```

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, DigestFunction, parse_hash};

/// Directories per kind and function, one for each first byte of the hash.
pub(super) const SHARDS: usize = 256;

pub(super) const LOCK: &str = "crosswheel.lock";
pub(super) const TEMPORARY: &str = "tmp/crosswheel";
/// Start of the names in `tmp` of what is to be deleted.
pub(super) const OLD: &str = "crosswheel-old-";
pub(super) const QUARANTINE: &str = "quarantine";
pub(super) const VARIANTS: &str = "variants";
pub(super) const TREES: &str = "trees";
pub(super) const WORK: &str = "work";

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Blob,
    Result,
}

/// Names a file below `cas` or `ac`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub kind: Kind,
    pub function: DigestFunction,
    pub hash: [u8; 32],
}

/// One of the directories with two hexadecimal digits as their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shard {
    pub kind: Kind,
    pub function: DigestFunction,
    pub first: u8,
}

/// A path below the store's directory, ready for a system call.
pub(super) struct Name {
    bytes: [u8; 96],
    length: usize,
}

impl Key {
    pub fn blob(digest: &Digest) -> Self {
        Self { kind: Kind::Blob, function: digest.function, hash: digest.hash }
    }

    /// The result of an action. Results of an instance with a name are kept under a hash of both.
    pub fn result(instance_name: &str, action: &Digest) -> Self {
        let hash = if instance_name.is_empty() {
            action.hash
        } else {
            action.function.digest(format!("{instance_name}\0{}", action.hex()).as_bytes()).hash
        };
        Self { kind: Kind::Result, function: action.function, hash }
    }

    pub fn shard(&self) -> Shard {
        Shard { kind: self.kind, function: self.function, first: self.hash[0] }
    }

    /// `cas/ab/abcd…` and so on.
    pub fn name(&self) -> Name {
        let mut name = self.shard().name();
        name.push(b"/");
        name.push_hex(&self.hash);
        name
    }

    /// `variants/ab/abcd…`: where the second inode of a blob is.
    pub fn variant(&self) -> Name {
        let mut name = Name::new(match self.function {
            DigestFunction::Sha256 => b"variants/",
            DigestFunction::Blake3 => b"variants/blake3/",
        });
        name.push_hex(&self.hash[..1]);
        name.push(b"/");
        name.push_hex(&self.hash);
        name
    }
}

impl Shard {
    /// All of them, those of blobs by SHA-256 first.
    pub fn all() -> impl Iterator<Item = Self> {
        DigestFunction::ALL.into_iter().flat_map(|function| {
            [Kind::Blob, Kind::Result]
                .into_iter()
                .flat_map(move |kind| (0..=255_u8).map(move |first| Self { kind, function, first }))
        })
    }

    /// A number below [`Shard::COUNT`].
    pub fn number(self) -> usize {
        let function = match self.function {
            DigestFunction::Sha256 => 0,
            DigestFunction::Blake3 => 1,
        };
        (function * 2 + usize::from(self.kind == Kind::Result)) * SHARDS + usize::from(self.first)
    }

    pub const COUNT: usize = 4 * SHARDS;

    /// `cas/ab` and so on.
    pub fn name(self) -> Name {
        let mut name = Name::new(match (self.function, self.kind) {
            (DigestFunction::Sha256, Kind::Blob) => b"cas/",
            (DigestFunction::Sha256, Kind::Result) => b"ac/",
            (DigestFunction::Blake3, Kind::Blob) => b"blake3/cas/",
            (DigestFunction::Blake3, Kind::Result) => b"blake3/ac/",
        });
        name.push_hex(&[self.first]);
        name
    }

    /// The key of a file in this directory; `None` if it is none of ours.
    pub fn key(self, file_name: &[u8]) -> Option<Key> {
        if file_name.len() != 64 {
            return None;
        }
        let hash = parse_hash(std::str::from_utf8(file_name).ok()?).ok()?;
        (hash[0] == self.first).then_some(Key { kind: self.kind, function: self.function, hash })
    }
}

impl Name {
    fn new(start: &[u8]) -> Self {
        let mut name = Self { bytes: [0; 96], length: 0 };
        name.push(start);
        name
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        let end = self.length + 2 * bytes.len();
        hex::encode_to_slice(bytes, &mut self.bytes[self.length..end]).expect("the room is twice the bytes");
        self.length = end;
    }

    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_with_nul(&self.bytes[..=self.length]).expect("names hold no NUL but the last")
    }

    pub fn below(&self, directory: &Path) -> PathBuf {
        directory.join(self.as_str())
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).expect("names are ASCII")
    }

    /// The directory it is in.
    pub fn parent(&self) -> &str {
        self.as_str().rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_bazels_disk_cache() {
        let hex = format!("ab{}", "0".repeat(62));
        let hash = parse_hash(&hex).unwrap();
        let name = |kind, function| Key { kind, function, hash }.name().as_str().to_owned();
        assert_eq!(name(Kind::Blob, DigestFunction::Sha256), format!("cas/ab/{hex}"));
        assert_eq!(name(Kind::Result, DigestFunction::Sha256), format!("ac/ab/{hex}"));
        assert_eq!(name(Kind::Blob, DigestFunction::Blake3), format!("blake3/cas/ab/{hex}"));
        assert_eq!(name(Kind::Result, DigestFunction::Blake3), format!("blake3/ac/ab/{hex}"));
        let variant = Key { kind: Kind::Blob, function: DigestFunction::Blake3, hash }.variant();
        assert_eq!(variant.as_c_str().to_bytes().len(), variant.as_str().len());
        assert_eq!(variant.parent(), "variants/blake3/ab");
    }

    #[test]
    fn every_shard_has_a_number_of_its_own() {
        let mut numbers: Vec<usize> = Shard::all().map(Shard::number).collect();
        assert_eq!(numbers.len(), Shard::COUNT);
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..Shard::COUNT));
    }

    #[test]
    fn files_that_are_none_of_ours_have_no_key() {
        let shard = Shard { kind: Kind::Blob, function: DigestFunction::Sha256, first: 0xab };
        let ours = format!("ab{}", "1".repeat(62));
        assert_eq!(shard.key(ours.as_bytes()).unwrap().name().as_str(), format!("cas/ab/{ours}"));
        let others = ["gc".into(), "f".repeat(64), ours.to_uppercase(), format!("{ours}.tmp")];
        assert!(others.iter().all(|name| shard.key(name.as_bytes()).is_none()));
        assert!(shard.key(&[0xff; 64]).is_none());
    }
}

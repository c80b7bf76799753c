//! The hashes that somebody wrote down for a file (`--hash=sha256:...`, `#sha256=...`): read, and held against files.
//! Knows nothing of where a file comes from.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha384, Sha512};

use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;

/// One hash, written `sha256:...`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileHash {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-384, in lower-case hexadecimal digits.
    Sha384(String),
    /// SHA-512, in lower-case hexadecimal digits.
    Sha512(String),
}

/// Why a text is no hash to rely on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHash {
    /// Not `ALGORITHM:DIGEST`.
    #[error("`{0}` is not of the form sha256:DIGEST")]
    Form(String),
    /// One that nobody should rely on, or that nobody knows.
    #[error("`{0}` is no hash to rely on; there are sha256, sha384 and sha512")]
    Algorithm(String),
    /// Not as many hexadecimal digits as there must be.
    #[error("a {algorithm} is {digits} hexadecimal digits, not `{digest}`")]
    Digest { algorithm: String, digits: usize, digest: String },
}

impl FileHash {
    /// The hash `digest` of `algorithm`.
    pub fn new(algorithm: &str, digest: &str) -> Result<Self, InvalidHash> {
        let digits = match algorithm {
            "sha256" => 64,
            "sha384" => 96,
            "sha512" => 128,
            _ => return Err(InvalidHash::Algorithm(algorithm.to_owned())),
        };
        let digest = digest.to_ascii_lowercase();
        let hexadecimal = digest.len() == digits && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        let invalid =
            || InvalidHash::Digest { algorithm: algorithm.to_owned(), digits, digest: digest.clone() };
        match algorithm {
            _ if !hexadecimal => Err(invalid()),
            "sha256" => digest.parse().map(Self::Sha256).map_err(|_| invalid()),
            "sha384" => Ok(Self::Sha384(digest)),
            _ => Ok(Self::Sha512(digest)),
        }
    }
}

impl FromStr for FileHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let (algorithm, digest) = text.split_once(':').ok_or_else(|| InvalidHash::Form(text.to_owned()))?;
        Self::new(&algorithm.to_ascii_lowercase(), digest)
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => write!(formatter, "sha256:{digest}"),
            Self::Sha384(digest) => write!(formatter, "sha384:{digest}"),
            Self::Sha512(digest) => write!(formatter, "sha512:{digest}"),
        }
    }
}

/// Hashes of which a file must have one; none stands for any file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredHashes(Vec<FileHash>);

impl RequiredHashes {
    /// The one that a lock has.
    ///
    /// # Errors
    /// If it is no hash to rely on.
    pub fn of(locked: Option<&crate::lock::FileHash>) -> Result<Self, Failure> {
        let refused = |error: InvalidHash| {
            Failure::new(FailureClass::FetchFailed, error.to_string())
                .with_hint("lock it again with an index that tells SHA-256")
        };
        let hash = locked.map(|locked| FileHash::new(&locked.algorithm, &locked.hex).map_err(refused));
        Ok(Self(hash.transpose()?.into_iter().collect()))
    }

    /// Adds one that will do as well.
    pub fn add(&mut self, hash: FileHash) {
        if !self.0.contains(&hash) {
            self.0.push(hash);
        }
    }

    /// Adds each that will do for `others`.
    pub fn add_all(&mut self, others: &Self) {
        others.0.iter().for_each(|hash| self.add(hash.clone()));
    }

    /// Each that will do.
    pub fn iter(&self) -> impl Iterator<Item = &FileHash> {
        self.0.iter()
    }

    /// Whether any file will do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The only SHA-256 that will do, if there is but one.
    pub fn only_sha256(&self) -> Option<Sha256> {
        match self.0.as_slice() {
            [FileHash::Sha256(sha256)] => Some(*sha256),
            _ => None,
        }
    }

    /// Whether a file with this SHA-256 will do; nobody can tell if another algorithm's hash might be its.
    pub fn admits(&self, sha256: Sha256) -> Option<bool> {
        if self.0.is_empty() || self.0.contains(&FileHash::Sha256(sha256)) {
            return Some(true);
        }
        self.0.iter().all(|hash| matches!(hash, FileHash::Sha256(_))).then_some(false)
    }

    /// Fails unless the file at `path`, whose SHA-256 is `sha256`, has one of the hashes.
    pub fn check(&self, path: &Path, sha256: Sha256) -> Result<(), Failure> {
        let has = match self.admits(sha256) {
            Some(known) => known,
            None => {
                let sha384 = FileHash::Sha384(hex_digest::<Sha384>(path)?);
                self.0.contains(&sha384) || self.0.contains(&FileHash::Sha512(hex_digest::<Sha512>(path)?))
            }
        };
        if has {
            return Ok(());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let wanted: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        let message = format!("{name} has sha256:{sha256}, and {} was expected", wanted.join(", "));
        Err(Failure::new(FailureClass::FetchFailed, message).with_hint(
            "it is another file than the one that was pinned, or the hash of this file is missing there",
        ))
    }
}

fn hex_digest<D: Digest>(path: &Path) -> Result<String, Failure> {
    let mut file = fs_err::File::open(path)?;
    let mut digest = D::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_have_one_of_the_hashes_whatever_their_algorithm() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a-1.tar.gz");
        fs_err::write(&path, "abc").unwrap();
        let sha256 = Sha256::of(b"abc");
        let sha512 = format!("sha512:{}", hex::encode(Sha512::digest(b"abc")));
        let sha384 = format!("SHA384:{}", hex::encode_upper(Sha384::digest(b"abc")));
        let other = format!("sha256:{}", Sha256::of(b"other"));
        let check = |hashes: &[&str]| {
            let mut required = RequiredHashes::default();
            hashes.iter().for_each(|hash| required.add(hash.parse().unwrap()));
            required.check(&path, sha256)
        };
        check(&[]).unwrap();
        check(&[&other, &format!("sha256:{sha256}")]).unwrap();
        check(&[&other, &sha512]).unwrap();
        check(&[&sha384]).unwrap();
        let failure = check(&[&other, &format!("sha512:{}", "0".repeat(128))]).unwrap_err();
        assert_eq!(failure.class, FailureClass::FetchFailed);
        assert!(failure.message.contains("a-1.tar.gz has sha256:ba78"), "{failure}");
    }

    #[test]
    fn the_hash_of_a_lock_is_one_to_rely_on() {
        let locked = |algorithm: &str, digits| crate::lock::FileHash {
            algorithm: algorithm.to_owned(),
            hex: "0".repeat(digits),
        };
        assert!(RequiredHashes::of(None).unwrap().is_empty());
        assert!(!RequiredHashes::of(Some(&locked("sha512", 128))).unwrap().is_empty());
        let failure = RequiredHashes::of(Some(&locked("md5", 32))).unwrap_err();
        assert!(failure.message.contains("no hash to rely on"), "{failure}");
    }

    #[test]
    fn weak_and_mangled_hashes_are_refused() {
        for (text, says) in [
            ("md5:d41d8cd98f00b204e9800998ecf8427e", "no hash to rely on"),
            ("sha256:12", "64 hexadecimal digits"),
            ("sha256", "not of the form"),
            (&format!("sha384:{}", "g".repeat(96)), "96 hexadecimal digits"),
            ("", "not of the form"),
        ] {
            let error = text.parse::<FileHash>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}

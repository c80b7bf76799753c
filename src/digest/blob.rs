//! The digests of the Remote Execution API: a hash, the function that made it, and the length of the blob.

use std::fmt;

use sha2::Digest as _;

use crate::reapi;

/// A digest function we can compute (REAPI `DigestFunction.Value`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum DigestFunction {
    #[default]
    Sha256,
    Blake3,
}

/// Names a blob (REAPI `Digest`): 32 bytes of hash whatever the function, and the length of the blob in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    pub function: DigestFunction,
    pub hash: [u8; 32],
    pub size_bytes: u64,
}

/// Why a `Digest` message or a digest in a resource name does not name a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlobDigest {
    #[error("the digest is missing")]
    Missing,
    #[error("`{0}` is not a hash of 64 lower-case hexadecimal digits")]
    Hash(String),
    #[error("{0} is not the size of a blob in bytes")]
    Size(i64),
    #[error("digest function {0} is not supported (SHA256 and BLAKE3 are)")]
    Function(String),
}

impl DigestFunction {
    /// All functions, in the order in which capabilities list them.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Blake3];

    /// From the number in a request. Zero is a client that names none, which means SHA-256 here: both our
    /// functions have hashes of one length, and the API wants the older one then.
    ///
    /// # Errors
    /// [`InvalidBlobDigest::Function`] for those we cannot compute.
    pub fn from_wire(value: i32) -> Result<Self, InvalidBlobDigest> {
        use reapi::digest_function::Value;
        match Value::try_from(value) {
            Ok(Value::Unknown | Value::Sha256) => Ok(Self::Sha256),
            Ok(Value::Blake3) => Ok(Self::Blake3),
            Ok(other) => Err(InvalidBlobDigest::Function(other.as_str_name().to_owned())),
            Err(_) => Err(InvalidBlobDigest::Function(format!("number {value}"))),
        }
    }

    /// The number in requests and responses.
    pub fn to_wire(self) -> i32 {
        use reapi::digest_function::Value;
        (match self {
            Self::Sha256 => Value::Sha256,
            Self::Blake3 => Value::Blake3,
        }) as i32
    }

    /// As in resource names (`blobs/blake3/…`) and directory names: lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Blake3 => "blake3",
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let hash = match self {
            Self::Sha256 => sha2::Sha256::digest(bytes).into(),
            Self::Blake3 => blake3::hash(bytes).into(),
        };
        Digest { function: self, hash, size_bytes: bytes.len() as u64 }
    }

    /// The digest of a message in its canonical encoding.
    pub fn digest_message(self, message: &impl prost::Message) -> (Digest, Vec<u8>) {
        let bytes = message.encode_to_vec();
        (self.digest(&bytes), bytes)
    }

    /// Starts a hash over bytes that come in pieces.
    pub fn hasher(self) -> Hasher {
        let state = match self {
            Self::Sha256 => State::Sha256(sha2::Sha256::new()),
            Self::Blake3 => State::Blake3(Box::new(blake3::Hasher::new())),
        };
        Hasher { state, size_bytes: 0 }
    }
}

/// A digest in the making.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: State,
    size_bytes: u64,
}

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.state {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Blake3(hasher) => {
                hasher.update(bytes);
            }
        }
        self.size_bytes += bytes.len() as u64;
    }

    /// Bytes taken so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The digest of all bytes taken.
    pub fn finish(self) -> Digest {
        let (function, hash) = match self.state {
            State::Sha256(hasher) => (DigestFunction::Sha256, hasher.finalize().into()),
            State::Blake3(hasher) => (DigestFunction::Blake3, hasher.finalize().into()),
        };
        Digest { function, hash, size_bytes: self.size_bytes }
    }
}

impl Digest {
    /// The digest of no bytes.
    pub fn empty(function: DigestFunction) -> Self {
        function.digest(b"")
    }

    /// From a message and the digest function of the request it came in.
    ///
    /// # Errors
    /// [`InvalidBlobDigest`] for what cannot name a blob.
    pub fn from_message(
        function: DigestFunction,
        message: &reapi::Digest,
    ) -> Result<Self, InvalidBlobDigest> {
        let size_bytes =
            u64::try_from(message.size_bytes).map_err(|_| InvalidBlobDigest::Size(message.size_bytes))?;
        Ok(Self { function, hash: parse_hash(&message.hash)?, size_bytes })
    }

    /// As [`Digest::from_message`], for a field that may be missing.
    ///
    /// # Errors
    /// [`InvalidBlobDigest`] for what cannot name a blob.
    pub fn from_field(
        function: DigestFunction,
        field: Option<&reapi::Digest>,
    ) -> Result<Self, InvalidBlobDigest> {
        Self::from_message(function, field.ok_or(InvalidBlobDigest::Missing)?)
    }

    /// The message that says the same but for the function.
    pub fn to_message(&self) -> reapi::Digest {
        // A blob of more than 2^63 bytes cannot exist.
        reapi::Digest { hash: self.hex(), size_bytes: i64::try_from(self.size_bytes).unwrap_or(i64::MAX) }
    }

    /// The hash as 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(self.hash)
    }
}

/// Reads a hash; upper-case digits are refused, as one blob must have one name.
pub fn parse_hash(text: &str) -> Result<[u8; 32], InvalidBlobDigest> {
    let invalid = || InvalidBlobDigest::Hash(text.chars().take(80).collect());
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(invalid());
    }
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).map_err(|_| invalid())?;
    Ok(hash)
}

impl fmt::Display for Digest {
    /// `hash/size`, as in resource names.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.hex(), self.size_bytes)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{self}", self.function.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_and_the_whole_have_one_digest(bytes: Vec<u8>, cut in 0_usize..64) {
            for function in DigestFunction::ALL {
                let mut hasher = function.hasher();
                let (one, two) = bytes.split_at(cut.min(bytes.len()));
                hasher.update(one);
                hasher.update(two);
                let digest = hasher.finish();
                prop_assert_eq!(digest, function.digest(&bytes));
                prop_assert_eq!(Digest::from_message(function, &digest.to_message()), Ok(digest));
            }
        }

        #[test]
        fn no_message_makes_the_parser_panic(hash: String, size_bytes: i64) {
            let _ = Digest::from_message(DigestFunction::Sha256, &reapi::Digest { hash, size_bytes });
        }
    }

    #[test]
    fn what_names_no_blob_is_refused() {
        let parse = |hash: &str, size_bytes| {
            Digest::from_message(DigestFunction::Sha256, &reapi::Digest { hash: hash.into(), size_bytes })
        };
        assert!(matches!(parse(&"a".repeat(63), 1), Err(InvalidBlobDigest::Hash(_))));
        assert!(matches!(parse(&"A".repeat(64), 1), Err(InvalidBlobDigest::Hash(_))));
        assert!(matches!(parse(&"a".repeat(64), -1), Err(InvalidBlobDigest::Size(-1))));
        assert!(parse(&"a".repeat(64), 0).is_ok());
    }

    #[test]
    fn functions_we_cannot_compute_are_named_in_the_refusal() {
        use reapi::digest_function::Value;
        let refusal = DigestFunction::from_wire(Value::Sha512 as i32).unwrap_err();
        assert!(refusal.to_string().contains("SHA512"), "{refusal}");
        assert!(DigestFunction::from_wire(4711).is_err());
    }
}

//! Digests of bytes: plain SHA-256 for files of the packaging world, and the digests of the Remote Execution API,
//! which know their function and the length of what they name. Knows nothing of what the bytes mean.

mod blob;
mod sha256;

pub use blob::{Digest, DigestFunction, Hasher, InvalidBlobDigest, parse_hash};
pub use sha256::{HashingReader, HashingWriter, InvalidDigest, Sha256};

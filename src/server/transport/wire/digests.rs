//! Digests in requests and responses, by the million.

use super::fields::{Fields, Malformed, put_varint, varint_length};
use crate::digest::{Digest, DigestFunction, InvalidBlobDigest};

/// A `Digest` as it was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WireDigest<'a> {
    hash: &'a [u8],
    size_bytes: i64,
}

impl<'a> WireDigest<'a> {
    /// Reads an encoded `Digest`.
    pub(crate) fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut digest = Self::default();
        for field in Fields::of(message) {
            match field? {
                (1, value) => digest.hash = value.bytes()?,
                (2, value) => digest.size_bytes = value.int64()?,
                _ => {}
            }
        }
        Ok(digest)
    }

    /// The blob it names.
    pub(crate) fn resolve(&self, function: DigestFunction) -> Result<Digest, InvalidBlobDigest> {
        let size_bytes =
            u64::try_from(self.size_bytes).map_err(|_| InvalidBlobDigest::Size(self.size_bytes))?;
        let hash = parse(self.hash).ok_or_else(|| {
            InvalidBlobDigest::Hash(String::from_utf8_lossy(self.hash).chars().take(80).collect())
        })?;
        Ok(Digest { function, hash, size_bytes })
    }
}

/// The digest function of a request that names it in the field `tag`.
pub(crate) fn request_function(message: &[u8], tag: u32) -> Result<i32, Malformed> {
    let mut function = 0;
    for field in Fields::of(message) {
        match field? {
            (found, value) if found == tag => function = value.int32()?,
            _ => {}
        }
    }
    Ok(function)
}

/// Appends a `Digest` as the field `tag`.
pub(crate) fn put_digest(out: &mut Vec<u8>, tag: u32, digest: &Digest) {
    const HASH_FIELD: usize = 1 + 1 + 64;
    let size_field = if digest.size_bytes == 0 { 0 } else { 1 + varint_length(digest.size_bytes) };
    put_varint(out, u64::from(tag << 3 | 2));
    put_varint(out, (HASH_FIELD + size_field) as u64);
    out.extend_from_slice(&[1 << 3 | 2, 64]);
    let mut hex = [0; 64];
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(digest.hash) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    out.extend_from_slice(&hex);
    if size_field > 0 {
        out.push(2 << 3);
        put_varint(out, digest.size_bytes);
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The value of each lower-case hexadecimal digit; of every other byte, one with a high bit.
const VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut digit = 0;
    while digit < 16 {
        values[DIGITS[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

fn parse(hex: &[u8]) -> Option<[u8; 32]> {
    let hex: &[u8; 64] = hex.try_into().ok()?;
    let mut hash = [0; 32];
    let mut seen = 0;
    for (byte, pair) in hash.iter_mut().zip(hex.as_chunks::<2>().0) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    (seen & 0x80 == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::reapi;

    proptest! {
        #[test]
        fn digests_are_read_and_written_as_others_do(blob: Vec<u8>, size_bytes in 0..i64::MAX) {
            let mut digest = DigestFunction::Blake3.digest(&blob);
            digest.size_bytes = size_bytes.cast_unsigned();
            let message = reapi::FindMissingBlobsResponse { missing_blob_digests: vec![digest.to_message()] };
            let mut out = Vec::new();
            put_digest(&mut out, 2, &digest);
            prop_assert_eq!(&out, &message.encode_to_vec());
            let encoded = digest.to_message().encode_to_vec();
            let read = WireDigest::read(&encoded).unwrap().resolve(DigestFunction::Blake3);
            prop_assert_eq!(read, Ok(digest));
        }

        #[test]
        fn what_names_no_blob_is_refused_as_elsewhere(hash in "[0-9a-fA-Fg]{63,65}", size_bytes: i64) {
            let message = reapi::Digest { hash, size_bytes };
            let encoded = message.encode_to_vec();
            let read = WireDigest::read(&encoded).unwrap().resolve(DigestFunction::Sha256);
            prop_assert_eq!(read, Digest::from_message(DigestFunction::Sha256, &message));
        }
    }
}

//! The names of blobs in ByteStream calls. Knows nothing of the calls.
//!
//! ```text
//! {instance}/blobs/{function/}{hash}/{size}
//! {instance}/compressed-blobs/zstd/{function/}{hash}/{size}
//! {instance}/uploads/{uuid}/blobs/{function/}{hash}/{size}{/anything}
//! {instance}/uploads/{uuid}/compressed-blobs/zstd/{function/}{hash}/{size}{/anything}
//! ```
//!
//! An instance may have slashes in it, but no segment that is one of the words reserved by the API; so where it ends
//! is never in doubt. The function is left out for SHA-256.

use crate::digest::{Digest, DigestFunction, InvalidBlobDigest, parse_hash};

/// Names a blob to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadName {
    pub(crate) instance_name: String,
    pub(crate) digest: Digest,
    pub(crate) compressor: Compressor,
}

/// Names one upload of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct UploadName {
    pub(crate) instance_name: String,
    /// Chosen by the client; a UUID, though nothing depends on that.
    pub(crate) uuid: String,
    pub(crate) digest: Digest,
    pub(crate) compressor: Compressor,
}

/// How the bytes of a blob are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compressor {
    Identity,
    Zstd,
}

/// Why a name names no blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidResourceName {
    #[error(
        "`{0}` is not of the form [INSTANCE/]blobs/[FUNCTION/]HASH/SIZE or \
             [INSTANCE/]compressed-blobs/zstd/[FUNCTION/]HASH/SIZE"
    )]
    NoRead(String),
    #[error(
        "`{0}` is not of the form [INSTANCE/]uploads/UUID/blobs/[FUNCTION/]HASH/SIZE or \
             [INSTANCE/]uploads/UUID/compressed-blobs/zstd/[FUNCTION/]HASH/SIZE"
    )]
    NoUpload(String),
    #[error("the instance name in `{0}` has the segment `{1}`, which is reserved")]
    Reserved(String, String),
    #[error("`{0}` is not a compressor of this server (zstd is)")]
    Compressor(String),
    #[error("`{0}` is not a digest function of this server (blake3 is; sha256 is not to be named)")]
    Function(String),
    #[error("`{0}` is not the size of a blob in bytes")]
    Size(String),
    #[error(transparent)]
    Digest(#[from] InvalidBlobDigest),
}

const RESERVED: [&str; 7] =
    ["blobs", "uploads", "actions", "actionResults", "operations", "capabilities", "compressed-blobs"];

impl ReadName {
    pub(crate) fn parse(name: &str) -> Result<Self, InvalidResourceName> {
        let segments: Vec<&str> = name.split('/').collect();
        let no_read = || InvalidResourceName::NoRead(shown(name));
        let start = segments
            .iter()
            .position(|segment| matches!(*segment, "blobs" | "compressed-blobs"))
            .ok_or_else(no_read)?;
        let instance_name = instance(name, &segments[..start])?;
        let (compressor, digest, rest) =
            blob(&segments[start..]).map_err(|error| error.unwrap_or_else(no_read))?;
        if !rest.is_empty() {
            return Err(no_read());
        }
        Ok(Self { instance_name, digest, compressor })
    }
}

impl UploadName {
    pub(crate) fn parse(name: &str) -> Result<Self, InvalidResourceName> {
        let segments: Vec<&str> = name.split('/').collect();
        let no_upload = || InvalidResourceName::NoUpload(shown(name));
        let start = segments.iter().position(|segment| *segment == "uploads").ok_or_else(no_upload)?;
        let instance_name = instance(name, &segments[..start])?;
        let uuid = segments.get(start + 1).filter(|uuid| !uuid.is_empty()).ok_or_else(no_upload)?;
        // What follows the size is the client's own.
        let (compressor, digest, _) =
            blob(&segments[start + 2..]).map_err(|error| error.unwrap_or_else(no_upload))?;
        Ok(Self { instance_name, uuid: (*uuid).to_owned(), digest, compressor })
    }
}

/// Reads `blobs/…` or `compressed-blobs/…`. An error without a reason is one of form.
fn blob<'a, 's>(
    segments: &'a [&'s str],
) -> Result<(Compressor, Digest, &'a [&'s str]), Option<InvalidResourceName>> {
    let (compressor, segments) = match segments {
        ["blobs", rest @ ..] => (Compressor::Identity, rest),
        ["compressed-blobs", "zstd", rest @ ..] => (Compressor::Zstd, rest),
        ["compressed-blobs", other, ..] => {
            return Err(Some(InvalidResourceName::Compressor(shown(other))));
        }
        _ => return Err(None),
    };
    let (function, segments) = match segments {
        // A hash is longer than the name of any function.
        [name, rest @ ..] if name.len() < 32 && rest.len() >= 2 => {
            let function = DigestFunction::ALL.into_iter().find(|function| function.name() == *name);
            (function.ok_or_else(|| Some(InvalidResourceName::Function(shown(name))))?, rest)
        }
        segments => (DigestFunction::Sha256, segments),
    };
    let [hash, size, rest @ ..] = segments else { return Err(None) };
    let hash = parse_hash(hash).map_err(|error| Some(error.into()))?;
    let size_bytes = size
        .parse::<u64>()
        .ok()
        .filter(|size_bytes| {
            i64::try_from(*size_bytes).is_ok() && size.bytes().all(|byte| byte.is_ascii_digit())
        })
        .ok_or_else(|| Some(InvalidResourceName::Size(shown(size))))?;
    Ok((compressor, Digest { function, hash, size_bytes }, rest))
}

fn instance(name: &str, segments: &[&str]) -> Result<String, InvalidResourceName> {
    if let Some(reserved) = segments.iter().find(|segment| RESERVED.contains(segment)) {
        return Err(InvalidResourceName::Reserved(shown(name), (*reserved).to_owned()));
    }
    Ok(segments.join("/"))
}

/// Names are shown in messages, and may be megabytes.
fn shown(name: &str) -> String {
    name.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn digest(function: DigestFunction) -> Digest {
        Digest { function, hash: parse_hash(HASH).unwrap(), size_bytes: 12 }
    }

    #[test]
    fn names_of_all_forms_are_read() {
        for instance_name in ["", "main", "a/b c/d"] {
            let prefix = if instance_name.is_empty() { String::new() } else { format!("{instance_name}/") };
            for (function, function_segment) in [
                (DigestFunction::Sha256, ""),
                (DigestFunction::Blake3, "blake3/"),
                (DigestFunction::Sha256, "sha256/"),
            ] {
                for (compressor, blobs) in
                    [(Compressor::Identity, "blobs"), (Compressor::Zstd, "compressed-blobs/zstd")]
                {
                    let blob = format!("{blobs}/{function_segment}{HASH}/12");
                    let digest = digest(function);
                    let instance_name = instance_name.to_owned();
                    let expected = ReadName { instance_name: instance_name.clone(), digest, compressor };
                    assert_eq!(ReadName::parse(&format!("{prefix}{blob}")), Ok(expected));
                    let expected = UploadName { instance_name, uuid: "u".into(), digest, compressor };
                    for suffix in ["", "/", "/some/file.c"] {
                        let name = format!("{prefix}uploads/u/{blob}{suffix}");
                        assert_eq!(UploadName::parse(&name), Ok(expected.clone()));
                    }
                }
            }
        }
    }

    #[test]
    fn what_names_no_blob_is_refused_with_a_reason() {
        use InvalidResourceName as Invalid;
        let read = |name: &str| ReadName::parse(&name.replace("HASH", HASH)).unwrap_err();
        assert!(matches!(read(""), Invalid::NoRead(_)));
        assert!(matches!(read("blobs"), Invalid::NoRead(_)));
        assert!(matches!(read("blobs/HASH"), Invalid::NoRead(_)));
        assert!(matches!(read("blobs/HASH/12/more"), Invalid::NoRead(_)));
        assert!(matches!(read("blobs/HASH/-1"), Invalid::Size(_)));
        assert!(matches!(read("blobs/HASH/+1"), Invalid::Size(_)));
        assert!(matches!(read("blobs/HASH/99999999999999999999"), Invalid::Size(_)));
        assert!(matches!(read("blobs/ABCD/HASH/12"), Invalid::Function(_)));
        assert!(matches!(read("blobs/md5/HASH/12"), Invalid::Function(_)));
        assert!(matches!(read("blobs/HASHa/12"), Invalid::Digest(_)));
        assert!(matches!(read("compressed-blobs/brotli/HASH/12"), Invalid::Compressor(_)));
        assert!(matches!(read("a/operations/blobs/HASH/12"), Invalid::Reserved(..)));
        let write = |name: &str| UploadName::parse(&name.replace("HASH", HASH)).unwrap_err();
        assert!(matches!(write("blobs/HASH/12"), Invalid::NoUpload(_)));
        assert!(matches!(write("uploads//blobs/HASH/12"), Invalid::NoUpload(_)));
        assert!(matches!(write("uploads"), Invalid::NoUpload(_)));
        assert!(matches!(write("uploads/u"), Invalid::NoUpload(_)));
        assert!(matches!(write("capabilities/uploads/u/blobs/HASH/12"), Invalid::Reserved(..)));
    }

    proptest! {
        #[test]
        fn no_name_makes_the_parser_panic(name in "(blobs|uploads|compressed-blobs|zstd|/|é|[0-9a-f]{64}|.){0,12}") {
            let _ = ReadName::parse(&name);
            let _ = UploadName::parse(&name);
        }
    }
}

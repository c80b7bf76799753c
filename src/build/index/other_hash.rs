//! Digests of files by other functions than SHA-256, which some locks have. Knows nothing of where they come from.

use std::io::Read;
use std::path::Path;

use sha2::Digest;

use crate::contract::{Failure, FailureClass};

/// Fails unless the file at `path` has the hash (its algorithm, and hexadecimal digits), if there is one.
///
/// # Errors
/// Another hash, and an algorithm that cannot be checked.
pub fn check_other_hash(path: &Path, hash: Option<&(String, String)>) -> Result<(), Failure> {
    let Some((algorithm, expected)) = hash else { return Ok(()) };
    let found = match algorithm.as_str() {
        "sha224" => digest::<sha2::Sha224>(path)?,
        "sha384" => digest::<sha2::Sha384>(path)?,
        "sha512" => digest::<sha2::Sha512>(path)?,
        _ => {
            let message = format!(
                "{}: its only hash is one of {algorithm}, which crosswheel does not check",
                path.file_name().unwrap_or_default().to_string_lossy()
            );
            return Err(Failure::new(FailureClass::FetchFailed, message)
                .with_hint("lock it again with an index that tells SHA-256"));
        }
    };
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    let message = format!(
        "{} has {algorithm} {found}, but {expected} was expected",
        path.file_name().unwrap_or_default().to_string_lossy()
    );
    Err(Failure::new(FailureClass::FetchFailed, message)
        .with_hint("the file was changed or damaged on the way; do not use it before you know which"))
}

fn digest<D: Digest>(path: &Path) -> std::io::Result<String> {
    let mut file = fs_err::File::open(path)?;
    let (mut digest, mut buffer) = (D::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            count => digest.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_lock_is_that_of_the_file_or_it_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a-1-py3-none-any.whl");
        fs_err::write(&file, "wheel").unwrap();
        let check = |algorithm: &str, hex: &str| {
            check_other_hash(&file, Some(&(algorithm.to_owned(), hex.to_owned())))
        };
        check_other_hash(&file, None).unwrap();
        let sha384 = hex::encode(sha2::Sha384::digest(b"wheel"));
        check("sha384", &sha384).unwrap();
        check("sha384", &sha384.to_uppercase()).unwrap();
        check("sha512", &hex::encode(sha2::Sha512::digest(b"wheel"))).unwrap();
        check("sha224", &hex::encode(sha2::Sha224::digest(b"wheel"))).unwrap();
        let failure = check("sha384", &hex::encode(sha2::Sha384::digest(b"another"))).unwrap_err();
        assert!(failure.message.contains("was expected"), "{failure}");
        assert!(check("md5", "00").unwrap_err().message.contains("does not check"));
    }
}

//! `--build-wheels`: wheels of the build requirements, by path and, if that is known, by digest.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::digest::{InvalidDigest, Sha256};

/// A wheel, or a directory of wheels to choose from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenWheels {
    /// The file or directory.
    pub path: PathBuf,
    /// SHA-256 of the file, if it is known. It is what is used, even if the file is another by now; if that
    /// was unpacked before, the file is not opened.
    pub sha256: Option<Sha256>,
}

/// What stands between a path and a digest.
const MARK: &str = "#sha256=";

impl GivenWheels {
    /// Reads `PATH` or `PATH#sha256=DIGEST`.
    ///
    /// # Errors
    /// What follows the mark is no digest.
    pub fn parse(text: OsString) -> Result<Self, InvalidDigest> {
        let bytes = text.as_bytes();
        let Some(at) = bytes.windows(MARK.len()).rposition(|window| window == MARK.as_bytes()) else {
            return Ok(Self { path: text.into(), sha256: None });
        };
        let digest = String::from_utf8_lossy(&bytes[at + MARK.len()..]).parse()?;
        let path = OsStr::from_bytes(&bytes[..at]).into();
        Ok(Self { path, sha256: Some(digest) })
    }

    /// `PATH`, as it is given, to `PATH#sha256=DIGEST`, if there is one to give.
    pub(super) fn render(&self, path: &str) -> String {
        match &self.sha256 {
            Some(sha256) => format!("{path}{MARK}{sha256}"),
            None => path.to_owned(),
        }
    }

    /// Path and digest, in hexadecimal digits, of what was [rendered](Self::render); unchecked, as whoever takes the
    /// digest on trust has to compare it.
    pub fn split(text: &str) -> (&str, Option<&str>) {
        text.rsplit_once(MARK).map_or((text, None), |(path, digest)| (path, Some(digest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_may_follow_the_path() {
        let digest = Sha256::of(b"wheel");
        let parse = |text: &str| GivenWheels::parse(text.into());
        let given = |path: &str, sha256| GivenWheels { path: path.into(), sha256 };
        assert_eq!(parse("/w/a.whl").unwrap(), given("/w/a.whl", None));
        assert_eq!(parse(&format!("/w/a#1.whl#sha256={digest}")).unwrap(), given("/w/a#1.whl", Some(digest)));
        assert!(parse("/w/a.whl#sha256=").is_err());
    }

    /// Else a worker would compare the digest of one file, and the step take that of another for it.
    #[test]
    fn both_readers_split_at_the_same_mark() {
        let digest = Sha256::of(b"wheel");
        for path in ["a.whl", "a#sha256=b.whl", "#sha256="] {
            let text = format!("{path}#sha256={digest}");
            let parsed = GivenWheels::parse(text.clone().into()).unwrap();
            let (split, hex) = GivenWheels::split(&text);
            assert_eq!(
                (parsed.path.to_str(), parsed.sha256),
                (Some(split), hex.and_then(|hex| hex.parse().ok()))
            );
        }
    }
}

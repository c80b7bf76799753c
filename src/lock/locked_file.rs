//! The files of a record: sdists and wheels. Knows nothing of which is right for whom.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

/// A file of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    /// Its name, decoded.
    pub file_name: String,
    /// Where it is.
    pub place: FilePlace,
    /// What it is, if the lock says so.
    pub hash: Option<FileHash>,
    /// Its size in bytes, if the lock says so.
    pub size: Option<u64>,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePlace {
    /// At a URL.
    Url(Url),
    /// On disk: absolute, or relative to the lock's directory.
    Path(PathBuf),
}

/// `ALGORITHM:HEX`, as the lock has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHash {
    /// In lower case: `sha256`.
    pub algorithm: String,
    /// In lower case.
    pub hex: String,
}

impl std::str::FromStr for FileHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not ALGORITHM:HEX");
        let (algorithm, hex) = text.split_once(':').ok_or_else(wrong)?;
        let is_hex = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_name = !algorithm.is_empty() && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_hex || !is_name {
            return Err(wrong());
        }
        Ok(Self { algorithm: algorithm.to_ascii_lowercase(), hex: hex.to_ascii_lowercase() })
    }
}

/// `sha256:…`
impl std::fmt::Display for FileHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

/// The last part of `path`, decoded as URLs are; none if it is not the name of a file.
pub(super) fn file_name_of_url(url: &Url) -> Option<String> {
    let last = url.path().rsplit('/').next().unwrap_or_default();
    let name = percent_decode_str(last).decode_utf8().ok()?.into_owned();
    is_file_name(&name).then_some(name)
}

/// Whether `name` can be the name of a file in a directory of ours.
pub(super) fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\\', '\0', '\n', '\r'])
}

//! Where the record of a lock comes from. Knows nothing of the record's files.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// The `source` of a `[[package]]`. Paths are as in the lock: relative to its directory, or absolute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordSource {
    /// An index, or a directory with files (`--find-links`).
    Registry(RegistryPlace),
    /// A repository at a commit.
    Git(GitSource),
    /// An archive at a URL.
    Url {
        /// Where it is.
        url: Url,
        /// The project within it.
        subdirectory: Option<String>,
    },
    /// An archive on disk.
    Path(PathBuf),
    /// A source tree on disk.
    Directory(PathBuf),
    /// A source tree on disk that is to be installed as a link to it.
    Editable(PathBuf),
    /// A source tree on disk that is never installed, only what it depends on.
    Virtual(PathBuf),
}

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RegistryPlace {
    /// An index (PEP 503).
    Url(Url),
    /// A directory of files.
    Directory(PathBuf),
}

/// A repository at a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GitSource {
    /// As the lock has it: `URL?rev=…&subdirectory=…#COMMIT`.
    pub text: String,
    /// The repository, without query and fragment.
    pub repository: Url,
    /// The branch, tag or revision that was asked for.
    pub reference: Option<String>,
    /// The project within it.
    pub subdirectory: Option<String>,
    /// The commit that was locked, in full.
    pub commit: String,
}

impl GitSource {
    /// As the lock has it, without a login.
    pub fn shown(&self) -> String {
        match self.text.parse::<Url>() {
            Ok(url) if url.has_authority() && (!url.username().is_empty() || url.password().is_some()) => {
                without_login(&url).to_string()
            }
            _ => self.text.clone(),
        }
    }
}

impl RecordSource {
    /// Where in an archive or a repository the project is, if not at its top.
    pub fn subdirectory(&self) -> Option<&str> {
        match self {
            Self::Git(git) => git.subdirectory.as_deref(),
            Self::Url { subdirectory, .. } => subdirectory.as_deref(),
            _ => None,
        }
    }

    /// The source tree on disk, if it is one.
    pub fn tree(&self) -> Option<&PathBuf> {
        match self {
            Self::Directory(path) | Self::Editable(path) | Self::Virtual(path) => Some(path),
            Self::Registry(_) | Self::Git(_) | Self::Url { .. } | Self::Path(_) => None,
        }
    }
}

/// The key of the lock and its value, without logins: `registry https://pypi.org/simple`.
impl fmt::Display for RecordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(RegistryPlace::Url(url)) => write!(f, "registry {}", without_login(url)),
            Self::Registry(RegistryPlace::Directory(path)) => write!(f, "registry {}", path.display()),
            Self::Git(git) => write!(f, "git {}#{}", without_login(&git.repository), git.commit),
            Self::Url { url, .. } => write!(f, "url {}", without_login(url)),
            Self::Path(path) => write!(f, "path {}", path.display()),
            Self::Directory(path) => write!(f, "directory {}", path.display()),
            Self::Editable(path) => write!(f, "editable {}", path.display()),
            Self::Virtual(path) => write!(f, "virtual {}", path.display()),
        }
    }
}

/// Whether `text` is the id of a commit, SHA-1 or SHA-256, all of it.
pub fn is_whole_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `url` without user information.
pub(super) fn without_login(url: &Url) -> Url {
    let mut url = url.clone();
    // Both fail only for URLs that cannot have a login.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

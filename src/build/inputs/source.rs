//! Where the sdist of a source comes from: a file, a URL, a git repository, or versions of a project in an index.
//! Knows nothing of how a source is fetched, nor of what else is said of it ([`super::requested`]).

use std::path::{Path, PathBuf};

use pep440_rs::{Operator, Version, VersionSpecifiers};
use pep508_rs::PackageName;
use url::Url;

use super::fragment::{SourceFragment, subdirectory_part};
use super::git_source::GitSource;
use super::hashes::RequiredHashes;
use crate::build::index::credentials::{Credentials, redact_urls};
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;

/// Where an sdist comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A local file.
    File(PathBuf),
    /// A source directory, of which an sdist is made first.
    Directory(PathBuf),
    /// An archive at a URL.
    Url {
        /// The URL without its fragment.
        url: Url,
        /// The digest that was promised, if it is the only one that will do.
        sha256: Option<Sha256>,
        /// All hashes of which the archive must have one.
        hashes: RequiredHashes,
        /// Where the project is in the archive, if it is not at its top: then the archive is no sdist.
        subdirectory: Option<String>,
    },
    /// A git repository.
    Git(GitSource),
    /// One version of a project, from the index.
    Pinned {
        /// Normalised project name.
        name: PackageName,
        /// The version.
        version: Version,
    },
    /// The newest version of a project that fits, from the index.
    Newest {
        /// Normalised project name.
        name: PackageName,
        /// Which versions fit.
        specifiers: VersionSpecifiers,
        /// Whether pre-releases are as good as others.
        prereleases: bool,
    },
}

impl Source {
    /// The versions of `name` that `specifiers` admit: one of them, if they name it.
    pub fn of_versions(name: PackageName, specifiers: VersionSpecifiers) -> Self {
        if let [specifier] = specifiers.iter().as_slice()
            && matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual)
        {
            return Self::Pinned { name, version: specifier.version().clone() };
        }
        Self::Newest { name, specifiers, prereleases: false }
    }

    /// Whether it leads to source files and not to an sdist, which is then made of them.
    pub fn is_tree(&self) -> bool {
        matches!(self, Self::Git(_) | Self::Directory(_) | Self::Url { subdirectory: Some(_), .. })
    }

    /// As people name it, from wherever they are; read again by [`Self::parse_place`]. May hold a login. None for
    /// versions of a project.
    pub fn place_text(&self) -> Result<Option<String>, Failure> {
        let absolute = |path: &Path| -> Result<String, Failure> {
            let path = fs_err::canonicalize(path)?;
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| invalid(format!("{} is not UTF-8", path.display())))
        };
        Ok(match self {
            Self::File(path) | Self::Directory(path) => Some(absolute(path)?),
            Self::Git(git) => Some(git.with_login()),
            Self::Url { url, hashes, subdirectory, .. } => {
                let within = subdirectory.as_deref().map(subdirectory_part);
                let hashes = hashes.iter().map(|hash| hash.to_string().replacen(':', "=", 1));
                let fragment = within.into_iter().chain(hashes).collect::<Vec<_>>().join("&");
                let mut url = url.clone();
                url.set_fragment((!fragment.is_empty()).then_some(&fragment));
                Some(url.to_string())
            }
            Self::Pinned { .. } | Self::Newest { .. } => None,
        })
    }

    /// The same without a login, which `credentials` remember if it has one.
    pub fn without_login(mut self, credentials: &Credentials) -> Self {
        match &mut self {
            Self::Url { url, .. } => *url = credentials.absorb(url),
            Self::Git(git) if ["http", "https"].contains(&git.repository.scheme()) => {
                git.repository = credentials.absorb(&git.repository);
            }
            // The user of ssh says where it is; a password ssh would not take.
            Self::Git(git) => drop(git.repository.set_password(None)),
            _ => {}
        }
        self
    }

    /// The same, with pre-releases as good as others if `wanted`.
    pub fn with_prereleases(mut self, wanted: bool) -> Self {
        if let Self::Newest { prereleases, .. } = &mut self {
            *prereleases |= wanted;
        }
        self
    }

    /// Reads the place of a source: a URL, with or without `git+`, or a path, which is relative to `base`. Also gives
    /// what else its fragment says.
    pub fn parse_place(text: &str, base: &Path) -> Result<(Self, SourceFragment), Failure> {
        if text.starts_with("git+") {
            let (source, fragment) = GitSource::parse(text).map_err(invalid)?;
            return Ok((Self::Git(source), fragment));
        }
        if text.contains("://") {
            return parse_url(text);
        }
        if let Some(source) = Self::local(text, base)? {
            return Ok((source, SourceFragment::default()));
        }
        // A file name may have a `#` of its own, which was for the line above to find.
        if let Some((path, fragment)) = text.rsplit_once('#')
            && let Some(Self::File(path)) = Self::local(path, base)?
        {
            return parse_url(&format!("{}#{fragment}", file_url(&path)?));
        }
        let failure = invalid(format!("there is no file `{text}`"));
        Err(match text.split_once(':') {
            Some((login, path)) if login.contains('@') => {
                failure.with_hint(format!("write git+ssh://{login}/{path} for a git repository"))
            }
            _ => failure,
        })
    }

    /// The source at the path `text`, if there is anything.
    pub fn local(text: &str, base: &Path) -> Result<Option<Self>, Failure> {
        let path = base.join(text);
        if path.is_file() {
            return Ok(Some(Self::File(path)));
        }
        if path.is_dir() {
            return Ok(Some(Self::Directory(path)));
        }
        Ok(None)
    }
}

fn parse_url(text: &str) -> Result<(Source, SourceFragment), Failure> {
    let shown = redact_urls(text);
    let mut url: Url = text.parse().map_err(|error| invalid(format!("`{shown}` is not a URL: {error}")))?;
    match url.scheme() {
        "http" | "https" | "file" => {}
        "git" | "ssh" => {
            let failure = invalid(format!("`{shown}` is neither an http, an https nor a file URL"));
            return Err(
                failure.with_hint("for a git repository write git+https://, git+ssh:// or git+file://")
            );
        }
        scheme @ ("hg+https" | "hg+http" | "hg+ssh" | "svn+https" | "svn+ssh" | "bzr+https") => {
            let failure = invalid(format!("`{shown}`: {scheme} is not supported"));
            return Err(failure.with_hint("check it out and build the directory, or name an archive of it"));
        }
        _ => return Err(invalid(format!("`{shown}` is neither an http, an https nor a file URL"))),
    }
    let fragment = SourceFragment::parse(url.fragment().unwrap_or_default())
        .map_err(|problem| invalid(format!("`{shown}` {problem}")))?;
    url.set_fragment(None);
    if let ("file", Ok(path)) = (url.scheme(), url.to_file_path())
        && path.is_dir()
        && let Some(source) = Source::local(&path.to_string_lossy(), Path::new("/"))?
    {
        return Ok((source, fragment));
    }
    let (sha256, subdirectory) = (fragment.hashes.only_sha256(), fragment.subdirectory.clone());
    let hashes = fragment.hashes.clone();
    Ok((Source::Url { url, sha256, hashes, subdirectory }, fragment))
}

/// The URL of the file at `path`, which exists.
pub(crate) fn file_url(path: &Path) -> Result<Url, Failure> {
    let path = fs_err::canonicalize(path)?;
    Url::from_file_path(&path).map_err(|()| invalid(format!("{} is not a path", path.display())))
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "93bf7695c179ff8c93ea5cb1d0d4a895c30c6756087da8cb1deb4165f4fc8c24";

    fn place(text: &str) -> Result<Source, Failure> {
        Source::parse_place(text, Path::new("")).map(|(source, _)| source)
    }

    #[test]
    fn each_kind_of_place_is_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let file = fs_err::canonicalize(directory.path()).unwrap().join("a#b-1.tar.gz");
        fs_err::write(&file, "").unwrap();
        let text = file.to_str().unwrap();
        assert_eq!(place(text).unwrap(), Source::File(file.clone()));
        let base = directory.path();
        assert_eq!(
            Source::parse_place("a#b-1.tar.gz", base).unwrap().0,
            Source::File(base.join("a#b-1.tar.gz"))
        );
        let Source::Url { url, sha256, subdirectory, .. } =
            place(&format!("{text}#subdirectory=lib&sha256={DIGEST}")).unwrap()
        else {
            panic!("a URL");
        };
        assert_eq!(url.to_file_path().unwrap(), file);
        assert_eq!((sha256.unwrap().to_string().as_str(), subdirectory.as_deref()), (DIGEST, Some("lib")));
        let Source::Url { url, .. } = place("https://x.example/a-1.tar.gz#egg=a").unwrap() else {
            panic!("a URL");
        };
        assert_eq!(url.as_str(), "https://x.example/a-1.tar.gz");
        assert!(matches!(place("git+https://x.example/a@v1").unwrap(), Source::Git(_)));
    }

    #[test]
    fn logins_are_remembered_and_not_written() {
        let credentials = Credentials::default();
        for text in [
            "git+https://me:hunter%40%2522@x.example/b@v1",
            "https://me:hunter22@x.example/a.zip#subdirectory=b",
        ] {
            let source = place(text).unwrap().without_login(&credentials);
            let text = source.place_text().unwrap().unwrap();
            assert!(!text.contains("hunter") && !text.contains("me:"), "{text}");
        }
        let plain = "https://x.example/b".parse().unwrap();
        assert_eq!(credentials.with_login(&plain).as_str(), "https://me:hunter%40%2522@x.example/b");
        let other = "https://x.example/c".parse().unwrap();
        assert_eq!(credentials.with_login(&other), other);
    }

    #[test]
    fn what_is_written_of_an_archive_is_read_again() {
        let digest = "ab".repeat(64);
        let source =
            place(&format!("https://x.example/a.zip#sha512={digest}&subdirectory=a%26b%25/c")).unwrap();
        let text = source.place_text().unwrap().unwrap();
        assert_eq!(text, format!("https://x.example/a.zip#subdirectory=a%26b%25/c&sha512={digest}"));
        assert_eq!(place(&text).unwrap(), source);
    }

    #[test]
    fn what_is_no_place_is_refused_with_a_reason() {
        for (text, reason) in [
            ("dist/missing-1.0.tar.gz", "there is no file"),
            ("ftp://x.example/a-1.tar.gz", "neither an http"),
            ("git://x.example/a", "neither an http"),
            ("hg+https://x.example/a", "hg+https is not supported"),
            ("https://x.example/a-1.tar.gz#sha256=12", "64 hexadecimal digits"),
            ("https://x.example/a-1.tar.gz#md5=12", "no hash to rely on"),
            ("https://x.example/a-1.tar.gz#subdirectory=../x", "outside of it"),
        ] {
            let failure = place(text).unwrap_err();
            assert_eq!(failure.class, FailureClass::InvalidSource);
            assert!(failure.message.contains(reason), "{text}: {}", failure.message);
        }
        let hint = place("git@x.example:a/b.git").unwrap_err().hint.unwrap();
        assert!(hint.contains("git+ssh://git@x.example/a/b.git"), "{hint}");
    }

    #[test]
    fn one_version_is_pinned_and_several_are_a_choice() {
        let of = |text: &str| Source::of_versions("a".parse().unwrap(), text.parse().unwrap());
        assert!(matches!(of("==1.0"), Source::Pinned { .. }));
        assert!(matches!(of("===1.0"), Source::Pinned { .. }));
        for text in ["", "==1.*", ">=1,<2", "==1.0,!=2"] {
            assert!(matches!(of(text), Source::Newest { .. }), "{text}");
        }
    }
}

//! The SOURCE arguments of `crosswheel build`: a file, a directory, a URL, or `name==version`.
//! Knows nothing of how a source is fetched.

use std::path::PathBuf;
use std::str::FromStr;

use pep440_rs::{Operator, Version};
use pep508_rs::{PackageName, Requirement, VerbatimUrl, VersionOrUrl};
use url::Url;

use crate::build::index::credentials::redact_urls;
use crate::build::index::simple_api::sha256_fragment;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;

/// Where an sdist comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A local file.
    File(PathBuf),
    /// A source directory, of which an sdist is made first.
    Directory(PathBuf),
    /// A URL, and the hash its fragment promises.
    Url {
        /// The URL without its fragment.
        url: Url,
        /// The digest in `#sha256=...`.
        sha256: Option<Sha256>,
    },
    /// One version of a project, from the index.
    Pinned {
        /// Normalised project name.
        name: PackageName,
        /// The version.
        version: Version,
    },
}

impl Source {
    /// Reads a SOURCE argument. A text that could be several things is a file if that file exists.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let path = PathBuf::from(text);
        if path.is_file() {
            return Ok(Self::File(path));
        }
        if path.is_dir() {
            return Ok(Self::Directory(path));
        }
        if text.contains("://") {
            return parse_url(text);
        }
        if let Some(pinned) = parse_pinned(text) {
            return Ok(pinned);
        }
        if Requirement::<VerbatimUrl>::from_str(text)
            .is_ok_and(|requirement| requirement.version_or_url.is_some() || !text.contains(['/', '.']))
        {
            return Err(invalid(format!("`{text}` does not name one version, and there is no such file"))
                .with_hint("write name==version"));
        }
        Err(invalid(format!("there is no file `{text}`")))
    }
}

fn parse_url(text: &str) -> Result<Source, Failure> {
    let shown = redact_urls(text);
    let mut url: Url = text.parse().map_err(|error| invalid(format!("`{shown}` is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https" | "file") {
        return Err(invalid(format!("`{shown}` is neither an http, an https nor a file URL")));
    }
    let sha256 = sha256_fragment(&url);
    if sha256.is_none() && url.fragment().is_some_and(|fragment| fragment.contains("sha256=")) {
        return Err(invalid(format!("`{shown}` ends in a sha256 that is not 64 hexadecimal digits")));
    }
    url.set_fragment(None);
    Ok(Source::Url { url, sha256 })
}

fn parse_pinned(text: &str) -> Option<Source> {
    let requirement = Requirement::<VerbatimUrl>::from_str(text).ok()?;
    let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url else { return None };
    let [specifier] = specifiers.iter().as_slice() else { return None };
    let exact = matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual);
    let plain = requirement.extras.is_empty() && requirement.marker.is_true();
    (exact && plain)
        .then(|| Source::Pinned { name: requirement.name.clone(), version: specifier.version().clone() })
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "93bf7695c179ff8c93ea5cb1d0d4a895c30c6756087da8cb1deb4165f4fc8c24";

    #[test]
    fn each_kind_is_recognised() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a==1.tar.gz");
        fs_err::write(&file, "").unwrap();
        assert_eq!(Source::parse(file.to_str().unwrap()).unwrap(), Source::File(file.clone()));
        let Source::Url { url, sha256 } =
            Source::parse(&format!("https://x.example/a-1.tar.gz#sha256={DIGEST}")).unwrap()
        else {
            panic!("a URL");
        };
        assert_eq!(url.as_str(), "https://x.example/a-1.tar.gz");
        assert_eq!(sha256.unwrap().to_string(), DIGEST);
        let Source::Pinned { name, version } = Source::parse("Zope.Interface == 5.5").unwrap() else {
            panic!("a pinned version");
        };
        assert_eq!((name.to_string(), version.to_string()), ("zope-interface".into(), "5.5".into()));
    }

    #[test]
    fn what_cannot_be_built_is_refused_with_a_reason() {
        for (text, reason) in [
            ("cowsay", "does not name one version"),
            ("cowsay>=1", "does not name one version"),
            ("cowsay==1.*", "does not name one version"),
            ("cowsay==1; python_version < '3'", "does not name one version"),
            ("dist/missing-1.0.tar.gz", "there is no file"),
            ("ftp://x.example/a-1.tar.gz", "neither an http"),
            ("https://x.example/a-1.tar.gz#sha256=12", "not 64 hexadecimal digits"),
        ] {
            let failure = Source::parse(text).unwrap_err();
            assert_eq!(failure.class, FailureClass::InvalidSource);
            assert!(failure.message.contains(reason), "{text}: {}", failure.message);
        }
    }
}

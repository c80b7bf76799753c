//! A source as somebody names it, on a command line or in a file, with all that is said of it: `cowsay>=5,<6`,
//! `lib[fast] @ git+https://... ; python_version < "3.13"`, `./lib-1.0.tar.gz`.
//! Knows nothing of how a source is fetched.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::LazyLock;

use pep440_rs::{VersionSpecifier, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName, VersionOrUrl};
use regex::Regex;

use super::hashes::RequiredHashes;
use super::source::Source;
use crate::build::index::credentials::redact_urls;
use crate::contract::{Failure, FailureClass};
use crate::packaging::requirement_text::{parse_marker, parse_requirement};
use crate::packaging::sdist_name::sdist_name_and_version;

/// A source, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedSource {
    /// As it was written, without hashes. May hold a login.
    pub text: String,
    /// Where its sdist comes from.
    pub source: Source,
    /// The project it must turn out to be, if that was said.
    pub name: Option<PackageName>,
    /// The extras to install with it; they change nothing about its wheel.
    pub extras: Vec<ExtraName>,
    /// Where it is wanted at all.
    pub marker: MarkerTree,
    /// The hashes of which its file must have one.
    pub hashes: RequiredHashes,
    /// The line that names it, if it is one of a file.
    pub line: Option<FileLine>,
}

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLine {
    /// The file, as it was named.
    pub file: PathBuf,
    /// From 1.
    pub number: usize,
}

impl fmt::Display for FileLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file.display(), self.number)
    }
}

impl RequestedSource {
    /// Reads what somebody names; paths are relative to `base`. A text that could be several things is a file if
    /// that file exists.
    pub fn parse(text: &str, base: &Path) -> Result<Self, Failure> {
        let text = text.trim();
        let plain = |source: Source| Self {
            text: text.to_owned(),
            source,
            name: None,
            extras: Vec::new(),
            marker: MarkerTree::TRUE,
            hashes: RequiredHashes::default(),
            line: None,
        };
        // `cowsay` is a project, whatever the directory of that name holds: paths look like paths, as pip has it.
        if looks_like_path(text)
            && let Some(source) = Source::local(text, base)?
        {
            return Ok(plain(source));
        }
        static DIRECT: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(?s)^([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\[\]]*\])?\s*@\s*(\S.*)$")
                .expect("the pattern is constant")
        });
        if let Some(parts) = DIRECT.captures(text) {
            let name = PackageName::from_str(&parts[1]).map_err(|error| invalid(text, &error.to_string()))?;
            let extras = parts.get(2).map(|extras| extras_of(extras.as_str(), text)).transpose()?;
            return Self::at(&parts[3], base, text, Some(name), extras.unwrap_or_default());
        }
        if text.contains("://") || looks_like_path(text) {
            return Self::at(text, base, text, None, Vec::new());
        }
        check_ascii(text, text)?;
        let requirement = parse_requirement(text).map_err(|reason| invalid(text, &reason))?;
        let specifiers = match requirement.version_or_url {
            None => VersionSpecifiers::empty(),
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => specifiers,
            Some(VersionOrUrl::Url(_)) => return Err(invalid(text, "a URL follows the name without ` @ `")),
        };
        Ok(Self {
            name: Some(requirement.name.clone()),
            extras: requirement.extras,
            marker: requirement.marker,
            ..plain(Source::of_versions(requirement.name, specifiers))
        })
    }

    /// The source at `place`, which may end in a marker, and if it is a path in extras.
    fn at(
        place: &str,
        base: &Path,
        text: &str,
        name: Option<PackageName>,
        extras: Vec<ExtraName>,
    ) -> Result<Self, Failure> {
        let (place, marker) = match split_marker(place) {
            Some((place, marker)) => {
                check_ascii(marker, text)?;
                let marker = parse_marker(marker).map_err(|reason| invalid(text, &reason))?;
                (place, marker)
            }
            None => (place, MarkerTree::TRUE),
        };
        // `./lib[fast]`: URLs have their extras before the `@`.
        let bracket =
            place.strip_suffix(']').and_then(|_| place.rfind('[')).filter(|_| !place.contains("://"));
        let (place, extras) = match bracket {
            Some(at) if !base.join(place).exists() => {
                (place[..at].trim_end(), extras_of(&place[at..], place)?)
            }
            _ => (place, extras),
        };
        let (source, fragment) = Source::parse_place(place, base)?;
        Ok(Self {
            text: text.to_owned(),
            source,
            name: name.or(fragment.egg),
            extras,
            marker,
            hashes: fragment.hashes,
            line: None,
        })
    }

    /// Adds hashes of which its file must have one.
    pub fn must_have(&mut self, hashes: &RequiredHashes) {
        self.hashes.add_all(hashes);
        if let Source::Url { sha256, hashes, .. } = &mut self.source {
            *sha256 = self.hashes.only_sha256();
            hashes.clone_from(&self.hashes);
        }
    }

    /// Whether it is wanted where `markers` hold.
    pub fn applies(&self, markers: &MarkerEnvironment) -> bool {
        self.marker.evaluate(markers, &[])
    }

    /// The same, as far as the `constraints` on its project that apply where `markers` hold leave versions open, and
    /// with the hashes that those name, if it names none itself.
    ///
    /// # Errors
    /// A constraint that excludes the one version that is asked for.
    pub fn bounded_by(&self, constraints: &[Self], markers: &MarkerEnvironment) -> Result<Self, Failure> {
        let mut bounded = self.clone();
        let on_it = constraints.iter().filter(|constraint| {
            constraint.name == self.name && self.name.is_some() && constraint.applies(markers)
        });
        for constraint in on_it {
            if self.hashes.is_empty() {
                bounded.must_have(&constraint.hashes);
            }
            let (name, limits) = match &constraint.source {
                Source::Pinned { name, version } => {
                    (name, VersionSpecifier::equals_version(version.clone()).into())
                }
                Source::Newest { name, specifiers, .. } => (name, specifiers.clone()),
                _ => continue,
            };
            bounded.source = match bounded.source {
                Source::Pinned { version, .. } if !limits.contains(&version) => {
                    let place =
                        constraint.line.as_ref().map(|line| format!(" of {line}")).unwrap_or_default();
                    let message = format!(
                        "{} is asked for, and the constraint `{}`{place} excludes it",
                        self.shown(),
                        constraint.shown()
                    );
                    return Err(Failure::new(FailureClass::InvalidSource, message));
                }
                Source::Newest { specifiers, prereleases, .. } => {
                    let all = specifiers.iter().chain(limits.iter()).cloned();
                    Source::of_versions(name.clone(), all.collect()).with_prereleases(prereleases)
                }
                source => source,
            };
        }
        Ok(bounded)
    }

    /// As it was written, without secrets.
    pub fn shown(&self) -> String {
        redact_urls(&self.text)
    }
}

/// Names, versions and markers have no other characters, and pep508_rs 0.9 panics at some that follow a quote.
fn check_ascii(part: &str, text: &str) -> Result<(), Failure> {
    match part.chars().find(|character| !character.is_ascii()) {
        Some(character) => Err(invalid(text, &format!("it has a `{}`", character.escape_debug()))),
        None => Ok(()),
    }
}

/// Whether `text` can be nothing but a path, if it is no URL: it has a `/`, begins with a dot, or ends like an archive.
fn looks_like_path(text: &str) -> bool {
    let path = text.split(" ;").next().unwrap_or_default();
    let path = path.rsplit_once('#').map_or(path, |(path, _)| path);
    !text.contains("://")
        && (text.starts_with('.')
            || path.split(';').next().is_some_and(|path| path.contains('/'))
            || sdist_name_and_version(path).is_some()
            || ARCHIVES.iter().any(|end| path.ends_with(end)))
}

/// How files end that are no sdists by their names, but are nothing else.
const ARCHIVES: [&str; 6] = [".tar.gz", ".tgz", ".zip", ".tar.xz", ".tar.bz2", ".whl"];

/// A place and the marker after it: ` ;` ends a URL, which may have semicolons of its own.
fn split_marker(text: &str) -> Option<(&str, &str)> {
    let at = text.find(" ;").map(|at| (at, at + 2)).or_else(|| text.find("; ").map(|at| (at, at + 2)))?;
    Some((text[..at.0].trim_end(), text[at.1..].trim()))
}

/// The extras in `[a, b]`.
fn extras_of(brackets: &str, text: &str) -> Result<Vec<ExtraName>, Failure> {
    let names = brackets.trim_matches(['[', ']']).split(',').map(str::trim).filter(|name| !name.is_empty());
    names.map(|name| ExtraName::from_str(name).map_err(|error| invalid(text, &error.to_string()))).collect()
}

fn invalid(text: &str, problem: &str) -> Failure {
    let message = format!("`{}` is neither a file, a URL nor a requirement: {problem}", redact_urls(text));
    Failure::new(FailureClass::InvalidSource, redact_urls(&message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<RequestedSource, Failure> {
        RequestedSource::parse(text, Path::new("/no/such/directory"))
    }

    #[test]
    fn names_and_versions_are_requirements() {
        let found = parse("Zope.Interface == 5.5").unwrap();
        let Source::Pinned { name, version } = &found.source else { panic!("{found:?}") };
        assert_eq!((name.to_string(), version.to_string()), ("zope-interface".into(), "5.5".into()));
        for text in ["cowsay", "cowsay>=1,<2", "cowsay==1.*", "cowsay[x,y]>=1 ; python_version < '4'"] {
            let found = parse(text).unwrap();
            assert!(matches!(found.source, Source::Newest { .. }), "{text}: {found:?}");
            assert_eq!(found.name.unwrap().to_string(), "cowsay");
        }
        let found = parse("cowsay[x, y]==1;python_version<'3'").unwrap();
        assert_eq!((found.extras.len(), found.marker.is_true()), (2, false));
    }

    #[test]
    fn a_place_may_have_a_name_extras_and_a_marker() {
        let found =
            parse("Lib[fast] @ git+https://x.example/lib@v1#subdirectory=py ; sys_platform == 'linux'")
                .unwrap();
        assert_eq!(found.name.unwrap().to_string(), "lib");
        assert_eq!(found.extras[0].to_string(), "fast");
        assert!(!found.marker.is_true());
        let Source::Git(git) = found.source else { panic!("a repository") };
        assert_eq!((git.reference.as_deref(), git.subdirectory.as_deref()), (Some("v1"), Some("py")));
        let found = parse("https://x.example/a-1.tar.gz;v=1#egg=a[b] ; python_version > '3'").unwrap();
        assert_eq!(found.name.unwrap().to_string(), "a");
        assert!(matches!(found.source, Source::Url { url, .. } if url.path().ends_with(";v=1")));
        assert!(matches!(parse("a@https://x.example/a-1.zip").unwrap().source, Source::Url { .. }));
        assert!(matches!(parse("git+ssh://git@x.example/a").unwrap().source, Source::Git(_)));
    }

    #[test]
    fn a_file_is_one_where_it_looks_like_one() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        for name in ["a==1.tar.gz", "cowsay", "b-1.tar.gz", "c@1.zip"] {
            fs_err::write(base.join(name), "").unwrap();
        }
        fs_err::create_dir(base.join("numpy")).unwrap();
        let of = |text: &str| RequestedSource::parse(text, base).unwrap().source;
        for text in ["a==1.tar.gz", "./cowsay", "b-1.tar.gz", "c@1.zip"] {
            assert_eq!(of(text), Source::File(base.join(text)), "{text}");
        }
        let marked = RequestedSource::parse("./b-1.tar.gz[x] ; python_version < '3'", base).unwrap();
        assert_eq!(marked.source, Source::File(base.join("./b-1.tar.gz")));
        assert_eq!((marked.extras.len(), marked.marker.is_true()), (1, false));
        assert!(matches!(of("b @ b-1.tar.gz"), Source::File(_)));
        for text in ["cowsay", "numpy"] {
            assert!(matches!(of(text), Source::Newest { .. }), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_built_is_refused_with_a_reason() {
        for (text, reason) in [
            ("missing-1.0.tar.gz", "there is no file"),
            ("dist/missing-1.0.tar.gz", "there is no file"),
            ("cowsay=1", "neither a file"),
            ("cowsay>=one", "neither a file"),
            ("cowsay ; python", "neither a file"),
            ("", "neither a file"),
            ("cowsay ; python_version > '3'é", "it has a `é`"),
            ("a @ https://x.example/a.zip ; python_version > '3'é", "it has a `é`"),
            ("a @ https://me:hunter22@x.example:port/a.zip", "is not a URL"),
            ("lib @ https://x.example/a-1.tar.gz ; nonsense", "neither a file"),
        ] {
            let failure = parse(text).unwrap_err();
            assert_eq!(failure.class, FailureClass::InvalidSource);
            assert!(failure.message.contains(reason), "{text}: {}", failure.message);
            assert!(!failure.message.contains("hunter22"), "{failure}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_source_or_is_refused(text in "(a|\\[x\\]| @ |git\\+|https://|==1|;| |#|\\./|\\.zip|.){0,12}") {
            let _ = parse(&text);
        }
    }
}

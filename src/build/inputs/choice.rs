//! Which version of a project is built when somebody names the project and not the version: the newest that has an
//! sdist, fits, and was uploaded in time.
//! Knows nothing of how that sdist is fetched, nor of whom the wheel must suit beyond the version of Python.

use pep440_rs::{Operator, Version, VersionSpecifiers};
use pep508_rs::PackageName;
use url::Url;

use crate::build::cache::{FRESH, KeyBuilder};
use crate::build::index::simple_api::{IndexSdist, OfferedSdists};
use crate::build::progress::Task;
use crate::build::run::Run;
use crate::contract::{Failure, FailureClass};
use crate::digest::Sha256;

/// What is asked of a version.
#[derive(Clone, Copy, Debug)]
pub struct VersionWish<'a> {
    /// The project.
    pub name: &'a PackageName,
    /// Which versions fit.
    pub specifiers: &'a VersionSpecifiers,
    /// Whether pre-releases are as good as others; otherwise one is taken where it is asked for, or nothing else fits.
    pub prereleases: bool,
    /// The Python that builds.
    pub python: &'a Version,
}

impl Run {
    /// The version that `wish` leads to, looked up in the index unless that was done a moment ago.
    pub(crate) fn choose_version(&self, wish: &VersionWish, task: &Task) -> Result<Version, Failure> {
        let key = self.choice_key(wish)?;
        if let Some((version, age)) = self.cache.read::<Version>("choices", key)
            && (self.settings.offline || (age < FRESH && !self.options.refresh))
        {
            return Ok(version);
        }
        task.stage("choosing the version");
        let offered = self.index.sdists(wish.name)?;
        let Some(chosen) = choose(&offered.sdists, wish) else {
            return Err(self.none_fits(&offered, wish));
        };
        self.cache.write("choices", key, &chosen.version)?;
        Ok(chosen.version.clone())
    }

    fn choice_key(&self, wish: &VersionWish) -> Result<Sha256, Failure> {
        let mut key = KeyBuilder::default()
            .part("choice", wish.name.to_string())
            .part("specifiers", wish.specifiers.to_string())
            .part("pre-releases", wish.prereleases.to_string())
            .part("python", wish.python.to_string())
            .part("exclude-newer", self.settings.cutoffs.key())
            .parts("index", self.settings.indexes.iter().map(Url::as_str));
        for place in &self.settings.find_links {
            key = key.part("find-links", place.stamp()?);
        }
        Ok(key.finish())
    }

    fn none_fits(&self, offered: &OfferedSdists, wish: &VersionWish) -> Failure {
        let VersionWish { name, specifiers, python, .. } = wish;
        let shown = format!("{name}{specifiers}");
        let failure = Failure::new(FailureClass::FetchFailed, format!("there is no sdist of {shown}"));
        if let Some(hint) = offered.hint(&self.settings.cutoffs, |version| specifiers.contains(version)) {
            return failure.with_hint(hint);
        }
        let fits = |sdist: &&IndexSdist| specifiers.contains(&sdist.version);
        match (offered.sdists.iter().find(fits), offered.sdists.as_slice()) {
            (Some(other), _) if other.file.yanked => failure.with_hint(format!(
                "{name} {} was withdrawn (yanked); to build it all the same, write {name}=={}",
                other.version, other.version
            )),
            (Some(other), _) => {
                let requires =
                    other.file.requires_python.as_ref().map(ToString::to_string).unwrap_or_default();
                failure.with_hint(format!(
                    "{name} {} needs Python {requires}, and this is for Python {python}",
                    other.version
                ))
            }
            (None, []) => failure.with_hint("no index or find-links has any sdist of it"),
            (None, others) => {
                let others: Vec<_> = others.iter().take(10).map(|sdist| sdist.version.to_string()).collect();
                failure.with_hint(format!("there are sdists of {}", others.join(", ")))
            }
        }
    }
}

/// The first of `sdists`, the newest of which comes first, that will do.
fn choose<'a>(sdists: &'a [IndexSdist], wish: &VersionWish) -> Option<&'a IndexSdist> {
    let named = |version: &Version| {
        wish.specifiers.iter().any(|specifier| {
            matches!(specifier.operator(), Operator::Equal | Operator::ExactEqual)
                && specifier.version() == version
        })
    };
    let fits = |sdist: &&IndexSdist| {
        let python = sdist.file.requires_python.as_ref();
        wish.specifiers.contains(&sdist.version)
            && python.is_none_or(|specifiers| specifiers.contains(wish.python))
            && (!sdist.file.yanked || named(&sdist.version))
    };
    let asked_for = wish.prereleases || wish.specifiers.iter().any(|specifier| specifier.any_prerelease());
    let ordinary = sdists.iter().filter(fits).find(|sdist| asked_for || !sdist.version.any_prerelease());
    ordinary.or_else(|| sdists.iter().find(fits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::index::simple_api::{IndexFile, ListedBy};

    /// `2.0`, `2.0 yanked`, or `2.0 >=3.13`.
    fn sdist(text: &str) -> IndexSdist {
        let (version, rest) = text.split_once(' ').unwrap_or((text, ""));
        IndexSdist {
            name: "a".parse().unwrap(),
            version: version.parse().unwrap(),
            file: IndexFile {
                file_name: format!("a-{version}.tar.gz"),
                url: "https://x.example/a".parse().unwrap(),
                sha256: None,
                requires_python: rest.parse().ok().filter(|_| rest.starts_with('>')),
                yanked: rest == "yanked",
                upload_time: None,
                listed_by: ListedBy::Index,
            },
        }
    }

    #[test]
    fn the_newest_that_fits_is_chosen() {
        let sdists: Vec<_> = ["4.0a1", "3.0 yanked", "2.0 >=3.13", "1.5rc1", "1.0", "0.9"].map(sdist).into();
        for (specifiers, prereleases, chosen) in [
            ("", false, Some("1.0")),
            (">=1.0", false, Some("1.0")),
            ("<1", false, Some("0.9")),
            ("", true, Some("4.0a1")),
            (">=1.5rc1", false, Some("4.0a1")),
            (">=1.1,<2", false, Some("1.5rc1")),
            ("==3.0,!=1", false, Some("3.0")),
            (">=2,<3.5", false, None),
            (">5", false, None),
        ] {
            let specifiers: VersionSpecifiers = specifiers.parse().unwrap();
            let wish = VersionWish {
                name: &"a".parse().unwrap(),
                specifiers: &specifiers,
                prereleases,
                python: &"3.12.1".parse().unwrap(),
            };
            let found = choose(&sdists, &wish).map(|sdist| sdist.version.to_string());
            assert_eq!(found.as_deref(), chosen, "{specifiers} {prereleases}");
        }
    }
}

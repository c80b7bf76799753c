//! Package indexes: the Simple API (PEP 503 HTML, PEP 691 JSON), and `--find-links` places.
//! Finds the sdists of a project. Knows nothing of versions that would fit together: that is uv's.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use serde::Deserialize;
use url::Url;

use super::anchors::{self, Anchor};
use super::cutoff::Cutoffs;
use super::http::{FetchError, Http};
use crate::digest::Sha256;
use crate::packaging::sdist_name::sdist_version;

/// What we ask an index for, best first.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
                      application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01";

/// A place that lists files without being an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindLinks {
    /// A local directory.
    Directory(PathBuf),
    /// An HTML page, without user information.
    Page(Url),
}

impl FindLinks {
    /// What it holds, for cache keys: the names, sizes and times of a directory's files.
    pub fn stamp(&self) -> std::io::Result<String> {
        let directory = match self {
            Self::Page(url) => return Ok(url.to_string()),
            Self::Directory(directory) => directory,
        };
        let mut lines = BTreeSet::new();
        for entry in fs_err::read_dir(directory)? {
            let entry = entry?;
            // A file that has just gone away is not there.
            let Ok(metadata) = entry.metadata() else { continue };
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            lines.insert(format!("{:?} {} {modified:?}", entry.file_name(), metadata.len()));
        }
        let lines: Vec<String> = lines.into_iter().collect();
        Ok(format!("{}\n{}", directory.display(), lines.join("\n")))
    }
}

/// One file an index or a page offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile {
    /// The file's name.
    pub file_name: String,
    /// Where it is, without user information or fragment.
    pub url: Url,
    /// SHA-256, if the index tells.
    pub sha256: Option<Sha256>,
    /// `Requires-Python`, if the index tells.
    pub requires_python: Option<VersionSpecifiers>,
    /// Whether it was withdrawn (PEP 592).
    pub yanked: bool,
    /// When it was uploaded (PEP 700), if the index tells.
    pub upload_time: Option<Timestamp>,
    /// Who lists it.
    pub listed_by: ListedBy,
}

/// Who lists a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedBy {
    /// An index.
    Index,
    /// A find-links place: whoever named it vouches for what is there, whenever it got there.
    FindLinks,
}

/// An sdist an index offers.
#[derive(Clone, Debug)]
pub struct IndexSdist {
    /// Normalised project name.
    pub name: PackageName,
    /// The version its file name has.
    pub version: Version,
    /// The file.
    pub file: IndexFile,
}

/// The sdists of a project.
#[derive(Clone, Debug, Default)]
pub struct OfferedSdists {
    /// Newest version first, one per version.
    pub sdists: Vec<IndexSdist>,
    /// Those that do not count, as they were uploaded too late, or nobody tells when.
    pub excluded: Vec<IndexSdist>,
}

impl OfferedSdists {
    /// What to say of those that do not count and are wanted, if there are any.
    pub fn hint(&self, cutoffs: &Cutoffs, is_wanted: impl Fn(&Version) -> bool) -> Option<String> {
        let excluded = self.excluded.iter().find(|sdist| is_wanted(&sdist.version))?;
        let before = cutoffs.of(&excluded.name)?.before;
        Some(match excluded.file.upload_time {
            Some(time) => format!(
                "{} {} was uploaded at {time}, and --exclude-newer leaves out what was not before {before}",
                excluded.name, excluded.version
            ),
            None => format!(
                "the index does not tell when {} {} was uploaded, so --exclude-newer leaves it out; --find-links does not \
                 need to",
                excluded.name, excluded.version
            ),
        })
    }
}

/// The indexes of this run, in the order they are asked.
#[derive(Debug)]
pub struct Index {
    http: Arc<Http>,
    indexes: Vec<Url>,
    find_links: Vec<FindLinks>,
    cutoffs: Cutoffs,
}

impl Index {
    /// Indexes (root URLs without user information) and find-links places, in order.
    pub fn new(http: Arc<Http>, indexes: Vec<Url>, find_links: Vec<FindLinks>, cutoffs: Cutoffs) -> Self {
        Self { http, indexes, find_links, cutoffs }
    }

    /// Every file of `project`: those of all find-links places, then those of the first index that
    /// has the project, as uv does it.
    pub fn files(&self, project: &PackageName) -> Result<Vec<IndexFile>, FetchError> {
        let mut files = Vec::new();
        for place in &self.find_links {
            files.extend(self.linked(place)?);
        }
        for index in &self.indexes {
            let mut url = index.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().extend([project.to_string().as_str(), ""]);
            }
            match self.http.page(&url, ACCEPT) {
                Ok(page) => {
                    files.extend(
                        parse_page(&page.body, &page.url)
                            .map_err(|reason| FetchError::Transport { url: page.url.clone(), reason })?,
                    );
                    break;
                }
                Err(error) if error.is_not_found() => {}
                // Without a network, find-links places may still have what is wanted.
                Err(FetchError::Offline { .. }) if !files.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(files)
    }

    /// The sdists of `project`, as far as they were uploaded in time.
    pub fn sdists(&self, project: &PackageName) -> Result<OfferedSdists, FetchError> {
        let (files, excluded) = self.files(project)?.into_iter().partition(|file| self.counts(project, file));
        Ok(OfferedSdists { sdists: sdists_among(files, project), excluded: sdists_among(excluded, project) })
    }

    fn counts(&self, project: &PackageName, file: &IndexFile) -> bool {
        match self.cutoffs.of(project).filter(|_| file.listed_by == ListedBy::Index) {
            Some(cutoff) => file.upload_time.is_some_and(|time| cutoff.admits(time)),
            None => true,
        }
    }

    fn linked(&self, place: &FindLinks) -> Result<Vec<IndexFile>, FetchError> {
        match place {
            FindLinks::Page(url) => match self.http.page(url, "text/html, */*;q=0.1") {
                Ok(page) => Ok(anchors::parse(&String::from_utf8_lossy(&page.body))
                    .into_iter()
                    .filter_map(|anchor| file_of_anchor(anchor, &page.url))
                    .map(|file| IndexFile { listed_by: ListedBy::FindLinks, ..file })
                    .collect()),
                Err(FetchError::Offline { .. }) => Ok(Vec::new()),
                Err(error) => Err(error),
            },
            FindLinks::Directory(directory) => {
                let mut names = BTreeSet::new();
                for entry in fs_err::read_dir(directory)? {
                    names.extend(entry?.file_name().into_string().ok());
                }
                let file = |name: String| {
                    let url = Url::from_file_path(directory.join(&name)).ok()?;
                    Some(IndexFile {
                        file_name: name,
                        url,
                        sha256: None,
                        requires_python: None,
                        yanked: false,
                        upload_time: None,
                        listed_by: ListedBy::FindLinks,
                    })
                };
                Ok(names.into_iter().filter_map(file).collect())
            }
        }
    }
}

/// The sdists of `project` among `files`, newest version first, one per version.
fn sdists_among(files: Vec<IndexFile>, project: &PackageName) -> Vec<IndexSdist> {
    let mut sdists: Vec<_> = files
        .into_iter()
        .filter_map(|file| {
            let (version, preference) = sdist_version(&file.file_name, project)?;
            Some((preference, IndexSdist { name: project.clone(), version, file }))
        })
        .collect();
    sdists.sort_by(|(a_preference, a), (b_preference, b)| {
        b.version.cmp(&a.version).then(a_preference.cmp(b_preference))
    });
    sdists.dedup_by(|(_, a), (_, b)| a.version == b.version);
    sdists.into_iter().map(|(_, sdist)| sdist).collect()
}

/// A page of either kind. Servers are known to send HTML with a JSON content type, so the body
/// decides.
fn parse_page(body: &[u8], base: &Url) -> Result<Vec<IndexFile>, String> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => parse_json(body, base),
        _ => Ok(anchors::parse(&String::from_utf8_lossy(body))
            .into_iter()
            .filter_map(|anchor| file_of_anchor(anchor, base))
            .collect()),
    }
}

#[derive(Deserialize)]
struct SimplePage {
    files: Vec<SimpleFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SimpleFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    requires_python: Option<String>,
    /// `true`, `false`, or the reason.
    #[serde(default)]
    yanked: serde_json::Value,
    upload_time: Option<String>,
}

fn parse_json(body: &[u8], base: &Url) -> Result<Vec<IndexFile>, String> {
    let page: SimplePage =
        serde_json::from_slice(body).map_err(|error| format!("not a page of the Simple API: {error}"))?;
    let file = |file: SimpleFile| {
        let mut url = base.join(&file.url).ok()?;
        url.set_fragment(None);
        Some(IndexFile {
            file_name: file.filename,
            url,
            sha256: file.hashes.get("sha256").and_then(|digest| digest.parse().ok()),
            requires_python: file.requires_python.and_then(|text| text.parse().ok()),
            yanked: !matches!(file.yanked, serde_json::Value::Null | serde_json::Value::Bool(false)),
            upload_time: file.upload_time.and_then(|text| text.parse().ok()),
            listed_by: ListedBy::Index,
        })
    };
    Ok(page.files.into_iter().filter_map(file).collect())
}

fn file_of_anchor(anchor: Anchor, base: &Url) -> Option<IndexFile> {
    let mut url = base.join(&anchor.href).ok()?;
    let sha256 = sha256_fragment(&url);
    url.set_fragment(None);
    let encoded = url.path_segments()?.next_back()?.to_owned();
    Some(IndexFile {
        file_name: super::credentials::decode(&encoded),
        url,
        sha256,
        requires_python: anchor.requires_python.and_then(|text| text.parse().ok()),
        yanked: anchor.yanked,
        upload_time: None,
        listed_by: ListedBy::Index,
    })
}

/// The digest in a `#sha256=...` fragment (PEP 503).
pub fn sha256_fragment(url: &Url) -> Option<Sha256> {
    url.fragment()?.split('&').find_map(|part| part.strip_prefix("sha256=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "93bf7695c179ff8c93ea5cb1d0d4a895c30c6756087da8cb1deb4165f4fc8c24";

    fn base() -> Url {
        "https://index.example/simple/cowsay/".parse().unwrap()
    }

    #[test]
    fn json_and_html_pages_say_the_same() {
        let json = format!(
            r#"{{"meta": {{"api-version": "1.1"}}, "name": "cowsay", "files": [
              {{"filename": "cowsay-1.0.tar.gz", "url": "../../f/cowsay-1.0.tar.gz",
                "hashes": {{"sha256": "{DIGEST}"}}, "requires-python": ">=3.8", "yanked": "broken"}}]}}"#
        );
        let html = format!(
            "<!DOCTYPE html><html><body><a href=\"../../f/cowsay-1.0.tar.gz#sha256={DIGEST}\" \
             data-requires-python=\"&gt;=3.8\" data-yanked=\"broken\">cowsay-1.0.tar.gz</a></body></html>"
        );
        let from_json = parse_page(json.as_bytes(), &base()).unwrap();
        let from_html = parse_page(html.as_bytes(), &base()).unwrap();
        assert_eq!(from_json, from_html);
        assert_eq!(from_json[0].url.as_str(), "https://index.example/f/cowsay-1.0.tar.gz");
        assert_eq!(from_json[0].sha256.unwrap().to_string(), DIGEST);
        assert!(from_json[0].yanked);
    }

    #[test]
    fn a_page_that_is_neither_is_an_error_or_empty() {
        assert!(parse_page(b"{\"files\": 3}", &base()).is_err());
        assert_eq!(parse_page(b"\xff\xfe", &base()).unwrap(), []);
    }
}

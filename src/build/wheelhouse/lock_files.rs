//! What a lock plans, as distributions of a wheelhouse. Knows nothing of which lock it is.

use std::path::{Path, PathBuf};

use url::Url;

use super::planned::{DistributionOrigin, PlannedDistribution, PlannedFile};
use super::request::FileFlags;
use crate::build::inputs::fragment::subdirectory_part;
use crate::contract::{Failure, FailureClass};
use crate::lock::{FileChoice, FileHash, FilePlace, FilePreferences, LockedFile, PlannedPackage};

/// The distribution that a package of a lock is, whose paths are relative to `root`.
pub(super) fn distribution(root: &Path, package: &PlannedPackage) -> Result<PlannedDistribution, Failure> {
    let origin = match &package.choice {
        FileChoice::Wheel(file) => DistributionOrigin::Wheel(planned_file(root, file)?),
        FileChoice::Sdist(file) => {
            let planned = planned_file(root, file)?;
            match &package.subdirectory {
                None => DistributionOrigin::Sdist(planned),
                Some(subdirectory) => DistributionOrigin::Tree(in_archive(&planned, subdirectory)),
            }
        }
        FileChoice::Git(git) => {
            let subdirectory = package.subdirectory.as_ref();
            let fragment = subdirectory.map(|at| format!("#{}", subdirectory_part(at))).unwrap_or_default();
            DistributionOrigin::Tree(format!("git+{}@{}{fragment}", git.repository, git.commit))
        }
        FileChoice::Tree { path, .. } => {
            let path = root.join(path).join(package.subdirectory.as_deref().unwrap_or_default());
            let path = normal(&path);
            let text = path.to_str().ok_or_else(|| {
                let message = format!("{}: {} is not UTF-8", package.name, path.display());
                Failure::new(FailureClass::InvalidSource, message)
            })?;
            DistributionOrigin::Tree(text.to_owned())
        }
    };
    Ok(PlannedDistribution {
        name: package.name.clone(),
        version: package.version.clone(),
        origin,
        reason: package.reason.to_string(),
    })
}

fn planned_file(root: &Path, file: &LockedFile) -> Result<PlannedFile, Failure> {
    let place = match &file.place {
        FilePlace::Url(url) => url.clone(),
        FilePlace::Path(path) => {
            let path = root.join(path);
            Url::from_file_path(normal(&path)).map_err(|()| {
                let message = format!("{} has no absolute path", path.display());
                Failure::new(FailureClass::InvalidSource, message)
            })?
        }
    };
    let (mut sha256, mut other_hash) = (None, None);
    match &file.hash {
        Some(hash) if hash.algorithm == "sha256" => {
            let digest = hash.hex.parse().map_err(|error| {
                let message = format!("{}: {error}", file.file_name);
                Failure::new(FailureClass::FetchFailed, message)
            })?;
            sha256 = Some(digest);
        }
        Some(hash) => other_hash = Some(hash.clone()),
        None => {}
    }
    Ok(PlannedFile { file_name: file.file_name.clone(), place, sha256, other_hash, size: file.size })
}

/// A project within an archive, as people name a source.
fn in_archive(file: &PlannedFile, subdirectory: &str) -> String {
    let sha256 = file.sha256.map(|sha256| format!("&sha256={sha256}"));
    let other = file.other_hash.as_ref().map(|FileHash { algorithm, hex }| format!("&{algorithm}={hex}"));
    let hash = sha256.or(other).unwrap_or_default();
    let mut place = file.place.clone();
    place.set_fragment(Some(&format!("{}{hash}", subdirectory_part(subdirectory))));
    place.to_string()
}

/// What flags say.
pub(super) fn preferences(files: &FileFlags) -> FilePreferences {
    FilePreferences {
        no_binary: files.no_binary.all,
        no_binary_packages: files.no_binary.names.iter().cloned().collect(),
        no_build: files.only_binary.all,
        no_build_packages: files.only_binary.names.iter().cloned().collect(),
    }
}

/// `path` without `.` and `..`, as far as it goes: a link on the way counts as a directory, as it does for uv.
fn normal(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::inputs::source::Source;

    #[test]
    fn a_project_in_an_archive_keeps_its_hash_whatever_it_is() {
        let hex = "ab".repeat(48);
        let file = PlannedFile {
            file_name: "a.zip".into(),
            place: "https://x.example/a.zip".parse().unwrap(),
            sha256: None,
            other_hash: Some(FileHash { algorithm: "sha384".into(), hex: hex.clone() }),
            size: None,
        };
        let text = in_archive(&file, "a&b");
        let (_, fragment) = Source::parse_place(&text, Path::new("/")).unwrap();
        assert_eq!(fragment.subdirectory.as_deref(), Some("a&b"));
        assert_eq!(
            fragment.hashes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [format!("sha384:{hex}")]
        );
    }
}

//! Which of the wheels given to a build are installed into its venv.
//! Knows nothing of how they are installed, nor of indexes: what is not here does not exist.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pep508_rs::{PackageName, Requirement, VerbatimUrl, VersionOrUrl};

use crate::contract::GivenWheels;
use crate::digest::Sha256;
use crate::packaging::compatible_tags::CompatibleTags;
use crate::packaging::wheel_name::WheelFileName;

/// Why the wheels given cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WheelhouseError {
    /// The path is neither a wheel nor a directory.
    #[error("--build-wheels `{}`: {reason}", .path.display())]
    Unusable {
        /// What was given.
        path: PathBuf,
        /// Why it is of no use.
        reason: String,
    },
    /// A directory cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Chooses from `given`: every wheel named as a file, and from each directory one wheel per
/// project, the newest that fits the interpreter and `requires`, best tag first.
pub fn choose(
    given: &[GivenWheels],
    tags: &CompatibleTags,
    requires: &[Requirement<VerbatimUrl>],
) -> Result<Vec<(PathBuf, Option<Sha256>)>, WheelhouseError> {
    let mut chosen: BTreeMap<PackageName, (WheelFileName, PathBuf)> = BTreeMap::new();
    let (directories, files): (Vec<_>, Vec<_>) = given.iter().partition(|given| given.path.is_dir());
    for GivenWheels { path, sha256 } in directories {
        if sha256.is_some() {
            let reason = "a digest is that of one wheel, and this is a directory".into();
            return Err(WheelhouseError::Unusable { path: path.clone(), reason });
        }
        for candidate in wheels_in(path)? {
            offer(&mut chosen, candidate, tags, requires);
        }
    }
    let mut named = BTreeMap::new();
    for GivenWheels { path, sha256 } in files {
        let name = named_wheel(path, tags)?;
        if let Some((other, _)) = named.insert(name.name.clone(), (path.clone(), *sha256))
            && other != *path
        {
            let reason = format!("`{}` is given too, and both are {}", other.display(), name.name);
            return Err(WheelhouseError::Unusable { path: path.clone(), reason });
        }
    }
    let from_directories = chosen.into_iter().map(|(name, (_, path))| (name, (path, None)));
    let all: BTreeMap<_, _> = from_directories.chain(named).collect();
    Ok(all.into_values().collect())
}

fn wheels_in(directory: &Path) -> Result<Vec<(WheelFileName, PathBuf)>, WheelhouseError> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        if let Some(name) = file_name(&path).filter(|name| name.ends_with(".whl"))
            && let Ok(name) = name.parse()
        {
            found.push((name, path));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(found)
}

fn offer(
    chosen: &mut BTreeMap<PackageName, (WheelFileName, PathBuf)>,
    (name, path): (WheelFileName, PathBuf),
    tags: &CompatibleTags,
    requires: &[Requirement<VerbatimUrl>],
) {
    let Some(rank) = tags.rank(&name) else { return };
    if !requires.iter().all(|requirement| allows(requirement, &name)) {
        return;
    }
    let better = chosen.get(&name.name).is_none_or(|(other, _)| {
        let other_rank = tags.rank(other).unwrap_or(usize::MAX);
        (&name.version, std::cmp::Reverse(rank)) > (&other.version, std::cmp::Reverse(other_rank))
    });
    if better {
        chosen.insert(name.name.clone(), (name, path));
    }
}

fn allows(requirement: &Requirement<VerbatimUrl>, wheel: &WheelFileName) -> bool {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) if requirement.name == wheel.name => {
            specifiers.contains(&wheel.version)
        }
        _ => true,
    }
}

fn named_wheel(path: &Path, tags: &CompatibleTags) -> Result<WheelFileName, WheelhouseError> {
    let unusable = |reason: String| WheelhouseError::Unusable { path: path.to_owned(), reason };
    if !path.exists() {
        return Err(unusable("no such file or directory".into()));
    }
    let name: WheelFileName = file_name(path)
        .unwrap_or_default()
        .parse()
        .map_err(|error| unusable(format!("neither a directory nor a wheel: {error}")))?;
    match tags.rank(&name) {
        Some(_) => Ok(name),
        None => Err(unusable("it does not fit the Python and platform of this build".into())),
    }
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

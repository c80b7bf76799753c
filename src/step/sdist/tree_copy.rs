//! A copy of a source tree that a backend may write to: with modes and times that do not depend on who has the tree.
//! Knows nothing of what the files mean; of repositories, that they do not come along.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::cancellation::Cancellation;
use crate::step::backend::environment::DEFAULT_SOURCE_DATE_EPOCH;
use crate::step::error::{StepError, host};

/// Levels of directories below the tree's top; what servers take, too.
const DEEPEST: usize = 250;

/// What is left out at every level: it says where a repository is, which does not come along.
pub(super) const REPOSITORY: &str = ".git";

/// Copies what is in `tree` into the new directory `copy`. Files have mode 0644 or 0755, and the time of
/// [`DEFAULT_SOURCE_DATE_EPOCH`].
///
/// # Errors
/// [`StepError::Input`] for what is neither a file nor a directory nor a link within the tree.
pub(super) fn copy_tree(tree: &Path, copy: &Path, cancellation: &Cancellation) -> Result<(), StepError> {
    let mut left = vec![PathBuf::new()];
    // Not by recursion: somebody else decides how deep a tree is.
    while let Some(relative) = left.pop() {
        cancellation.check()?;
        let (from, to) = (tree.join(&relative), copy.join(&relative));
        fs_err::create_dir(&to).map_err(host("copy the source tree"))?;
        for entry in fs_err::read_dir(&from).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name() == REPOSITORY {
                continue;
            }
            let below = relative.join(entry.file_name());
            let kind = entry.file_type().map_err(unreadable)?;
            if kind.is_dir() {
                if below.components().count() > DEEPEST {
                    let place = entry.path();
                    let message = format!("{} lies more than {DEEPEST} directories deep", place.display());
                    return Err(StepError::Input(message));
                }
                left.push(below);
            } else if kind.is_file() {
                copy_file(&entry.path(), &copy.join(&below))?;
            } else if kind.is_symlink() {
                copy_link(&entry.path(), &below, &copy.join(&below))?;
            } else {
                let place = entry.path();
                let message = format!("{} is neither a file nor a directory nor a link", place.display());
                return Err(StepError::Input(message));
            }
        }
    }
    Ok(())
}

fn unreadable(error: io::Error) -> StepError {
    StepError::Input(format!("the source tree cannot be read: {error}"))
}

fn copy_file(from: &Path, to: &Path) -> Result<(), StepError> {
    let mut source = fs_err::File::open(from).map_err(unreadable)?;
    let executable = source.metadata().map_err(unreadable)?.permissions().mode() & 0o111 != 0;
    let mut write = || -> io::Result<()> {
        let mut file = fs_err::File::create_new(to)?;
        io::copy(&mut source, &mut file)?;
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        file.file().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(DEFAULT_SOURCE_DATE_EPOCH))
    };
    write().map_err(host("copy the source tree"))
}

fn copy_link(from: &Path, below: &Path, to: &Path) -> Result<(), StepError> {
    let target = fs_err::read_link(from).map_err(unreadable)?;
    if !stays_inside(below, &target) {
        let message = format!("the link {} leads out of the source tree", from.display());
        return Err(StepError::Input(message));
    }
    fs_err::os::unix::fs::symlink(target, to).map_err(host("copy the source tree"))
}

/// Whether a link at `place`, relative to a tree, leads to somewhere in that tree, by its text.
fn stays_inside(place: &Path, target: &Path) -> bool {
    let mut level = place.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => level += 1,
            Component::CurDir => {}
            Component::ParentDir => match level.checked_sub(1) {
                Some(above) => level = above,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn copied(prepare: impl Fn(&Path)) -> (tempfile::TempDir, Result<PathBuf, String>) {
        let directory = tempfile::tempdir().unwrap();
        let (tree, copy) = (directory.path().join("tree"), directory.path().join("copy"));
        fs_err::create_dir(&tree).unwrap();
        prepare(&tree);
        let result = copy_tree(&tree, &copy, &Cancellation::default());
        (directory, result.map(|()| copy).map_err(|error| error.to_string()))
    }

    #[test]
    fn a_copy_has_the_files_and_links_of_the_tree_and_no_repository() {
        let (_directory, copy) = copied(|tree| {
            fs_err::create_dir_all(tree.join("sub/.git")).unwrap();
            fs_err::write(tree.join(".git"), "gitdir: /elsewhere").unwrap();
            fs_err::write(tree.join("sub/tool"), "#!").unwrap();
            fs_err::set_permissions(tree.join("sub/tool"), PermissionsExt::from_mode(0o700)).unwrap();
            fs_err::os::unix::fs::symlink("../sub/tool", tree.join("sub/link")).unwrap();
        });
        let copy = copy.unwrap();
        let names: Vec<_> =
            fs_err::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["sub"]);
        assert!(!copy.join("sub/.git").exists());
        let tool = fs_err::metadata(copy.join("sub/tool")).unwrap();
        assert_eq!((tool.mode() & 0o777, tool.mtime()), (0o755, 315_532_800));
        assert_eq!(fs_err::read_link(copy.join("sub/link")).unwrap(), Path::new("../sub/tool"));
    }

    #[test]
    fn what_leads_out_or_is_no_file_is_refused() {
        for target in ["/etc/passwd", "../x", "a/../../x"] {
            let (_directory, refused) =
                copied(|tree| fs_err::os::unix::fs::symlink(target, tree.join("link")).unwrap());
            assert!(refused.unwrap_err().contains("leads out"), "{target}");
        }
        let (_directory, refused) = copied(|tree| {
            std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
        });
        assert!(refused.unwrap_err().contains("neither a file"));
    }
}

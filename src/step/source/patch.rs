//! Patch files applied to a source tree, before anything of the project runs.
//! Knows unified diffs and git's extension of them; never leaves the tree.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use diffy::patch_set::{FileMode, FileOperation, FilePatch, ParseOptions, PatchKind, PatchSet};

use crate::contract::{Failure, FailureClass};
use crate::scratch::file::{FileAccess, WholeFile};

/// Why a patch file was not applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The file is not a patch.
    #[error("`{}` is not a patch: {reason}", .patch.display())]
    Invalid {
        /// The patch file.
        patch: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// The patch names a file it must not touch.
    #[error("`{}` names `{name}`, which is not a file inside the source tree (after --patch-strip {strip})", .patch.display())]
    Outside {
        /// The patch file.
        patch: PathBuf,
        /// The name in it.
        name: String,
        /// How many leading components were dropped.
        strip: usize,
    },
    /// A hunk does not fit.
    #[error("`{}` does not apply to `{name}`: {reason}", .patch.display())]
    DoesNotApply {
        /// The patch file.
        patch: PathBuf,
        /// The file it changes.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        Self::new(FailureClass::InvalidMetadata, error.to_string()).with_hint(
            "check that the patch is for this version of the project, and that --patch-strip drops as many leading directories as its file names have (1 for a/ and b/)",
        )
    }
}

/// Applies the patch file `patch` to the tree under `root`, dropping `strip` leading components of
/// the names in it, as `patch -p` does.
pub fn apply_patch(root: &Path, patch: &Path, strip: usize) -> Result<(), PatchError> {
    let bytes = fs_err::read(patch)?;
    let invalid = |reason: String| PatchError::Invalid { patch: patch.to_owned(), reason };
    let is_git = bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"diff --git "));
    let options = if is_git { ParseOptions::gitdiff() } else { ParseOptions::unidiff() };
    let files: Result<Vec<_>, _> = PatchSet::parse_bytes(&bytes, options).collect();
    let files = files.map_err(|error| invalid(error.to_string()))?;
    if files.is_empty() {
        return Err(invalid("it changes no file".into()));
    }
    let root = &fs_err::canonicalize(root)?;
    let newest = newest(root)?;
    let modified = newest.checked_add(Duration::from_secs(1)).unwrap_or(newest);
    let application = Application { root, patch, strip, modified };
    files.iter().try_for_each(|file| application.apply(file))
}

/// When the youngest file below `directory` was modified. What a patch changes must be younger still, for
/// tools that compare times, and as young in every build.
fn newest(directory: &Path) -> std::io::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs_err::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                directories.push(entry.path());
            } else {
                newest = newest.max(metadata.modified()?);
            }
        }
    }
    Ok(newest)
}

struct Application<'a> {
    root: &'a Path,
    patch: &'a Path,
    strip: usize,
    /// Time of the files it writes, and of the directories it changes.
    modified: SystemTime,
}

impl Application<'_> {
    fn apply(&self, file: &FilePatch<'_, [u8]>) -> Result<(), PatchError> {
        match file.operation().strip_prefix(self.strip) {
            FileOperation::Create(name) => {
                let path = self.locate(&name)?;
                if path.exists() {
                    return Err(self.does_not_apply(&name, "it exists already"));
                }
                self.write(&path, &self.patched(&name, Vec::new(), file)?, file.new_mode())
            }
            FileOperation::Delete(name) => {
                let path = self.locate(&name)?;
                self.patched(&name, self.read(&name, &path)?, file)?;
                fs_err::remove_file(&path)?;
                self.stamp_directory(&path)
            }
            FileOperation::Modify { original, modified } => {
                let path = self.locate(&modified)?;
                let base = if path.exists() { modified } else { original };
                let path = self.locate(&base)?;
                let content = self.patched(&base, self.read(&base, &path)?, file)?;
                self.write(&path, &content, file.new_mode())
            }
            FileOperation::Rename { from, to } => {
                let (old, new) = (self.locate(&from)?, self.locate(&to)?);
                let content = self.patched(&from, self.read(&from, &old)?, file)?;
                fs_err::create_dir_all(new.parent().unwrap_or(self.root))?;
                fs_err::rename(&old, &new)?;
                self.stamp_directory(&old)?;
                self.write(&new, &content, file.new_mode())
            }
            FileOperation::Copy { from, to } => {
                let (old, new) = (self.locate(&from)?, self.locate(&to)?);
                let content = self.patched(&from, self.read(&from, &old)?, file)?;
                self.write(&new, &content, file.new_mode())
            }
        }
    }

    /// The path `name` stands for, refused unless every directory on the way is really inside.
    fn locate(&self, name: &[u8]) -> Result<PathBuf, PatchError> {
        let text = String::from_utf8_lossy(name).into_owned();
        let outside =
            || PatchError::Outside { patch: self.patch.to_owned(), name: text.clone(), strip: self.strip };
        let relative = Path::new(&text);
        let plain = relative.components().all(|component| matches!(component, Component::Normal(_)));
        if !plain || text.is_empty() {
            return Err(outside());
        }
        let path = self.root.join(relative);
        let mut directory = path.parent().unwrap_or(self.root);
        while !directory.exists() {
            directory = directory.parent().ok_or_else(outside)?;
        }
        let is_inside = fs_err::canonicalize(directory)?.starts_with(self.root);
        if is_inside && !path.is_symlink() && !path.is_dir() { Ok(path) } else { Err(outside()) }
    }

    fn read(&self, name: &[u8], path: &Path) -> Result<Vec<u8>, PatchError> {
        match fs_err::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(self.does_not_apply(name, "no such file in the sdist"))
            }
            other => Ok(other?),
        }
    }

    fn patched(&self, name: &[u8], base: Vec<u8>, file: &FilePatch<'_, [u8]>) -> Result<Vec<u8>, PatchError> {
        match file.patch() {
            PatchKind::Text(hunks) => diffy::apply_bytes(&base, hunks)
                .map_err(|error| self.does_not_apply(name, &error.to_string())),
            PatchKind::Binary(_) => Err(self.does_not_apply(name, "binary patches are not supported")),
        }
    }

    fn write(&self, path: &Path, content: &[u8], mode: Option<&FileMode>) -> Result<(), PatchError> {
        let mode = match mode {
            Some(FileMode::Executable) => 0o755,
            Some(FileMode::Regular) => 0o644,
            Some(FileMode::Symlink | FileMode::Gitlink) => {
                let name = path.strip_prefix(self.root).unwrap_or(path).to_string_lossy().into_owned();
                return Err(self.does_not_apply(name.as_bytes(), "it would become a link"));
            }
            None => fs_err::metadata(path).map_or(0o644, |metadata| metadata.permissions().mode() & 0o777),
        };
        let directory = path.parent().unwrap_or(self.root);
        fs_err::create_dir_all(directory)?;
        let mut file = WholeFile::create(path, FileAccess::Mode(mode))?;
        file.write_all(content)?;
        file.as_file().set_modified(self.modified)?;
        file.publish(path)?;
        self.stamp_directory(path)
    }

    /// Sets the times of the directories above `path`.
    fn stamp_directory(&self, path: &Path) -> Result<(), PatchError> {
        for directory in path.ancestors().skip(1).take_while(|above| above.starts_with(self.root)) {
            fs_err::File::open(directory)?.file().set_modified(self.modified)?;
        }
        Ok(())
    }

    fn does_not_apply(&self, name: &[u8], reason: &str) -> PatchError {
        PatchError::DoesNotApply {
            patch: self.patch.to_owned(),
            name: String::from_utf8_lossy(name).into_owned(),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir(root.path().join("src")).unwrap();
        fs_err::write(root.path().join("src/setup.py"), "one\ntwo\nthree\n").unwrap();
        root
    }

    fn apply(root: &Path, text: &str, strip: usize) -> Result<(), PatchError> {
        let patch = root.join("change.patch");
        fs_err::write(&patch, text).unwrap();
        apply_patch(&root.join("src"), &patch, strip)
    }

    #[test]
    fn unified_and_git_patches_change_create_and_delete_files() {
        let root = tree();
        apply(root.path(), "--- a/setup.py\n+++ b/setup.py\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n", 1)
            .unwrap();
        assert_eq!(fs_err::read_to_string(root.path().join("src/setup.py")).unwrap(), "one\n2\nthree\n");
        let git = "diff --git a/new/run b/new/run\nnew file mode 100755\n--- /dev/null\n+++ b/new/run\n@@ -0,0 +1 @@\n+x\n\
                   diff --git a/setup.py b/setup.py\ndeleted file mode 100644\n--- a/setup.py\n+++ /dev/null\n@@ -1,3 +0,0 @@\n-one\n-2\n-three\n";
        apply(root.path(), git, 1).unwrap();
        assert!(!root.path().join("src/setup.py").exists());
        let mode = fs_err::metadata(root.path().join("src/new/run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn a_patch_that_leaves_the_tree_is_refused() {
        let root = tree();
        std::os::unix::fs::symlink(root.path(), root.path().join("src/link")).unwrap();
        for name in ["../victim", "/victim", "link/victim", "a/../../victim"] {
            let text = format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+x\n");
            let error = apply(root.path(), &text, 0).unwrap_err();
            assert!(matches!(error, PatchError::Outside { .. }), "{name}: {error}");
        }
        assert!(!root.path().join("victim").exists());
    }

    #[test]
    fn what_does_not_apply_is_named_and_changes_nothing() {
        let root = tree();
        let error =
            apply(root.path(), "--- setup.py\n+++ setup.py\n@@ -1,1 +1,1 @@\n-four\n+4\n", 0).unwrap_err();
        assert!(error.to_string().contains("does not apply to `setup.py`"), "{error}");
        assert_eq!(fs_err::read_to_string(root.path().join("src/setup.py")).unwrap(), "one\ntwo\nthree\n");
        assert!(matches!(apply(root.path(), "hello\n", 0), Err(PatchError::Invalid { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_patches_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let root = tree();
            let patch = root.path().join("change.patch");
            fs_err::write(&patch, [b"--- a\n+++ b\n@@ -1 +1 @@\n".as_slice(), &bytes].concat()).unwrap();
            let _ = apply_patch(&root.path().join("src"), &patch, 0);
        }
    }
}

//! The directory of a generated package: comparing, writing, and removing what is no longer generated. Knows nothing
//! of what the files say, but that those of ours have a mark in their first line.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::emission::{Emission, GeneratedFile, PATHS, UNPLACED_BUILD};
use super::marker::MARKER;
use crate::scratch;
use crate::scratch::file::FileAccess;

/// Files that mark the root of a Bazel workspace.
const WORKSPACE_FILES: [&str; 4] = ["MODULE.bazel", "REPO.bazel", "WORKSPACE.bazel", "WORKSPACE"];

/// A directory for generated files, which may have others, too.
#[derive(Debug, Clone)]
pub struct PackageDirectory {
    path: PathBuf,
}

/// How a file differs from what would be generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The file's path, relative to the directory.
    pub file: String,
    #[serde(flatten)]
    pub kind: DifferenceKind,
}

/// What is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum DifferenceKind {
    /// It is not there.
    Missing,
    /// It was generated once, and no longer is.
    Superfluous,
    /// It is there, with another text.
    Changed {
        /// From what is there to what would be generated, as a unified diff.
        diff: String,
    },
}

/// What was done to a directory; paths are relative to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Written {
    pub written: Vec<String>,
    pub unchanged: Vec<String>,
    pub removed: Vec<String>,
}

/// Why a directory could not be compared or written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("cannot {attempted}: {error}")]
    Io { attempted: String, error: std::io::Error },
    #[error(
        "{0} was not generated, so it is not overwritten; generate into another directory, or overwrite it with --force"
    )]
    NotOurs(PathBuf),
    #[error(
        "{} was not generated, and Bazel would no longer read it beside a BUILD.bazel; generate into another directory, \
         or hide it with --force", .build.display()
    )]
    Hidden { build: PathBuf },
    #[error("{0} is not a file, so it cannot be generated")]
    NoFile(PathBuf),
}

impl PackageDirectory {
    /// The directory at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The path of the package in the Bazel workspace around it; its own name if there is none.
    ///
    /// # Errors
    /// If the way to it cannot be read.
    pub fn package(&self) -> Result<String, DirectoryError> {
        let attempt = |error| self.failed("find", "", error);
        let path = resolved(&std::path::absolute(&self.path).map_err(attempt)?).map_err(attempt)?;
        let is_root = |directory: &&Path| WORKSPACE_FILES.iter().any(|file| directory.join(file).is_file());
        let package = match path.ancestors().find(is_root) {
            Some(root) => path.strip_prefix(root).unwrap_or(&path),
            None => Path::new(path.file_name().unwrap_or_default()),
        };
        Ok(package.to_string_lossy().into_owned())
    }

    /// How the directory differs from `emission`, in the order of paths. Writes nothing.
    ///
    /// # Errors
    /// [`DirectoryError::Io`] if it cannot be read.
    pub fn differences(&self, emission: &Emission) -> Result<Vec<Difference>, DirectoryError> {
        let mut differences = Vec::new();
        for GeneratedFile { path, text } in &emission.files {
            let kind = match self.read(path)? {
                None => DifferenceKind::Missing,
                Some(bytes) if bytes == text.as_bytes() => continue,
                Some(bytes) => {
                    let diff = diffy::create_patch(&String::from_utf8_lossy(&bytes), text).to_string();
                    DifferenceKind::Changed { diff }
                }
            };
            differences.push(Difference { file: path.clone(), kind });
        }
        let superfluous = self.superfluous(emission)?.into_iter();
        differences.extend(superfluous.map(|file| Difference { file, kind: DifferenceKind::Superfluous }));
        differences.sort_by(|one, other| one.file.cmp(&other.file));
        Ok(differences)
    }

    /// Makes the directory what `emission` says: writes what is different, each file at once, and removes what was
    /// generated once. Files that were not generated are left alone, or overwritten if `force` says so.
    ///
    /// # Errors
    /// [`DirectoryError::NotOurs`] and [`DirectoryError::Hidden`] before anything is written; [`DirectoryError::Io`]
    /// perhaps in between.
    pub fn write(&self, emission: &Emission, force: bool) -> Result<Written, DirectoryError> {
        let mut done = Written::default();
        let mut to_write = Vec::new();
        for file in &emission.files {
            match self.read(&file.path)? {
                Some(bytes) if bytes == file.text.as_bytes() => done.unchanged.push(file.path.clone()),
                Some(bytes) if !force && !self.is_ours(&file.path, &bytes) => {
                    return Err(DirectoryError::NotOurs(self.path.join(&file.path)));
                }
                None if !force => {
                    self.check_hides_nothing(&file.path)?;
                    to_write.push(file);
                }
                _ => to_write.push(file),
            }
        }
        let superfluous = self.superfluous(emission)?;
        for file in to_write {
            self.write_file(file)?;
            done.written.push(file.path.clone());
        }
        for file in superfluous {
            let path = self.path.join(&file);
            fs_err::remove_file(&path).map_err(|error| self.failed("remove", &file, error))?;
            done.removed.push(file);
        }
        let emptied = done.removed.iter().filter_map(|file| Some(file.rsplit_once('/')?.0));
        for directory in emptied.collect::<BTreeSet<_>>() {
            // Not if there are others' files in it; the system knows best.
            let _ = fs_err::remove_dir(self.path.join(directory));
        }
        Ok(done)
    }

    /// Of `BUILD` and `BUILD.bazel`, Bazel reads only the latter.
    fn check_hides_nothing(&self, file: &str) -> Result<(), DirectoryError> {
        let path = self.path.join(file);
        let hidden = path.with_file_name("BUILD");
        if path.ends_with("BUILD.bazel") && hidden.is_file() {
            return Err(DirectoryError::Hidden { build: hidden });
        }
        Ok(())
    }

    fn write_file(&self, file: &GeneratedFile) -> Result<(), DirectoryError> {
        let path = self.path.join(&file.path);
        let attempt = |error| self.failed("write", &file.path, error);
        let directory = path.parent().unwrap_or(&self.path);
        fs_err::create_dir_all(directory).map_err(attempt)?;
        // As any other new file: the umask has its say.
        scratch::file::write(&path, file.text.as_bytes(), FileAccess::Umask).map_err(attempt)
    }

    /// Files of ours that `emission` does not have: only what can be generated was, whatever else has our mark.
    fn superfluous(&self, emission: &Emission) -> Result<Vec<String>, DirectoryError> {
        let generated: BTreeSet<&str> = emission.files.iter().map(|file| file.path.as_str()).collect();
        let mut superfluous = Vec::new();
        for path in PATHS.into_iter().filter(|path| !generated.contains(path)) {
            let found = fs_err::symlink_metadata(self.path.join(path));
            if found.is_ok_and(|found| found.is_file()) && self.begins_as_ours(path)? {
                superfluous.push(path.to_owned());
            }
        }
        Ok(superfluous)
    }

    /// Whether a whole package was generated where ours has a file of its own.
    fn is_of_another(&self, file: &str) -> bool {
        file == UNPLACED_BUILD && self.path.join(file).with_file_name("defs.bzl").exists()
    }

    /// Whether the file is one of ours; of foreign ones, which may be large, no more is read than that takes.
    fn begins_as_ours(&self, file: &str) -> Result<bool, DirectoryError> {
        use std::io::Read;
        let attempt = |error| self.failed("read", file, error);
        let mut beginning = Vec::new();
        let opened = fs_err::File::open(self.path.join(file)).map_err(attempt)?;
        opened.take(256).read_to_end(&mut beginning).map_err(attempt)?;
        Ok(self.is_ours(file, &beginning))
    }

    /// Whether `bytes`, the beginning of `file`, are ours to change.
    fn is_ours(&self, file: &str, bytes: &[u8]) -> bool {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(first).contains(MARKER) && !self.is_of_another(file)
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, DirectoryError> {
        let path = self.path.join(file);
        if path.is_dir() {
            return Err(DirectoryError::NoFile(path));
        }
        match fs_err::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(self.failed("read", file, error)),
        }
    }

    fn failed(&self, verb: &str, file: &str, error: std::io::Error) -> DirectoryError {
        DirectoryError::Io { attempted: format!("{verb} {}", self.path.join(file).display()), error }
    }
}

/// `path`, of which the last parts need not exist, without symbolic links.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    match (fs_err::canonicalize(path), path.parent(), path.file_name()) {
        (Ok(found), ..) => Ok(found),
        (Err(error), Some(parent), Some(name)) if error.kind() == ErrorKind::NotFound => {
            Ok(resolved(parent)?.join(name))
        }
        (Err(error), ..) => Err(error),
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

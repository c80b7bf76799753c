//! The place where an action runs: its input root in the form that this host allows, with the directories that its
//! outputs need. Gone when dropped. Knows nothing of the command's process.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{CWD, Mode, OFlags};

use super::command::{Command, Output};
use super::error::ExecuteError;
use super::input::{Entry, InputDirectory, Source, Tree, write_copies};
use super::path::ExecPath;
use super::shared_files::SharedFiles;
use super::work::EXEC_ROOT;
use super::working_directory::check_working_directory;
use crate::sandbox::{Bind, Overlay};
use crate::scratch::space::ScratchSpace;

/// Input roots with no more entries and bytes than this are copied even where there are overlays: making and
/// mounting one takes longer.
const SMALL_ENTRIES: u64 = 8;
const SMALL_BYTES: u64 = 256 << 10;

/// Files and directories for one action.
pub(super) struct ExecRoot {
    directory: PathBuf,
    /// In it: the upper directory of the overlay, or the copies.
    own: PathBuf,
    inputs: Arc<InputDirectory>,
    kind: Kind,
    /// The overlay, once nobody looks at it any more.
    mounted: Option<OwnedFd>,
    space: Arc<ScratchSpace>,
}

/// How a command gets to see its input root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Staging {
    /// Through an overlay at the fixed path; small ones as [`Staging::Bind`].
    Overlay,
    /// As copies at the fixed path.
    Bind,
    /// As copies, where they are.
    OnTheHost,
}

enum Kind {
    /// An overlay on a tree that others use, too.
    Overlay(Arc<Tree>),
    /// Copies, seen by the command at the fixed path.
    Bind,
    /// Copies, seen where they are.
    OnTheHost,
}

impl ExecRoot {
    /// Makes everything that has to be there before the command runs.
    ///
    /// # Errors
    /// [`ExecuteError::MissingInputs`], and [`ExecuteError::Invalid`] for a working directory that the input tree has
    /// not got or an output that cannot be where it has a file.
    pub fn prepare(
        files: &SharedFiles,
        staging: Staging,
        command: &Command,
        inputs: &Arc<InputDirectory>,
        source: &Source<'_>,
    ) -> Result<Self, ExecuteError> {
        check_working_directory(&command.working_directory, inputs)?;
        let small = inputs.totals.entries <= SMALL_ENTRIES && inputs.totals.bytes <= SMALL_BYTES;
        let kind = match staging {
            Staging::Overlay if !small => Kind::Overlay(files.trees.get(inputs, source)?),
            Staging::Overlay | Staging::Bind => Kind::Bind,
            Staging::OnTheHost => Kind::OnTheHost,
        };
        let space = Arc::clone(&files.scratch);
        let directory = space.new_path();
        let own = directory.join(last_name());
        let exec_root = Self { directory, own, inputs: Arc::clone(inputs), kind, mounted: None, space };
        make_directory(&exec_root.directory)?;
        if let Kind::Overlay(_) = &exec_root.kind {
            exec_root.make_like(&exec_root.own, Some(&exec_root.inputs))?;
            make_directory(&exec_root.kernels())?;
        } else {
            write_copies(source, inputs, &exec_root.own)?;
            files.staged.copied.fetch_add(inputs.totals.entries, Ordering::Relaxed);
        }
        files.staged.total.fetch_add(inputs.totals.entries, Ordering::Relaxed);
        exec_root.make_directories(command)?;
        Ok(exec_root)
    }

    /// For files of the executor's own; the command does not see it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The directories that have what the command writes, but for those of the kernel and of ours.
    pub fn places(&self) -> Vec<PathBuf> {
        vec![self.own.clone(), self.work(), self.own_cache()]
    }

    /// The cache of a `crosswheel wheel` that may not share one, and has no `/tmp` of its own to keep it in.
    pub fn own_cache(&self) -> PathBuf {
        self.directory.join("cache")
    }

    fn work(&self) -> PathBuf {
        self.directory.join("work")
    }

    /// Makes the directory for the builds of a `crosswheel wheel` that shares its cache with others.
    pub fn make_work(&self) -> io::Result<PathBuf> {
        let work = self.work();
        fs_err::create_dir(&work)?;
        Ok(work)
    }

    /// The exec root as the command sees it.
    pub fn inside(&self) -> &Path {
        match self.kind {
            Kind::Overlay(_) | Kind::Bind => Path::new(EXEC_ROOT),
            Kind::OnTheHost => &self.own,
        }
    }

    pub fn overlay(&self) -> Option<Overlay> {
        let Kind::Overlay(tree) = &self.kind else { return None };
        let inside = EXEC_ROOT.into();
        Some(Overlay { lower: tree.layers(), upper: self.own.clone(), work: self.kernels(), inside })
    }

    pub fn bind(&self) -> Option<Bind> {
        let own = self.own.clone();
        match self.kind {
            Kind::Overlay(_) => None,
            Kind::Bind => Some(Bind { host: own, inside: EXEC_ROOT.into(), writable: true }),
            Kind::OnTheHost => Some(Bind { host: own.clone(), inside: own, writable: true }),
        }
    }

    /// The host directory that has what the command makes.
    pub fn own(&self) -> &Path {
        &self.own
    }

    pub fn open_own(&self) -> Result<OwnedFd, ExecuteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &self.own, flags, Mode::empty()).map_err(|error| match error {
            rustix::io::Errno::ACCESS => ExecuteError::Refused(
                "the input root closes itself to everybody (unix_mode of the root directory)".to_owned(),
            ),
            error => ExecuteError::io_at("open the exec root", &self.own)(io::Error::from(error)),
        })
    }

    /// Ends the use of the directory that the command has left. Whoever removes the exec root closes it.
    pub fn leave(mut self, root: OwnedFd) {
        self.mounted = Some(root);
    }

    /// What the command sees where it has nothing of its own; none if it has copies.
    pub fn inputs_below(&self) -> Option<&InputDirectory> {
        matches!(self.kind, Kind::Overlay(_)).then_some(&*self.inputs)
    }

    /// Where the kernel keeps notes on the overlay.
    fn kernels(&self) -> PathBuf {
        self.directory.join("overlay")
    }

    /// "Directories leading up to the output paths are created by the worker".
    fn make_directories(&self, command: &Command) -> Result<(), ExecuteError> {
        for Output { path, field, .. } in &command.outputs {
            if let Some(parent) = path.parent() {
                self.make_with_parents(&parent, field)?;
            }
        }
        Ok(())
    }

    fn make_with_parents(&self, path: &ExecPath, field: &str) -> Result<(), ExecuteError> {
        let exists = match self.inputs.find(path) {
            _ if path.is_empty() => true,
            Some(Entry::Directory(_)) => true,
            Some(Entry::File(_) | Entry::Symlink(_)) | None => false,
        };
        if exists {
            return Ok(());
        }
        let mut input = Some(&*self.inputs);
        let mut place = self.own.clone();
        for name in path.names() {
            place.push(name);
            input = match input.and_then(|directory| directory.entry(name)) {
                Some(Entry::Directory(directory)) => {
                    self.make_like(&place, Some(directory)).map_err(|error| closed(error, path))?;
                    Some(&**directory)
                }
                Some(Entry::File(_)) => {
                    let problem =
                        format!("`{path}` cannot be a directory: the input root has a file there or above");
                    return Err(ExecuteError::invalid(field, problem));
                }
                // It leads wherever it leads; the command may find a directory there.
                Some(Entry::Symlink(_)) => return Ok(()),
                None => {
                    self.make_like(&place, None).map_err(|error| closed(error, path))?;
                    None
                }
            };
        }
        Ok(())
    }

    /// Makes a directory of the command's own, which takes the place of the one below it, if there is one.
    fn make_like(&self, place: &Path, input: Option<&InputDirectory>) -> Result<(), ExecuteError> {
        let make = || match fs_err::create_dir(place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => match input.and_then(|input| input.properties.unix_mode) {
                Some(mode) => fs_err::set_permissions(place, PermissionsExt::from_mode(mode)),
                None => Ok(()),
            },
        };
        make().map_err(ExecuteError::io("make a directory for outputs"))
    }
}

/// A directory that the client has closed to everybody is its own fault.
fn closed(error: ExecuteError, path: &ExecPath) -> ExecuteError {
    match &error {
        ExecuteError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            ExecuteError::Refused(format!(
                "cannot make the directory `{path}` for the command: the input root closes one above it to everybody \
                 (unix_mode)"
            ))
        }
        _ => error,
    }
}

impl Drop for ExecRoot {
    fn drop(&mut self) {
        self.space.discard_mounted(std::mem::take(&mut self.directory), self.mounted.take());
    }
}

/// The name of the exec root, for who sees it where it is.
fn last_name() -> &'static OsStr {
    Path::new(EXEC_ROOT).file_name().unwrap_or_default()
}

fn make_directory(path: &Path) -> Result<(), ExecuteError> {
    fs_err::create_dir(path).map_err(ExecuteError::io("make room for an action"))
}

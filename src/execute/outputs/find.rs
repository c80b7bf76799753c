//! Looks for outputs and reads directories. Knows nothing of digests.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat, fstat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use super::budget::Budget;
use super::collecting::Collecting;
use super::failure::{cannot, refused};
use super::found::{FoundDirectory, FoundFile, FoundOutput, LinkTarget, NodeProperties, OutputNode};
use super::left::LeftExecRoot;
use crate::execute::command::{Output, OutputKind, OutputProperties};
use crate::execute::error::ExecuteError;
use crate::execute::path::LONGEST;
use crate::execute::quota::Effort;
use crate::reapi;
use crate::reapi::protobuf;

/// From here no path leads out.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const LIST: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Deepest output directory.
const DEEPEST: usize = 512;

pub(super) struct Finding<'a> {
    left: &'a LeftExecRoot<'a>,
    properties: OutputProperties,
    budget: Budget,
    effort: Effort<'a>,
    pub files: Vec<FoundFile>,
    /// Their numbers by path: an output may lie in another, and a file can be moved into the store but once.
    numbers: HashMap<PathBuf, usize>,
}

/// Where in an output we are.
struct Place<'a> {
    output: &'a Output,
    path: PathBuf,
    through_symlink: bool,
    depth: usize,
}

impl Place<'_> {
    /// Where `name` in this directory is, and the name as the API can have it.
    fn below(&self, name: Vec<u8>) -> Result<(String, Self), ExecuteError> {
        let Self { output, through_symlink, .. } = *self;
        let name = String::from_utf8(name).map_err(|error| {
            let name = String::from_utf8_lossy(error.as_bytes()).into_owned();
            refused(output, format!("has the name {name:?} in {:?}, which is not UTF-8", self.path))
        })?;
        let depth = self.depth + 1;
        let path = if self.path == Path::new(".") { PathBuf::from(&name) } else { self.path.join(&name) };
        let bytes = path.as_os_str().len();
        if bytes > LONGEST {
            return Err(refused(
                output,
                format!("has a path of {bytes} bytes; at most {LONGEST} can be kept"),
            ));
        }
        Ok((name, Self { output, path, through_symlink, depth }))
    }
}

impl<'a> Finding<'a> {
    pub fn new(collecting: &Collecting<'a>, properties: OutputProperties) -> Self {
        let Collecting { left, limit, most_entries, effort, .. } = *collecting;
        Self {
            left,
            properties,
            budget: Budget::new(limit, most_entries),
            effort,
            files: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// What is at an output path; none if nothing is.
    pub fn output(&mut self, output: &Output) -> Result<Option<FoundOutput>, ExecuteError> {
        self.effort.check()?;
        let path = output.path.as_relative();
        let root = self.left.root.as_fd();
        let found = match openat2(root, path, LOOK, Mode::empty(), INSIDE) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(Errno::XDEV) => {
                return Err(refused(output, "lies behind a symlink that leads out of the exec root"));
            }
            Err(Errno::LOOP) => {
                return Err(refused(output, "lies behind symlinks that lead nowhere or in circles"));
            }
            Err(error) => return Err(cannot("open the output", &output.name)(error)),
        };
        let stat = fstat(&found).map_err(cannot("look at the output", &output.name))?;
        let straight = ResolveFlags::NO_SYMLINKS.union(INSIDE);
        // A symlink at the end is not followed here either, but would be an error.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // By itself, O_NOFOLLOW with O_PATH would open a symlink at the end of `parent`.
        let look = LOOK | OFlags::DIRECTORY;
        let through_symlink =
            parent.is_some_and(|parent| openat2(root, parent, look, Mode::empty(), straight).is_err());
        let place = Place { output, path: path.to_owned(), through_symlink, depth: 0 };
        let file_type = FileType::from_raw_mode(stat.st_mode);
        check_kind(output, file_type)?;
        let node = match file_type {
            FileType::RegularFile => self.file(&place, &stat)?,
            FileType::Symlink => {
                let target =
                    readlinkat(&found, "", Vec::new()).map_err(cannot("read the symlink", &output.name))?;
                let followed = openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), INSIDE);
                let directory = followed
                    .and_then(fstat)
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
                let leads_to = if directory { LinkTarget::Directory } else { LinkTarget::Other };
                if output.kind == OutputKind::File && directory {
                    return Err(refused(output, "is to be a file and is a symlink to a directory"));
                }
                self.symlink(&place, target.into_bytes(), leads_to, &stat)?
            }
            FileType::Directory => OutputNode::Directory(self.directories(place, &stat)?),
            other => return Err(refused(output, format!("is {}, which cannot be kept", name_of(other)))),
        };
        Ok(Some(node))
    }

    fn file<D>(&mut self, place: &Place<'_>, stat: &Stat) -> Result<OutputNode<D>, ExecuteError> {
        self.budget.entry(place.path.as_os_str().len())?;
        let file = match self.numbers.get(&place.path) {
            Some(known) => *known,
            None => {
                let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
                self.budget.file(size_bytes)?;
                let (path, through_symlink) = (place.path.clone(), place.through_symlink);
                self.files.push(FoundFile { path, size_bytes, through_symlink });
                self.numbers.insert(place.path.clone(), self.files.len() - 1);
                self.files.len() - 1
            }
        };
        let executable = stat.st_mode & 0o111 != 0;
        Ok(OutputNode::File { file, executable, properties: self.properties(stat) })
    }

    fn symlink<D>(
        &mut self,
        place: &Place<'_>,
        target: Vec<u8>,
        leads_to: LinkTarget,
        stat: &Stat,
    ) -> Result<OutputNode<D>, ExecuteError> {
        self.budget.entry(place.path.as_os_str().len() + target.len())?;
        let target = String::from_utf8(target).map_err(|error| {
            let target = String::from_utf8_lossy(error.as_bytes()).into_owned();
            refused(
                place.output,
                format!("has a symlink {:?} whose target {target:?} is not UTF-8", place.path),
            )
        })?;
        Ok(OutputNode::Symlink { target, leads_to, properties: self.properties(stat) })
    }

    /// The directory at `place` and all below it. Only one is open at a time, however deep they are.
    fn directories(&mut self, place: Place<'_>, stat: &Stat) -> Result<Vec<FoundDirectory>, ExecuteError> {
        let new = |properties| FoundDirectory { entries: Vec::new(), properties };
        self.budget.entry(place.path.as_os_str().len())?;
        let mut found = vec![new(self.properties(stat))];
        let mut to_list = vec![(0, place)];
        while let Some((directory, place)) = to_list.pop() {
            if place.depth > DEEPEST {
                return Err(refused(place.output, format!("has more than {DEEPEST} levels of directories")));
            }
            let listed = openat2(self.left.root, &place.path, LIST, Mode::empty(), INSIDE)
                .map_err(|error| cannot_list(&place, error))?;
            let mut entries = Vec::new();
            for name in self.names(&place, &listed)? {
                self.effort.check()?;
                let (name, below) = place.below(name)?;
                let stat = statat(&listed, &name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| cannot_list(&place, error))?;
                let node = match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => {
                        self.budget.entry(below.path.as_os_str().len())?;
                        found.push(new(self.properties(&stat)));
                        to_list.push((found.len() - 1, below));
                        OutputNode::Directory(found.len() - 1)
                    }
                    file_type => self.entry(&below, &listed, &name, file_type, &stat)?,
                };
                entries.push((name, node));
            }
            found[directory].entries = entries;
        }
        Ok(found)
    }

    /// Sorted: what is made of them must not depend on a file system's order.
    fn names(&self, place: &Place<'_>, directory: &OwnedFd) -> Result<Vec<Vec<u8>>, ExecuteError> {
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut listing = RawDir::new(directory, &mut buffer);
        let mut names = Vec::new();
        while let Some(entry) = listing.next() {
            self.effort.check()?;
            let entry = entry.map_err(|error| cannot_list(place, error))?;
            let name = entry.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            names.push(name.to_owned());
            if names.len() as u64 > self.budget.names_left() {
                // One more than there may be is enough to be told of.
                break;
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What is no directory.
    fn entry(
        &mut self,
        place: &Place<'_>,
        listed: &OwnedFd,
        name: &str,
        file_type: FileType,
        stat: &Stat,
    ) -> Result<OutputNode<usize>, ExecuteError> {
        match file_type {
            FileType::RegularFile => self.file(place, stat),
            FileType::Symlink => {
                let target =
                    readlinkat(listed, name, Vec::new()).map_err(|error| cannot_list(place, error))?;
                self.symlink(place, target.into_bytes(), LinkTarget::Other, stat)
            }
            other => {
                let problem = format!("has {} at {:?}, which cannot be kept", name_of(other), place.path);
                Err(refused(place.output, problem))
            }
        }
    }

    fn properties(&self, stat: &Stat) -> NodeProperties {
        let OutputProperties { mtime, unix_mode } = self.properties;
        (mtime || unix_mode).then(|| reapi::NodeProperties {
            properties: Vec::new(),
            mtime: mtime.then(|| protobuf::Timestamp {
                seconds: stat.st_mtime,
                nanos: i32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            }),
            unix_mode: unix_mode.then_some(protobuf::UInt32Value { value: stat.st_mode & 0o7777 }),
        })
    }
}

/// The fields of REAPI 2.0 say what each output is to be.
fn check_kind(output: &Output, file_type: FileType) -> Result<(), ExecuteError> {
    match (output.kind, file_type) {
        (OutputKind::File, FileType::Directory) => Err(refused(output, "is to be a file and is a directory")),
        (OutputKind::Directory, FileType::RegularFile) => {
            Err(refused(output, "is to be a directory and is a file"))
        }
        _ => Ok(()),
    }
}

fn cannot_list(place: &Place<'_>, error: Errno) -> ExecuteError {
    match error {
        Errno::ACCESS | Errno::PERM => {
            refused(place.output, format!("has a directory {:?} that nobody may read", place.path))
        }
        _ => cannot("read the output directory", place.path.display())(error),
    }
}

fn name_of(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Socket => "a socket",
        FileType::Fifo => "a named pipe",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "of an unknown kind",
    }
}

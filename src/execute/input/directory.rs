//! An input directory in memory, checked, with all that is below it. Knows nothing of stores and file systems.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::digest::Digest;
use crate::execute::path::{ExecPath, check_name};
use crate::reapi;

/// A directory whose digest is known, as all below it. Directories with the same contents are one.
#[derive(Debug)]
pub struct InputDirectory {
    /// Of its `Directory` message.
    pub digest: Digest,
    /// By name, sorted, each name once.
    pub entries: Vec<(Box<str>, Entry)>,
    pub properties: Properties,
    pub totals: Totals,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone)]
pub enum Entry {
    File(InputFile),
    Directory(Arc<InputDirectory>),
    Symlink(Box<InputSymlink>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct InputFile {
    pub digest: Digest,
    pub executable: bool,
    /// None in particular, for most.
    pub properties: Option<Box<Properties>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct InputSymlink {
    /// Wherever it leads: it is made, never followed by us.
    pub target: String,
    pub properties: Properties,
}

/// What an input root may ask of a file's metadata (REAPI `NodeProperties`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Properties {
    pub mtime: Option<SystemTime>,
    /// Permission bits only.
    pub unix_mode: Option<u32>,
}

/// Sums over a directory and all below it, each as often as it is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files, symlinks, and directories, itself included.
    pub entries: u64,
    pub bytes: u64,
    pub symlinks: u64,
    /// Directories, itself included.
    pub directories: u64,
    /// Levels of directories, itself included.
    pub depth: usize,
    /// Bytes of the longest path below it.
    pub longest_path: usize,
}

impl InputDirectory {
    /// Puts together a directory; `directories` are its subdirectories in the order of the message.
    ///
    /// # Errors
    /// The field in the message, and what is wrong with it. Names in any order are accepted: it is the digest
    /// that says what is the same, and it was made by the client.
    pub fn new(
        digest: Digest,
        message: reapi::Directory,
        directories: Vec<Arc<Self>>,
    ) -> Result<Self, (String, String)> {
        let mut entries =
            Vec::with_capacity(message.files.len() + message.directories.len() + message.symlinks.len());
        for (index, file) in message.files.into_iter().enumerate() {
            let digest = Digest::from_field(digest.function, file.digest.as_ref())
                .map_err(|error| (format!("files[{index}].digest"), error.to_string()))?;
            let properties = Properties::new(file.node_properties.as_ref());
            let properties = (properties != Properties::default()).then(|| Box::new(properties));
            let entry = Entry::File(InputFile { digest, executable: file.is_executable, properties });
            entries.push((checked(file.name, "files", index)?, entry));
        }
        for (index, (node, directory)) in message.directories.into_iter().zip(directories).enumerate() {
            entries.push((checked(node.name, "directories", index)?, Entry::Directory(directory)));
        }
        for (index, symlink) in message.symlinks.into_iter().enumerate() {
            if symlink.target.is_empty() || symlink.target.contains('\0') || symlink.target.len() > 4095 {
                let problem = "is empty, longer than 4095 bytes or contains a NUL byte";
                return Err((format!("symlinks[{index}].target"), problem.to_owned()));
            }
            let properties = Properties::new(symlink.node_properties.as_ref());
            let entry = Entry::Symlink(Box::new(InputSymlink { target: symlink.target, properties }));
            entries.push((checked(symlink.name, "symlinks", index)?, entry));
        }
        entries.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(("files, directories, symlinks".into(), format!("`{}` occurs twice", pair[0].0)));
        }
        let totals = Totals::of(&entries);
        let properties = Properties::new(message.node_properties.as_ref());
        Ok(Self { digest, entries, properties, totals })
    }

    /// What lies at a path, if something does and no symlink is on the way.
    pub fn find(&self, path: &ExecPath) -> Option<&Entry> {
        let mut names = path.names();
        let mut entry = self.entry(names.next()?)?;
        for name in names {
            let Entry::Directory(directory) = entry else { return None };
            entry = directory.entry(name)?;
        }
        Some(entry)
    }

    pub fn entry(&self, name: &str) -> Option<&Entry> {
        let index = self.entries.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        Some(&self.entries[index].1)
    }
}

fn checked(name: String, field: &str, index: usize) -> Result<Box<str>, (String, String)> {
    check_name(&name).map_err(|problem| (format!("{field}[{index}].name"), problem))?;
    Ok(name.into())
}

impl Totals {
    fn of(entries: &[(Box<str>, Entry)]) -> Self {
        let mut totals = Self { entries: 1, directories: 1, depth: 1, ..Self::default() };
        for (name, entry) in entries {
            let mut below = 0;
            match entry {
                Entry::File(file) => {
                    totals.entries = totals.entries.saturating_add(1);
                    totals.bytes = totals.bytes.saturating_add(file.digest.size_bytes);
                }
                Entry::Symlink(_) => {
                    totals.entries = totals.entries.saturating_add(1);
                    totals.symlinks = totals.symlinks.saturating_add(1);
                }
                Entry::Directory(directory) => {
                    let own = &directory.totals;
                    totals.entries = totals.entries.saturating_add(own.entries);
                    totals.bytes = totals.bytes.saturating_add(own.bytes);
                    totals.symlinks = totals.symlinks.saturating_add(own.symlinks);
                    totals.directories = totals.directories.saturating_add(own.directories);
                    totals.depth = totals.depth.max(own.depth.saturating_add(1));
                    below = own.longest_path.saturating_add(1);
                }
            }
            totals.longest_path = totals.longest_path.max(below.saturating_add(name.len()));
        }
        totals
    }
}

impl Properties {
    /// Reads those we know; a time or a mode that cannot be is as none.
    fn new(message: Option<&reapi::NodeProperties>) -> Self {
        let Some(message) = message else { return Self::default() };
        let mtime = message.mtime.as_ref().and_then(|time| {
            let nanoseconds = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
            let seconds = Duration::from_secs(time.seconds.unsigned_abs());
            let whole = if time.seconds < 0 {
                UNIX_EPOCH.checked_sub(seconds)?
            } else {
                UNIX_EPOCH.checked_add(seconds)?
            };
            whole.checked_add(Duration::from_nanos(nanoseconds.into()))
        });
        Self { mtime, unix_mode: message.unix_mode.as_ref().map(|mode| mode.value & 0o777) }
    }
}

impl PartialEq for InputDirectory {
    /// The digest says it all.
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Entry {
    /// Whether both make the same file, link or tree.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(one), Self::File(two)) => one == two,
            (Self::Directory(one), Self::Directory(two)) => one == two,
            (Self::Symlink(one), Self::Symlink(two)) => one == two,
            _ => false,
        }
    }
}

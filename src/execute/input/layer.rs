//! Makes directories of files out of input directories: links for trees that nobody writes to, copies for
//! everybody else. Knows nothing of which trees there are.

use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

use fs_err::os::unix::fs::symlink;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT};

use super::difference::{Difference, Step};
use super::directory::{Entry, InputDirectory, InputFile, Properties};
use crate::cas::{DiskStore, FileMode};
use crate::execute::error::ExecuteError;

const DIRECTORY_MODE: u32 = 0o755;

/// How files are made of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BlobUse {
    /// Hard links, where nothing but the bytes and the executable bit is asked for.
    Link,
    /// The file is the command's own.
    Copy,
}

struct Layer<'a> {
    store: &'a DiskStore,
    blobs: BlobUse,
    /// Our umask takes something away from the modes of what we make.
    umask_interferes: bool,
}

/// Makes the directory `place` a layer with all of `directory`.
pub fn write_full(store: &DiskStore, directory: &InputDirectory, place: &Path) -> Result<(), ExecuteError> {
    write_all(store, BlobUse::Link, directory, place)
}

/// Makes the directory `place` with private copies of all of `directory`, read-only as in a layer.
pub fn write_copies(store: &DiskStore, directory: &InputDirectory, place: &Path) -> Result<(), ExecuteError> {
    write_all(store, BlobUse::Copy, directory, place)
}

fn write_all(
    store: &DiskStore,
    blobs: BlobUse,
    directory: &InputDirectory,
    place: &Path,
) -> Result<(), ExecuteError> {
    let layer = Layer::make(store, blobs, place)?;
    layer.fill(directory, place)?;
    layer.finish_directory(directory, place)
}

/// Makes the directory `place` a layer with what is different, to lie on top of the layer of the other tree.
pub fn write_difference(
    store: &DiskStore,
    difference: &Difference<'_>,
    place: &Path,
) -> Result<(), ExecuteError> {
    let layer = Layer::make(store, BlobUse::Link, place)?;
    let mut entered = Vec::new();
    for (path, step) in &difference.steps {
        let path = if path.is_empty() { place.to_owned() } else { place.join(path.as_str()) };
        match step {
            Step::Enter(directory) => {
                if path != place {
                    layer.make_directory(&path)?;
                }
                entered.push((path, *directory));
            }
            Step::Put(entry) => layer.put(entry, &path)?,
            Step::Hide => hide(&path)?,
        }
    }
    for (path, directory) in entered.iter().rev() {
        layer.finish_directory(directory, path)?;
    }
    Ok(())
}

/// Makes a whiteout: overlayfs takes a device that cannot exist for the absence of what is below.
fn hide(place: &Path) -> Result<(), ExecuteError> {
    rustix::fs::mknodat(CWD, place, FileType::CharacterDevice, Mode::empty(), 0)
        .map_err(|error| ExecuteError::io_at("hide an input", place)(error.into()))
}

impl<'a> Layer<'a> {
    fn make(store: &'a DiskStore, blobs: BlobUse, place: &Path) -> Result<Self, ExecuteError> {
        let mut layer = Self { store, blobs, umask_interferes: false };
        layer.make_directory(place)?;
        let mode =
            fs_err::symlink_metadata(place).map_err(ExecuteError::io("make a layer"))?.permissions().mode();
        layer.umask_interferes = mode & 0o777 != DIRECTORY_MODE;
        Ok(layer)
    }

    fn make_directory(&self, place: &Path) -> Result<(), ExecuteError> {
        fs_err::create_dir(place).map_err(ExecuteError::io("make an input directory"))
    }

    fn fill(&self, directory: &InputDirectory, place: &Path) -> Result<(), ExecuteError> {
        let mut path = place.to_owned();
        for (name, entry) in &directory.entries {
            path.push(&**name);
            self.put(entry, &path)?;
            path.pop();
        }
        Ok(())
    }

    fn put(&self, entry: &Entry, place: &Path) -> Result<(), ExecuteError> {
        match entry {
            Entry::File(file) => self.put_file(file, place),
            Entry::Directory(directory) => {
                self.make_directory(place)?;
                self.fill(directory, place)?;
                self.finish_directory(directory, place)
            }
            Entry::Symlink(link) => {
                let doing = "make an input symlink";
                symlink(&link.target, place).map_err(ExecuteError::io(doing))?;
                link.properties
                    .mtime
                    .map_or(Ok(()), |mtime| set_mtime(place, mtime))
                    .map_err(ExecuteError::io(doing))
            }
        }
    }

    /// Sets what comes last, as a directory may be one that nothing can be added to, and adding changes its time.
    fn finish_directory(&self, directory: &InputDirectory, place: &Path) -> Result<(), ExecuteError> {
        let Properties { mtime, unix_mode } = directory.properties;
        let mode = unix_mode.or(self.umask_interferes.then_some(DIRECTORY_MODE));
        let set = || -> io::Result<()> {
            mode.map_or(Ok(()), |mode| fs_err::set_permissions(place, PermissionsExt::from_mode(mode)))?;
            mtime.map_or(Ok(()), |mtime| set_mtime(place, mtime))
        };
        set().map_err(ExecuteError::io("finish an input directory"))
    }

    fn put_file(&self, file: &InputFile, place: &Path) -> Result<(), ExecuteError> {
        let blob_mode = if file.executable { FileMode::Executable } else { FileMode::Plain };
        // One file for all empty ones would soon have more links than file systems allow.
        if self.blobs == BlobUse::Link && file.properties.is_none() && file.digest.size_bytes > 0 {
            return Ok(self.store.link(&file.digest, blob_mode, place)?);
        }
        let properties = file.properties.as_deref().copied().unwrap_or_default();
        let mode = properties.unix_mode.unwrap_or(if file.executable { 0o555 } else { 0o444 });
        self.copy(file, mode, properties.mtime, place)
    }

    fn copy(
        &self,
        file: &InputFile,
        mode: u32,
        mtime: Option<SystemTime>,
        place: &Path,
    ) -> Result<(), ExecuteError> {
        let source = match file.digest.size_bytes {
            0 => None,
            _ => Some(self.store.file(&file.digest)?),
        };
        let write = || -> io::Result<()> {
            let mut options = fs_err::OpenOptions::new();
            options.options_mut().mode(mode);
            let mut copy = options.write(true).create_new(true).open(place)?.into_parts().0;
            if let Some(source) = source {
                // Between two plain files the kernel copies, and shares blocks where the file system can.
                io::copy(&mut source.into_parts().0, &mut copy)?;
            }
            if self.umask_interferes || mode & 0o022 != 0 {
                copy.set_permissions(PermissionsExt::from_mode(mode))?;
            }
            mtime.map_or(Ok(()), |mtime| copy.set_modified(mtime))
        };
        write().map_err(ExecuteError::io("copy an input file"))
    }
}

fn set_mtime(place: &Path, mtime: SystemTime) -> io::Result<()> {
    let (seconds, nanoseconds) = match mtime.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos()),
        Err(before) => match before.duration() {
            until if until.subsec_nanos() == 0 => (-i64::try_from(until.as_secs()).unwrap_or(i64::MAX), 0),
            until => (
                -i64::try_from(until.as_secs()).unwrap_or(i64::MAX).saturating_add(1),
                1_000_000_000 - until.subsec_nanos(),
            ),
        },
    };
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    };
    Ok(rustix::fs::utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

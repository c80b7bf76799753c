//! Files that are there whole or not at all: written beside their place, and then renamed to it. Knows nothing of what
//! is in them.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// Files on their way; what has this name is ours.
const PREFIX: &str = ".crosswheel-";

/// Who may use a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAccess {
    /// This user alone.
    Private,
    /// Whom the umask lets read and write.
    Umask,
    /// These permissions, whatever the umask.
    Mode(u32),
}

/// Writes `bytes` to `path`, whose directory exists. Readers see the old file, or none, until all is there; a link at
/// `path` is replaced.
///
/// # Errors
/// If there is no room, or no permission; names the file.
pub fn write(path: &Path, bytes: &[u8], access: FileAccess) -> io::Result<()> {
    let mut file = WholeFile::create(path, access)?;
    file.write_all(bytes)?;
    file.publish(path)
}

/// As [`write`], of what is left in `from`.
///
/// # Errors
/// As [`write`], and if `from` cannot be read.
pub fn write_from(path: &Path, from: &mut impl Read, access: FileAccess) -> io::Result<()> {
    let mut file = WholeFile::create(path, access)?;
    io::copy(from, file.as_file_mut())?;
    file.publish(path)
}

/// A file on its way to its place; gone when dropped before it is there.
#[derive(Debug)]
pub struct WholeFile {
    file: NamedTempFile,
    access: FileAccess,
}

impl WholeFile {
    /// Makes one beside `path`.
    ///
    /// # Errors
    /// If there is no such directory, no room, or no permission.
    pub fn create(path: &Path, access: FileAccess) -> io::Result<Self> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Self::create_in(directory.unwrap_or(Path::new(".")), access)
    }

    /// Makes one in `directory`, which is on the file system of its place.
    ///
    /// # Errors
    /// As [`WholeFile::create`].
    pub fn create_in(directory: &Path, access: FileAccess) -> io::Result<Self> {
        let mode = if access == FileAccess::Umask { 0o666 } else { 0o600 };
        let permissions = Permissions::from_mode(mode);
        let file = tempfile::Builder::new().prefix(PREFIX).permissions(permissions).tempfile_in(directory)?;
        Ok(Self { file, access })
    }

    /// The open file, for what is to be done to it but writing.
    pub fn as_file(&self) -> &std::fs::File {
        self.file.as_file()
    }

    /// The open file, to be read again.
    pub fn as_file_mut(&mut self) -> &mut std::fs::File {
        self.file.as_file_mut()
    }

    /// Where it is until then.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts it at `path`.
    ///
    /// # Errors
    /// If it cannot be renamed; names the place.
    pub fn publish(self, path: &Path) -> io::Result<()> {
        if let FileAccess::Mode(mode) = self.access {
            self.as_file().set_permissions(Permissions::from_mode(mode))?;
        }
        // The path, not the file: a program that is open for writing cannot be started.
        self.file.into_temp_path().persist(path).map_err(|error| {
            io::Error::new(error.error.kind(), format!("cannot write {}: {}", path.display(), error.error))
        })
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs_err::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_there_with_its_permissions_and_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"one", FileAccess::Private).unwrap();
        assert_eq!(mode(&path), 0o600);
        write(&path, b"two", FileAccess::Mode(0o444)).unwrap();
        assert_eq!((mode(&path), fs_err::read(&path).unwrap()), (0o444, b"two".to_vec()));
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let (path, precious) = (directory.path().join("file"), directory.path().join("precious"));
        fs_err::write(&precious, "x").unwrap();
        fs_err::os::unix::fs::symlink(&precious, &path).unwrap();
        write(&path, b"new", FileAccess::Umask).unwrap();
        assert_eq!(fs_err::read(&precious).unwrap(), b"x");
        assert!(!path.is_symlink());
    }

    #[test]
    fn what_is_not_finished_leaves_the_old_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"old", FileAccess::Private).unwrap();
        let mut half = WholeFile::create(&path, FileAccess::Private).unwrap();
        half.write_all(b"ne").unwrap();
        drop(half);
        assert_eq!(fs_err::read(&path).unwrap(), b"old");
        assert_eq!(fs_err::read_dir(directory.path()).unwrap().count(), 1);
        let nowhere = directory.path().join("none/file");
        assert!(write(&nowhere, b"x", FileAccess::Private).unwrap_err().to_string().contains("none"));
    }
}

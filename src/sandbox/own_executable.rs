//! How a crosswheel is started once more. Knows nothing of what for.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A `crosswheel`, and what it takes to start it: itself, or the loader that its process was started through,
/// where that of the file system around it would not do (in the root file system of another architecture, say).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnExecutable {
    file: PathBuf,
    program: PathBuf,
    leading: Vec<OsString>,
}

/// What follows the loader's name where it is told where libraries are.
pub const LIBRARY_PATH_OPTION: &str = "--library-path";

impl OwnExecutable {
    /// The one that this process runs.
    ///
    /// # Errors
    /// If there is no `/proc` that knows.
    pub fn running() -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let command_line = fs_err::read("/proc/self/cmdline")?;
        Ok(match started_through_a_loader(&command_line) {
            Some(leading) => {
                let file = leading.last().map_or_else(|| program.clone(), PathBuf::from);
                Self { file, program, leading }
            }
            None => program.into(),
        })
    }

    /// The file that is crosswheel.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What starts it: only its own arguments are missing.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.leading);
        command
    }
}

/// The kernel remembers `LOADER --library-path DIRECTORIES PROGRAM ARGUMENT...`, of which the program itself sees
/// the last two only. Returns what stands between the loader and the program's arguments.
fn started_through_a_loader(command_line: &[u8]) -> Option<Vec<OsString>> {
    let mut words = command_line.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.into()));
    let leading: Vec<_> = words.by_ref().skip(1).take(3).collect();
    (leading.len() == 3 && leading[0] == LIBRARY_PATH_OPTION).then_some(leading)
}

impl From<PathBuf> for OwnExecutable {
    /// One that starts by itself.
    fn from(file: PathBuf) -> Self {
        Self { program: file.clone(), file, leading: Vec::new() }
    }
}

impl From<&str> for OwnExecutable {
    /// One that starts by itself.
    fn from(file: &str) -> Self {
        PathBuf::from(file).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_is_recognised_by_its_arguments() {
        let through = b"/x/ld.so\0--library-path\0/x\0/bin/crosswheel\0wheel\0a.tar.gz\0";
        let leading = started_through_a_loader(through).unwrap();
        assert_eq!(leading, ["--library-path", "/x", "/bin/crosswheel"]);
        for plain in [&b"crosswheel\0wheel\0--library-path\0a\0b\0"[..], b"crosswheel\0--library-path\0", b""]
        {
            assert_eq!(started_through_a_loader(plain), None);
        }
    }

    #[test]
    fn this_process_starts_as_its_own_file() {
        let own = OwnExecutable::running().unwrap();
        assert_eq!(own.file(), std::env::current_exe().unwrap());
        assert_eq!(own.command().get_args().count(), 0);
    }
}

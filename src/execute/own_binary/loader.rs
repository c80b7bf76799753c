//! What a dynamically linked crosswheel needs to start in a root file system that has not got it, such as that of
//! another architecture: its loader and its libraries. Knows nothing of actions.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::inside::{INSIDE, LIBRARIES_INSIDE};
use super::loaded_files::LoadedFiles;
use crate::sandbox::{Bind, LIBRARY_PATH_OPTION};

/// The loader of a crosswheel, and the libraries that it loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLoader(LoadedFiles);

impl OwnLoader {
    /// That of `executable`; none if it is statically linked.
    ///
    /// # Errors
    /// If it cannot be read, or if its loader does not say what it would load.
    pub fn of(executable: &Path) -> io::Result<Option<Self>> {
        Ok(LoadedFiles::of(executable)?.map(Self))
    }

    /// Where the action sees them.
    pub(crate) fn binds(&self) -> impl Iterator<Item = Bind> {
        let files = std::iter::once(&self.0.loader).chain(&self.0.libraries);
        files.map(|host| Bind { host: host.clone(), inside: inside(host), writable: false })
    }

    /// What starts the executable, itself included: only its arguments are missing.
    pub(crate) fn command(&self) -> [OsString; 4] {
        [inside(&self.0.loader).into(), LIBRARY_PATH_OPTION.into(), LIBRARIES_INSIDE.into(), INSIDE.into()]
    }
}

fn inside(file: &Path) -> PathBuf {
    let name = file.file_name().expect("loaders and libraries are files");
    Path::new(LIBRARIES_INSIDE).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_starts_by_its_loader_which_finds_its_libraries() {
        let own = OwnLoader::of(&std::env::current_exe().unwrap()).unwrap().expect("tests have a loader");
        let binds: Vec<_> = own.binds().collect();
        assert_eq!(own.command()[0], binds[0].inside);
        assert!(binds.iter().all(|bind| bind.host.exists() && !bind.writable), "{binds:?}");
        assert!(binds.iter().all(|bind| bind.inside.parent() == Some(Path::new(LIBRARIES_INSIDE))));
    }
}

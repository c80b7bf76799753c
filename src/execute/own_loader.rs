//! What a dynamically linked crosswheel needs to start in a root file system that has not got it, such as that of
//! another architecture: its loader and its libraries. Knows nothing of actions.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::own_binary::{INSIDE, LIBRARIES_INSIDE};
use crate::emulation::program_interpreter;
use crate::sandbox::{Bind, LIBRARY_PATH_OPTION};

/// The loader of a program, and the libraries that it loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLoader {
    loader: PathBuf,
    libraries: Vec<PathBuf>,
}

impl OwnLoader {
    /// That of `executable`; none if it is statically linked.
    ///
    /// # Errors
    /// If it cannot be read, or if its loader does not say what it would load.
    pub fn of(executable: &Path) -> io::Result<Option<Self>> {
        let Some(loader) = program_interpreter(executable)? else { return Ok(None) };
        // As `ldd` does it; musl's loader has the option, too.
        let output = Command::new(&loader)
            .arg("--list")
            .arg(executable)
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .map_err(|error| io::Error::new(error.kind(), format!("start {}: {error}", loader.display())))?;
        let (listing, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            let (loader, executable) = (loader.display(), executable.display());
            return Err(io::Error::other(format!("{loader} --list {executable}: {}", errors.trim())));
        }
        let mut libraries = libraries(&listing);
        libraries.retain(|library| library.file_name() != loader.file_name());
        Ok(Some(Self { loader, libraries }))
    }

    /// Where the action sees them.
    pub(super) fn binds(&self) -> impl Iterator<Item = Bind> {
        let files = std::iter::once(&self.loader).chain(&self.libraries);
        files.map(|host| Bind { host: host.clone(), inside: inside(host), writable: false })
    }

    /// What starts the executable, itself included: only its arguments are missing.
    pub(super) fn command(&self) -> [OsString; 4] {
        [inside(&self.loader).into(), LIBRARY_PATH_OPTION.into(), LIBRARIES_INSIDE.into(), INSIDE.into()]
    }
}

fn inside(file: &Path) -> PathBuf {
    let name = file.file_name().expect("loaders and libraries are files");
    Path::new(LIBRARIES_INSIDE).join(name)
}

/// The files in the loader's listing: `NAME => FILE (ADDRESS)`, or `FILE (ADDRESS)` for the loader itself. What the
/// kernel brings (`linux-vdso.so.1`) has no path.
fn libraries(listing: &str) -> Vec<PathBuf> {
    let file = |line: &str| {
        let line = line.split_once(" => ").map_or(line, |(_, file)| file).trim();
        let file = line.rsplit_once(" (").map_or(line, |(file, _)| file);
        let file = Path::new(file);
        (file.is_absolute() && file.file_name().is_some()).then(|| file.to_owned())
    };
    listing.lines().filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_listing_of_glibc_or_musl_names_files() {
        let glibc = "\tlinux-vdso.so.1 (0x00007f63)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f63)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f63)\n";
        assert_eq!(
            libraries(glibc),
            [Path::new("/lib/x86_64-linux-gnu/libc.so.6"), Path::new("/lib64/ld-linux-x86-64.so.2")]
        );
        let musl =
            "\t/lib/ld-musl-x86_64.so.1 (0x7f)\n\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f)\n";
        assert_eq!(libraries(musl), [Path::new("/lib/ld-musl-x86_64.so.1"); 2]);
        assert_eq!(libraries("\tlibz.so.1 => not found\n"), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_program_has_its_c_library_and_starts_by_its_loader() {
        let this = std::env::current_exe().unwrap();
        let own = OwnLoader::of(&this).unwrap().expect("tests are dynamically linked");
        let insides: Vec<_> = own.binds().map(|bind| bind.inside).collect();
        assert!(insides.iter().any(|inside| inside.to_string_lossy().contains("libc")), "{insides:?}");
        assert_eq!(own.command()[0], insides[0]);
        assert!(OwnLoader::of(Path::new("/etc/passwd")).is_err());
    }

    proptest! {
        #[test]
        fn no_listing_makes_the_parser_panic(listing: String) {
            libraries(&listing).iter().for_each(|file| drop(inside(file)));
        }
    }
}

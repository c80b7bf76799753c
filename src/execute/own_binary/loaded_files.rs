//! What a dynamically linked program needs of this host to start somewhere else. Knows nothing of where.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::emulation::program_interpreter;

/// The loader of a program, and the libraries that it loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadedFiles {
    /// As the program names it (`PT_INTERP`).
    pub loader: PathBuf,
    /// As the loader finds them; the loader itself is not among them.
    pub libraries: Vec<PathBuf>,
}

impl LoadedFiles {
    /// Those of `executable`; none if it is statically linked.
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
        if !output.status.success() {
            let (loader, executable) = (loader.display(), executable.display());
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(io::Error::other(format!("{loader} --list {executable}: {}", errors.trim())));
        }
        let mut libraries = libraries(&String::from_utf8_lossy(&output.stdout));
        libraries.retain(|library| library.file_name() != loader.file_name());
        Ok(Some(Self { loader, libraries }))
    }
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
    fn this_program_loads_a_c_library_and_what_is_none_has_no_loader() {
        let files = LoadedFiles::of(&std::env::current_exe().unwrap()).unwrap().expect("tests have a loader");
        assert!(files.loader.is_file(), "{files:?}");
        assert!(files.libraries.iter().any(|file| file.to_string_lossy().contains("libc")), "{files:?}");
        assert!(LoadedFiles::of(Path::new("/etc/passwd")).is_err());
    }

    proptest! {
        #[test]
        fn no_listing_makes_the_parser_panic(listing: String) {
            for file in libraries(&listing) {
                prop_assert!(file.is_absolute() && file.file_name().is_some());
            }
        }
    }
}

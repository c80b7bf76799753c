//! A compiler of this host that makes programs for the architecture of another root file system, for builds in
//! that root: it runs natively, where the root's own compiler would be emulated. Knows nothing of how a build is
//! told to use it.
//!
//! Only the compiler is the host's. What it compiles and links with are the headers and libraries of the root, as
//! the host's C library for that architecture may be newer than the root's, and a wheel made with it would not be
//! the root's. gcc finds its parts by its own place, so that all of the host's `/usr` can be seen elsewhere
//! ([`NATIVE_USR`]); over the libraries and headers that it would find there, those of the root are mounted. No
//! option is needed for that, and `--sysroot` would not do it: Debian's cross compilers look into their own
//! directories first, and the absolute paths in the linker scripts there (`libc.so`) lead nowhere in the root.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::loaded_files::LoadedFiles;
use crate::platform::Arch;
use crate::sandbox::Bind;

/// Where actions with a cross compiler see the host's `/usr`.
pub const NATIVE_USR: &str = "/.crosswheel/native/usr";

/// The environment variable that names the compiler to `crosswheel wheel`; set by the executor for actions that run
/// crosswheel, unless they set it themselves.
pub const CROSS_CC_VARIABLE: &str = "CROSSWHEEL_CROSS_CC";

/// A compiler, and what has to be seen in the root file system for it to work there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossCompiler {
    inside: PathBuf,
    binds: Vec<Bind>,
}

/// Why a compiler cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CrossCompilerError {
    #[error("there is no cross compiler `{program}` on this host; apt-get install {package}")]
    NotFound { program: String, package: String },

    #[error("the cross compiler {} is not below /usr, and actions see nothing else of this host", .program.display())]
    NotBelowUsr { program: PathBuf },

    #[error("the cross compiler {} makes programs for `{machine}`, and the root file system is for {arch}", .program.display())]
    OtherMachine { program: PathBuf, machine: String, arch: &'static str },

    #[error("cannot find out what the cross compiler {} needs: {source}", .program.display())]
    Parts { program: PathBuf, source: io::Error },

    #[error(
        "the root file system has no place for {}, which the cross compiler needs: mkdir -p {}",
        .place.display(),
        .missing.display()
    )]
    NoPlace { place: PathBuf, missing: PathBuf },

    #[error(
        "the root file system has files of its own in {}, where the cross compiler needs those of this host",
        .occupied.display()
    )]
    Occupied { occupied: PathBuf },

    #[error("the root file system has nothing to link with: {} is missing; install its libc6-dev", .missing.display())]
    NoLibrary { missing: PathBuf },
}

impl CrossCompiler {
    /// Looks up `program`, a path or a command of this host, for the root file system `root`, which is for `arch`;
    /// Debian's name for it if `None`.
    ///
    /// # Errors
    /// What is missing, on the host or in the root.
    pub fn find(program: Option<&str>, arch: Arch, root: &Path) -> Result<Self, CrossCompilerError> {
        let triple = format!("{}-linux-gnu", arch.machine());
        let wanted = program.map_or_else(|| format!("{triple}-gcc"), str::to_owned);
        let program = locate(&wanted, &triple)?;
        let within = |source| CrossCompilerError::Parts { program: program.clone(), source };
        let machine = ask(&program, &["-dumpmachine"]).map_err(within)?;
        if !machine.as_bytes().starts_with(format!("{}-", arch.machine()).as_bytes()) {
            let machine = machine.to_string_lossy().into_owned();
            return Err(CrossCompilerError::OtherMachine { program, machine, arch: arch.property() });
        }
        let read_only = |host: PathBuf, inside: PathBuf| Bind { host, inside, writable: false };
        let mut binds = vec![read_only("/usr".into(), NATIVE_USR.into())];
        if let Some(own) = own_libraries(&program).map_err(within)? {
            binds.extend(of_the_root(&own, root, &triple)?);
        }
        for place in needed(&program).map_err(within)? {
            check_place(&place, root)?;
            binds.push(read_only(place.host, place.inside));
        }
        let below_usr = program.strip_prefix("/usr").expect("it was located there");
        Ok(Self { inside: Path::new(NATIVE_USR).join(below_usr), binds })
    }

    /// The compiler as actions see it.
    pub fn inside(&self) -> &Path {
        &self.inside
    }

    /// What actions have to see.
    pub fn binds(&self) -> &[Bind] {
        &self.binds
    }
}

/// The real path of a program below `/usr`, but for the name of the program itself: compilers are told by theirs.
fn locate(wanted: &str, triple: &str) -> Result<PathBuf, CrossCompilerError> {
    let not_found =
        || CrossCompilerError::NotFound { program: wanted.into(), package: format!("gcc-{triple}") };
    let found =
        which::which_in(wanted, Some("/usr/local/bin:/usr/bin:/bin"), "/").map_err(|_| not_found())?;
    let directory = found.parent().and_then(|directory| fs_err::canonicalize(directory).ok());
    let (directory, name) = directory.zip(found.file_name()).ok_or_else(not_found)?;
    let program = directory.join(name);
    if program.starts_with("/usr") { Ok(program) } else { Err(CrossCompilerError::NotBelowUsr { program }) }
}

/// What a compiler answers.
fn ask(program: &Path, arguments: &[&str]) -> io::Result<OsString> {
    let output = Command::new(program).args(arguments).env_clear().stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{} fails: {}", arguments.join(" "), errors.trim())));
    }
    Ok(OsStr::from_bytes(output.stdout.trim_ascii()).to_owned())
}

/// The directory of this host that has its C library for the other architecture, if it has one.
fn own_libraries(program: &Path) -> io::Result<Option<PathBuf>> {
    let library = PathBuf::from(ask(program, &["-print-file-name=libc.so"])?);
    // One that it does not find it names as it was asked.
    let directory = library.parent().filter(|_| library.is_absolute());
    directory.map(fs_err::canonicalize).transpose()
}

/// Puts the root's libraries and headers in the place of the host's, which are in `libraries` and beside it. Those of
/// C++ are the compiler's own.
fn of_the_root(libraries: &Path, root: &Path, triple: &str) -> Result<Vec<Bind>, CrossCompilerError> {
    let Ok(below_usr) = libraries.strip_prefix("/usr") else { return Ok(Vec::new()) };
    let inside = Path::new(NATIVE_USR).join(below_usr);
    let headers = libraries.with_file_name("include");
    let place = |host: PathBuf, inside: PathBuf| Bind { host, inside, writable: false };
    let (of_root, include) = (root.join("usr/lib").join(triple), root.join("usr/include"));
    for missing in [of_root.join("libc.so"), include.join("stdio.h")] {
        if !missing.exists() {
            return Err(CrossCompilerError::NoLibrary { missing });
        }
    }
    let mut binds = vec![place(of_root, inside.clone())];
    if headers.is_dir() {
        let headers_inside = inside.with_file_name("include");
        let cxx = headers.join("c++");
        let cxx_has_place = cxx.is_dir() && include.join("c++").is_dir();
        binds.push(place(include, headers_inside.clone()));
        if cxx_has_place {
            binds.push(place(cxx, headers_inside.join("c++")));
        }
    }
    Ok(binds)
}

/// A file or directory of the host that a compiler expects at a place of its own.
struct Place {
    host: PathBuf,
    inside: PathBuf,
    directory: bool,
}

/// The loader of the compiler and its parts, and the directories of their libraries.
fn needed(program: &Path) -> io::Result<Vec<Place>> {
    let mut executables = vec![program.to_owned()];
    for part in ["cc1", "cc1plus", "collect2", "as", "ld"] {
        let part = PathBuf::from(ask(program, &[&format!("-print-prog-name={part}")])?);
        // There may be no C++.
        if part.is_absolute() {
            executables.push(part);
        }
    }
    let mut places: Vec<Place> = Vec::new();
    let mut add = |place: Place| {
        if !places.iter().any(|other| other.inside == place.inside) {
            places.push(place);
        }
    };
    for executable in executables {
        let Some(files) = LoadedFiles::of(&executable)? else { continue };
        for library in &files.libraries {
            let real = fs_err::canonicalize(library)?;
            let directory = real.parent().unwrap_or(Path::new("/")).to_owned();
            add(Place { host: directory.clone(), inside: directory, directory: true });
        }
        add(Place { host: fs_err::canonicalize(&files.loader)?, inside: files.loader, directory: false });
    }
    Ok(places)
}

/// Something can be mounted at the top of a root even if there is nothing; further below there must be a place, and
/// nothing of the root's own in it.
fn check_place(place: &Place, root: &Path) -> Result<(), CrossCompilerError> {
    let relative = place.inside.strip_prefix("/").unwrap_or(&place.inside);
    let in_root = root.join(relative);
    let top = root.join(relative.components().next().map_or(OsStr::new(""), |top| top.as_os_str()));
    if fs_err::symlink_metadata(&top).is_err() {
        return Ok(());
    }
    match fs_err::metadata(&in_root) {
        Err(_) => {
            let missing = if place.directory { in_root } else { in_root.parent().unwrap_or(root).to_owned() };
            Err(CrossCompilerError::NoPlace { place: place.inside.clone(), missing })
        }
        Ok(_) if place.directory => {
            match fs_err::read_dir(&in_root).map(|mut entries| entries.next().is_none()) {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(CrossCompilerError::Occupied { occupied: in_root }),
            }
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(inside: &str, directory: bool) -> Place {
        Place { host: "/".into(), inside: inside.into(), directory }
    }

    #[test]
    fn a_place_is_at_the_top_or_there_and_empty() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("usr/lib/empty")).unwrap();
        fs_err::create_dir_all(root.path().join("usr/lib/full/of")).unwrap();
        let check = |inside, directory| check_place(&place(inside, directory), root.path());
        check("/lib64/ld-linux-x86-64.so.2", false).unwrap();
        check("/usr/lib/empty", true).unwrap();
        let missing = check("/usr/lib/x86_64-linux-gnu", true).unwrap_err().to_string();
        let hint = format!("mkdir -p {}/usr/lib/x86_64-linux-gnu", root.path().display());
        assert!(missing.ends_with(&hint), "{missing}");
        let full = check("/usr/lib/full", true).unwrap_err();
        assert!(matches!(full, CrossCompilerError::Occupied { .. }), "{full}");
        let no_file = check("/usr/lib/loader.so", false).unwrap_err();
        assert!(matches!(no_file, CrossCompilerError::NoPlace { .. }), "{no_file}");
    }

    #[test]
    fn libraries_and_headers_are_those_of_the_root() {
        let root = tempfile::tempdir().unwrap();
        let libraries = Path::new("/usr/aarch64-linux-gnu/lib");
        let of_the_root = || of_the_root(libraries, root.path(), "aarch64-linux-gnu");
        assert!(matches!(of_the_root(), Err(CrossCompilerError::NoLibrary { .. })));
        for file in ["usr/lib/aarch64-linux-gnu/libc.so", "usr/include/stdio.h"] {
            let file = root.path().join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let binds = of_the_root().unwrap();
        assert_eq!(binds[0].host, root.path().join("usr/lib/aarch64-linux-gnu"));
        assert_eq!(binds[0].inside, Path::new("/.crosswheel/native/usr/aarch64-linux-gnu/lib"));
        assert!(binds.iter().all(|bind| !bind.writable));
        // A compiler with nothing of its own there looks into the root anyway.
        assert_eq!(super::of_the_root(Path::new("/opt/lib"), root.path(), "x").unwrap(), []);
    }

    #[test]
    fn a_compiler_is_looked_up_on_this_host() {
        let missing = CrossCompiler::find(Some("no-such-gcc"), Arch::Arm64, Path::new("/")).unwrap_err();
        assert!(missing.to_string().contains("apt-get install gcc-aarch64-linux-gnu"), "{missing}");
        let elsewhere = locate("/proc/self/exe", "x").unwrap_err();
        assert!(matches!(elsewhere, CrossCompilerError::NotBelowUsr { .. }), "{elsewhere}");
        let other = match Arch::host() {
            Arch::Amd64 => Arch::Arm64,
            Arch::Arm64 => Arch::Amd64,
        };
        let native = CrossCompiler::find(Some("cc"), other, Path::new("/")).unwrap_err();
        assert!(matches!(native, CrossCompilerError::OtherMachine { .. }), "{native}");
    }
}

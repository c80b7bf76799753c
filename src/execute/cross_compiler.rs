//! A compiler of this host that makes programs for the architecture of another root file system, for builds in
//! that root: it runs natively, where the root's own compiler would be emulated. Knows nothing of what is built.
//!
//! Only the compiler is the host's. What it compiles and links with are the headers and libraries of the root, as
//! the host's C library for that architecture may be newer than the root's, and a wheel made with it would not be
//! the root's. gcc finds its parts by its own place, so that all of the host's `/usr` can be seen elsewhere
//! ([`NATIVE_USR`]); over the libraries and headers that it would find there, those of the root are mounted. No
//! option is needed for that, and `--sysroot` would not do it: Debian's cross compilers look into their own
//! directories first, and the absolute paths in the linker scripts there (`libc.so`) lead nowhere in the root.
//!
//! The headers of C++ belong to the compiler, and what it makes of them needs a libstdc++ that is as new. Where the
//! root has one of another version the host's C++ compiler is hidden, so that builds are left with the root's.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::own_binary::loaded_files::LoadedFiles;
use crate::platform::Arch;
use crate::rootfs::resolve_in_root;
use crate::sandbox::Bind;

/// Where actions with a cross compiler see the host's `/usr`.
pub const NATIVE_USR: &str = "/.crosswheel/native/usr";

/// A compiler, and what has to be seen in the root file system for it to work there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossCompiler {
    inside: PathBuf,
    cxx: Option<PathBuf>,
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
        "the root file system has no place for {}, which the cross compiler needs: {mend}",
        .place.display()
    )]
    NoPlace { place: PathBuf, mend: String },

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
        let cxx = CxxCompiler::beside(&program).map_err(within)?;
        let fits = cxx.as_ref().is_some_and(|cxx| cxx.fits(root));
        if let Some(own) = own_libraries(&program).map_err(within)? {
            binds.extend(of_the_root(&own, root, &triple, fits)?);
        }
        for place in needed(&program).map_err(within)? {
            check_place(&place, root)?;
            binds.push(read_only(place.host, place.inside));
        }
        if let Some(cxx) = cxx.as_ref().filter(|_| !fits) {
            binds.extend(cxx.hidden());
        }
        let cxx = cxx.filter(|_| fits).and_then(|cxx| inside(&cxx.program));
        Ok(Self { inside: inside(&program).expect("it was located below /usr"), cxx, binds })
    }

    /// The compiler as actions see it.
    pub fn inside(&self) -> &Path {
        &self.inside
    }

    /// Its C++ compiler as actions see it, if that makes what runs in the root.
    pub fn cxx(&self) -> Option<&Path> {
        self.cxx.as_deref()
    }

    /// What actions have to see.
    pub fn binds(&self) -> &[Bind] {
        &self.binds
    }
}

/// Where actions see what is below the host's `/usr`.
fn inside(path: &Path) -> Option<PathBuf> {
    Some(Path::new(NATIVE_USR).join(path.strip_prefix("/usr").ok()?))
}

/// What gcc has for C++.
struct CxxCompiler {
    /// Whose name differs from gcc's by that.
    program: PathBuf,
    /// `cc1plus`, which gcc uses as well.
    itself: Option<PathBuf>,
    /// GCC's major version, by which the directories of its headers are called.
    major: String,
}

impl CxxCompiler {
    /// What belongs to the compiler `program`. `gcc` alone may be able to compile C++, too, and some build systems
    /// have it do so.
    fn beside(program: &Path) -> io::Result<Option<Self>> {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let Some((before, after)) = name.rsplit_once("gcc") else { return Ok(None) };
        let version = ask(program, &["-dumpversion"])?.to_string_lossy().into_owned();
        let itself = PathBuf::from(ask(program, &["-print-prog-name=cc1plus"])?);
        Ok(Some(Self {
            program: program.with_file_name(format!("{before}g++{after}")),
            // One that it does not find it names as it was asked.
            itself: Some(itself).filter(|itself| itself.is_absolute()),
            major: version.split('.').next().unwrap_or_default().to_owned(),
        }))
    }

    fn fits(&self, root: &Path) -> bool {
        let headers = Path::new("usr/include/c++").join(&self.major);
        self.itself.is_some() && self.program.is_file() && resolve_in_root(root, &headers).is_ok()
    }

    /// Puts something that cannot be executed in the place of each program.
    fn hidden(&self) -> Vec<Bind> {
        let programs = self.itself.iter().chain([&self.program]);
        let programs: Vec<_> = programs.filter_map(|program| fs_err::canonicalize(program).ok()).collect();
        if !programs.is_empty() {
            tracing::warn!(
                program = %self.program.display(),
                "C++ is left to the compiler of the root file system, which has no headers of GCC {}",
                self.major
            );
        }
        let hide = |inside| Bind { host: "/dev/null".into(), inside, writable: false };
        programs.iter().filter_map(|program| inside(program)).map(hide).collect()
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
/// C++ are the compiler's own, if it is to be used for `cxx`.
fn of_the_root(
    libraries: &Path,
    root: &Path,
    triple: &str,
    cxx: bool,
) -> Result<Vec<Bind>, CrossCompilerError> {
    let Some(libraries_inside) = inside(libraries) else { return Ok(Vec::new()) };
    let place = |host: PathBuf, inside: PathBuf| Bind { host, inside, writable: false };
    let in_root = |path: &Path| {
        let missing = |_| CrossCompilerError::NoLibrary { missing: root.join(path) };
        resolve_in_root(root, path).map_err(missing)
    };
    let (of_root, include) = (Path::new("usr/lib").join(triple), Path::new("usr/include"));
    in_root(&of_root.join("libc.so"))?;
    in_root(&include.join("stdio.h"))?;
    let headers = libraries.with_file_name("include");
    let headers_inside = libraries_inside.with_file_name("include");
    let mut binds = vec![place(in_root(&of_root)?, libraries_inside)];
    if headers.is_dir() {
        binds.push(place(in_root(include)?, headers_inside.clone()));
        let own = headers.join("c++");
        if cxx && own.is_dir() {
            binds.push(place(own, headers_inside.join("c++")));
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
    let top = root.join(relative.components().next().map_or(OsStr::new(""), |top| top.as_os_str()));
    if fs_err::symlink_metadata(&top).is_err() {
        return Ok(());
    }
    match resolve_in_root(root, relative) {
        Err(_) => Err(CrossCompilerError::NoPlace { place: place.inside.clone(), mend: mend(place, root) }),
        Ok(in_root) if place.directory => {
            match fs_err::read_dir(&in_root).map(|mut entries| entries.next().is_none()) {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(CrossCompilerError::Occupied { occupied: in_root }),
            }
        }
        Ok(_) => Ok(()),
    }
}

/// The command that makes the place. It may not follow the root's links, which lead elsewhere on this host.
fn mend(place: &Place, root: &Path) -> String {
    let relative = place.inside.strip_prefix("/").unwrap_or(&place.inside);
    let there = |part: &Path| Some(resolve_in_root(root, part).ok()?.join(relative.strip_prefix(part).ok()?));
    let missing = relative.ancestors().find_map(there).unwrap_or_else(|| root.join(relative));
    let parent = missing.parent().unwrap_or(root);
    match (place.directory, parent.is_dir()) {
        (true, _) => format!("mkdir -p {}", missing.display()),
        (false, true) => format!("touch {}", missing.display()),
        (false, false) => format!("mkdir -p {} && touch {}", parent.display(), missing.display()),
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
        for (file, hint) in [
            ("/usr/lib/loader.so", "touch ROOT/usr/lib/loader.so"),
            ("/usr/lib32/loader.so", "mkdir -p ROOT/usr/lib32 && touch ROOT/usr/lib32/loader.so"),
        ] {
            let no_file = check(file, false).unwrap_err().to_string();
            let hint = hint.replace("ROOT", &root.path().display().to_string());
            assert!(no_file.ends_with(&format!(": {hint}")), "{no_file}");
        }
    }

    /// What they would lead to on this host is there, and not empty.
    #[test]
    fn links_of_the_root_stay_in_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        fs_err::create_dir_all(at("usr")).unwrap();
        for link in ["usr/lib", "usr/include"] {
            fs_err::os::unix::fs::symlink("/etc", at(link)).unwrap();
        }
        let check = || check_place(&place("/usr/lib/ssl", true), root.path());
        let missing = check().unwrap_err().to_string();
        assert!(missing.ends_with(&format!(": mkdir -p {}", at("usr/lib/ssl").display())), "{missing}");
        let libraries = Path::new("/usr/aarch64-linux-gnu/lib");
        let of_the_root = || of_the_root(libraries, root.path(), "", false);
        assert!(matches!(of_the_root(), Err(CrossCompilerError::NoLibrary { .. })));

        fs_err::create_dir_all(at("etc/ssl")).unwrap();
        check().unwrap();
        for file in ["etc/libc.so", "etc/stdio.h"] {
            fs_err::write(at(file), "").unwrap();
        }
        let etc = fs_err::canonicalize(at("etc")).unwrap();
        assert!(of_the_root().unwrap().iter().all(|bind| bind.host == etc));
    }

    #[test]
    fn cxx_is_hidden_unless_the_root_has_the_same_version() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("x-gcc-12");
        let script = "#!/bin/sh\ncase $1 in -dumpversion) echo 12.2.0;; *) echo /usr/bin/env;; esac";
        fs_err::write(&program, script).unwrap();
        fs_err::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs_err::write(directory.path().join("x-g++-12"), "").unwrap();
        let mut cxx = CxxCompiler::beside(&program).unwrap().unwrap();
        assert_eq!(cxx.program, directory.path().join("x-g++-12"));
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("usr/include/c++/14")).unwrap();
        assert!(!cxx.fits(root.path()));
        fs_err::create_dir_all(root.path().join("usr/include/c++/12")).unwrap();
        assert!(cxx.fits(root.path()));

        cxx.program = "/usr/bin/true".into();
        let hidden: Vec<_> = cxx.hidden().into_iter().map(|bind| (bind.host, bind.inside)).collect();
        let place = |name: &str| ("/dev/null".into(), Path::new(NATIVE_USR).join(name));
        assert_eq!(hidden, [place("bin/env"), place("bin/true")]);
    }

    #[test]
    fn libraries_and_headers_are_those_of_the_root() {
        let root = tempfile::tempdir().unwrap();
        let libraries = Path::new("/usr/aarch64-linux-gnu/lib");
        let of_the_root = || of_the_root(libraries, root.path(), "aarch64-linux-gnu", true);
        assert!(matches!(of_the_root(), Err(CrossCompilerError::NoLibrary { .. })));
        for file in ["usr/lib/aarch64-linux-gnu/libc.so", "usr/include/stdio.h"] {
            let file = root.path().join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let binds = of_the_root().unwrap();
        let root = fs_err::canonicalize(root.path()).unwrap();
        assert_eq!(binds[0].host, root.join("usr/lib/aarch64-linux-gnu"));
        assert_eq!(binds[0].inside, Path::new("/.crosswheel/native/usr/aarch64-linux-gnu/lib"));
        assert!(binds.iter().all(|bind| !bind.writable));
        // A compiler with nothing of its own there looks into the root anyway.
        assert_eq!(super::of_the_root(Path::new("/opt/lib"), &root, "x", true).unwrap(), []);
    }

    #[test]
    fn a_compiler_is_looked_up_on_this_host() {
        let missing = CrossCompiler::find(Some("no-such-gcc"), Arch::Arm64, Path::new("/")).unwrap_err();
        assert!(missing.to_string().contains("apt-get install gcc-aarch64-linux-gnu"), "{missing}");
        let elsewhere = locate("/proc/self/exe", "x").unwrap_err();
        assert!(matches!(elsewhere, CrossCompilerError::NotBelowUsr { .. }), "{elsewhere}");
        let other = Arch::host().other();
        let native = CrossCompiler::find(Some("cc"), other, Path::new("/")).unwrap_err();
        assert!(matches!(native, CrossCompilerError::OtherMachine { .. }), "{native}");
    }
}

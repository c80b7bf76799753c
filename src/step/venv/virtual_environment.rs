//! Virtual environments (PEP 405), made without running Python, and wheels installed into them by
//! hard links from the store. Knows nothing of pip, of which wheels are needed, or of sandboxes, except
//! that processes may see the environment at another path than the one it is written at.
//!
//! Installed files are read-only and shared with the store. Root can write to them all the same, so
//! foreign code must not run as root with an environment that is mounted writable.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fs_err::File;
use fs_err::OpenOptions;
use fs_err::os::unix::fs::{OpenOptionsExt, symlink};
use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use rustix::fs::{AtFlags, Mode, linkat, mkdirat};
use rustix::io::Errno;

use super::script::{UnusableInterpreterPath, entry_point_script, shebang, with_shebang};
use super::unpacked_wheel::{Scheme, StoredFile, UnpackedWheel};
use crate::digest::Sha256;
use crate::packaging::compatible_tags::CompatibleTags;
use crate::packaging::interpreter::Interpreter;
use crate::packaging::wheel_metadata::{record_field, record_hash};

/// A virtual environment and the wheels installed in it.
#[derive(Debug)]
pub struct Venv {
    directory: PathBuf,
    /// `bin/python` as processes in the environment see it.
    python: PathBuf,
    shebang: String,
    /// `python3.11`, as paths in the environment have it.
    python_name: String,
    python_version: Version,
    tags: CompatibleTags,
    installed: Vec<UnpackedWheel>,
    /// Hard links cannot be made from the store to here, so files are copied.
    copy: bool,
    /// See [`Venv::overlook`].
    overlooks: bool,
}

/// Why an environment cannot be made or filled.
#[derive(Debug, thiserror::Error)]
pub enum VenvError {
    /// A file cannot be read or written; the error names it.
    #[error("cannot set up the virtual environment: {0}")]
    Io(#[from] io::Error),
    /// The path at which processes would see the environment is relative.
    #[error("a virtual environment cannot be at the relative path `{}`", .0.display())]
    RelativePath(PathBuf),
    /// The path of the environment cannot be named in scripts.
    #[error(transparent)]
    Path(#[from] UnusableInterpreterPath),
    /// The path of the interpreter cannot be written into pyvenv.cfg.
    #[error("a virtual environment cannot be made of `{}`: its path is not UTF-8 or has a line break", .0.display())]
    InterpreterPath(PathBuf),
    /// The wheel is for another Python or platform.
    #[error("`{wheel}` cannot be installed: its tags do not fit Python {python} here")]
    Incompatible {
        /// File name of the wheel.
        wheel: String,
        /// Version of the environment's Python.
        python: Version,
    },
    /// `Requires-Python` of the wheel excludes the environment's Python.
    #[error("`{wheel}` cannot be installed: it requires Python {required}, and this is {python}")]
    RequiresPython {
        /// File name of the wheel.
        wheel: String,
        /// Its `Requires-Python`.
        required: VersionSpecifiers,
        /// Version of the environment's Python.
        python: Version,
    },
    /// Another version of the project, or the same, is installed already.
    #[error("`{wheel}` cannot be installed beside `{installed}`: both are {name}")]
    AlreadyInstalled {
        /// File name of the wheel.
        wheel: String,
        /// File name of the installed wheel.
        installed: String,
        /// The project.
        name: PackageName,
    },
    /// Two wheels have the same file with different content.
    #[error("`{wheel}` and {owner} both install `{path}`, with different content")]
    Conflict {
        /// File name of the wheel.
        wheel: String,
        /// The installed wheel, or what else the file belongs to.
        owner: String,
        /// The file, relative to the environment.
        path: String,
    },
}

impl Venv {
    /// Makes an empty environment in `directory`, which may exist if it is empty. Processes will see it
    /// at `visible_at`, an absolute path, and `interpreter` at its own path.
    pub fn create(directory: &Path, visible_at: &Path, interpreter: &Interpreter) -> Result<Self, VenvError> {
        if !visible_at.is_absolute() {
            return Err(VenvError::RelativePath(visible_at.to_owned()));
        }
        let python = python_in(visible_at);
        let (major, _, _) = interpreter.version;
        let venv = Self {
            directory: directory.to_owned(),
            shebang: shebang(&python)?,
            python,
            python_name: python_name(interpreter),
            python_version: interpreter.markers.python_full_version().version.clone(),
            tags: interpreter.compatible_tags(interpreter.target(), interpreter.glibc()),
            installed: Vec::new(),
            copy: false,
            overlooks: false,
        };
        fs_err::create_dir_all(directory.join("bin"))?;
        fs_err::create_dir_all(directory.join(site_packages(interpreter)))?;
        fs_err::create_dir(directory.join("include"))?;
        symlink("lib", directory.join("lib64"))?;
        symlink(&interpreter.executable, directory.join("bin/python"))?;
        symlink("python", directory.join(format!("bin/python{major}")))?;
        symlink("python", directory.join("bin").join(&venv.python_name))?;
        fs_err::write(directory.join("pyvenv.cfg"), configuration(interpreter)?)?;
        Ok(venv)
    }

    /// Makes copies from now on, for processes from which the environment cannot be protected: what they
    /// change must not be in the store.
    pub fn copy_files(&mut self) {
        self.copy = true;
    }

    /// Installs from now on what other installers would: also wheels that are not for this Python, and those with files that
    /// are there already with different content, of which the first stays. Whoever wants that looks for it elsewhere
    /// ([`misfit`], [`places`]).
    pub fn overlook(&mut self) {
        self.overlooks = true;
    }

    /// Installs a wheel. After an error the environment is unfinished and must be thrown away.
    pub fn install(&mut self, wheel: &UnpackedWheel) -> Result<(), VenvError> {
        self.check_installable(wheel)?;
        self.installed.push(wheel.clone());
        let manifest = wheel.manifest();
        let mut record = Vec::new();
        for scheme in Scheme::ALL {
            self.install_scheme(wheel, scheme, &mut record)?;
        }
        for entry_point in &manifest.entry_points {
            let text = entry_point_script(&self.shebang, entry_point);
            self.write_script(wheel, &entry_point.name, text.as_bytes(), &mut record)?;
        }
        self.extend_record(wheel, &record)
    }

    /// The environment's interpreter, at the path processes see.
    pub fn python(&self) -> PathBuf {
        self.python.clone()
    }

    /// Where the environment is written.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The installed wheels, in the order of their installation.
    pub fn installed(&self) -> &[UnpackedWheel] {
        &self.installed
    }

    fn check_installable(&self, wheel: &UnpackedWheel) -> Result<(), VenvError> {
        if !self.overlooks
            && let Some(misfit) = misfits(wheel, &self.tags, &self.python_version).into_iter().next()
        {
            return Err(misfit);
        }
        let file_name = wheel.file_name().to_string();
        match self.installed.iter().find(|installed| installed.name() == wheel.name()) {
            None => Ok(()),
            Some(installed) => Err(VenvError::AlreadyInstalled {
                wheel: file_name,
                installed: installed.file_name().to_string(),
                name: wheel.name().clone(),
            }),
        }
    }

    fn site_packages(&self) -> PathBuf {
        self.directory.join("lib").join(&self.python_name).join("site-packages")
    }

    fn scheme_path(&self, scheme: Scheme, wheel: &UnpackedWheel) -> String {
        scheme_path(scheme, &self.python_name, wheel)
    }

    /// Links the files of one scheme. Those outside `site-packages` are added to `record`.
    fn install_scheme(
        &mut self,
        wheel: &UnpackedWheel,
        scheme: Scheme,
        record: &mut Vec<(String, Sha256, u64)>,
    ) -> Result<(), VenvError> {
        let manifest = wheel.manifest();
        let mut files = manifest.files.iter().filter(|file| file.scheme == scheme).peekable();
        if files.peek().is_none() {
            return Ok(());
        }
        let base = self.scheme_path(scheme, wheel);
        let target = self.directory.join(&base);
        if scheme == Scheme::Headers {
            fs_err::create_dir_all(&target)?;
        }
        let link = Linker {
            source: File::open(wheel.directory().join(scheme.directory()))?,
            target: File::open(&target)?,
        };
        for (_, path) in manifest.directories.iter().filter(|(of, _)| *of == scheme) {
            link.make_directory(path)?;
        }
        for file in files {
            let is_entry_point = || manifest.entry_points.iter().any(|entry| entry.name == file.path);
            if scheme == Scheme::Scripts && is_entry_point() {
                continue; // The entry point is written instead, as other installers do.
            }
            if file.rewrite_shebang {
                let content = fs_err::read(link.source.path().join(&file.path))?;
                self.write_script(wheel, &file.path, &with_shebang(&self.shebang, &content), record)?;
                continue;
            }
            self.link(&link, wheel, &base, &file.path)?;
            if scheme != Scheme::Site {
                record.push((join(&base, &file.path), file.sha256, file.size));
            }
        }
        if scheme == Scheme::Site {
            for path in &manifest.compiled {
                self.link(&link, wheel, &base, path)?;
            }
        }
        Ok(())
    }

    /// Links one file, or copies it where links cannot be made.
    fn link(
        &mut self,
        link: &Linker,
        wheel: &UnpackedWheel,
        base: &str,
        path: &str,
    ) -> Result<(), VenvError> {
        let mut result = if self.copy { Err(Errno::XDEV) } else { link.link(path) };
        if let Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) = result {
            // EMLINK is about this file (65,000 links on ext4), the others are about the file system.
            self.copy |= result != Err(Errno::MLINK);
            result = link.copy(path)?;
        }
        match result {
            Ok(()) => Ok(()),
            Err(Errno::EXIST | Errno::NOTDIR) => {
                if self.overlooks || link.is_same(path) {
                    return Ok(());
                }
                Err(self.conflict(wheel, join(base, path)))
            }
            Err(errno) => {
                let text =
                    format!("failed to link `{}` to `{}`", link.source_path(path), link.target_path(path));
                Err(io::Error::new(io::Error::from(errno).kind(), format!("{text}: {errno}")).into())
            }
        }
    }

    fn write_script(
        &self,
        wheel: &UnpackedWheel,
        name: &str,
        content: &[u8],
        record: &mut Vec<(String, Sha256, u64)>,
    ) -> Result<(), VenvError> {
        let relative = join("bin", name);
        let path = self.directory.join(&relative);
        match OpenOptions::new().write(true).create_new(true).mode(0o755).open(&path) {
            Ok(mut file) => file.write_all(content)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !self.overlooks && fs_err::read(&path).ok().as_deref() != Some(content) {
                    return Err(self.conflict(wheel, relative));
                }
            }
            Err(error) => return Err(error.into()),
        }
        record.push((relative, Sha256::of(content), content.len() as u64));
        Ok(())
    }

    /// The store's RECORD lists the files in `site-packages`, and is linked if there are no others.
    fn extend_record(
        &self,
        wheel: &UnpackedWheel,
        others: &[(String, Sha256, u64)],
    ) -> Result<(), VenvError> {
        if others.is_empty() {
            return Ok(());
        }
        let path = self.site_packages().join(&wheel.manifest().dist_info).join("RECORD");
        let mut text = fs_err::read_to_string(&path)?;
        for (path, sha256, size) in others {
            let path = format!("../../../{path}");
            text.push_str(&format!("{},{},{size}\n", record_field(&path), record_hash(*sha256)));
        }
        // Not written through the link, which would change the store.
        fs_err::remove_file(&path)?;
        Ok(fs_err::write(&path, text)?)
    }

    /// The error for a file that is there already: whose is it?
    fn conflict(&self, wheel: &UnpackedWheel, path: String) -> VenvError {
        let times_installed_by = |other: &UnpackedWheel| {
            let manifest = other.manifest();
            let place = |file: &StoredFile| join(&self.scheme_path(file.scheme, other), &file.path);
            let files = manifest.files.iter().map(place);
            let scripts = manifest.entry_points.iter().map(|entry| join("bin", &entry.name));
            files.chain(scripts).filter(|place| *place == path).count()
        };
        let owner = self.installed.iter().find(|other| {
            // The wheel itself is among them, and in its own way only if it has the file twice.
            times_installed_by(other) > usize::from(other.name() == wheel.name())
        });
        let owner = match owner {
            Some(owner) => format!("`{}`", owner.file_name()),
            None => "the virtual environment".to_owned(),
        };
        VenvError::Conflict { wheel: wheel.file_name().to_string(), owner, path }
    }
}

/// The interpreter of an environment that processes see at `visible_at`, as they see it.
pub fn python_in(visible_at: &Path) -> PathBuf {
    visible_at.join("bin/python")
}

/// `site-packages` of `interpreter`, relative to an environment.
pub(crate) fn site_packages(interpreter: &Interpreter) -> String {
    format!("lib/{}/site-packages", python_name(interpreter))
}

/// What keeps `wheel` from an environment of `interpreter`, whatever else is in it: its tags, its `Requires-Python`.
pub(crate) fn misfit(wheel: &UnpackedWheel, interpreter: &Interpreter) -> Vec<VenvError> {
    let tags = interpreter.compatible_tags(interpreter.target(), interpreter.glibc());
    misfits(wheel, &tags, &interpreter.markers.python_full_version().version)
}

fn misfits(wheel: &UnpackedWheel, tags: &CompatibleTags, python: &Version) -> Vec<VenvError> {
    let file_name = || wheel.file_name().to_string();
    let tags = tags.rank(wheel.file_name()).is_none().then(|| {
        let (wheel, python) = (file_name(), python.clone());
        VenvError::Incompatible { wheel, python }
    });
    let required = wheel.requires_python().filter(|required| !required.contains(python));
    let required = required.map(|required| VenvError::RequiresPython {
        wheel: file_name(),
        required: required.clone(),
        python: python.clone(),
    });
    tags.into_iter().chain(required).collect()
}

/// The files that `wheel` brings to an environment of `interpreter`: where they go, relative to it, and what tells their
/// content from another. One that an installer writes itself stands for what it is written from.
pub(crate) fn places(wheel: &UnpackedWheel, interpreter: &Interpreter) -> Vec<(String, Sha256)> {
    let entry_points = &wheel.manifest().entry_points;
    let is_entry_point = |place: &str| {
        let name = place.strip_prefix("bin/");
        name.is_some_and(|name| entry_points.iter().any(|entry| entry.name == name))
    };
    let scripts = entry_points.iter().map(|entry| {
        let text = entry_point_script("", entry);
        (join("bin", &entry.name), Sha256::of(text.as_bytes()))
    });
    let files = wheel.manifest().files.iter().map(|file| {
        let base = scheme_path(file.scheme, &python_name(interpreter), wheel);
        (join(&base, &file.path), file.sha256)
    });
    files.filter(|(place, _)| !is_entry_point(place)).chain(scripts).collect()
}

/// Where files of a scheme go, relative to an environment.
fn scheme_path(scheme: Scheme, python_name: &str, wheel: &UnpackedWheel) -> String {
    match scheme {
        Scheme::Site => format!("lib/{python_name}/site-packages"),
        Scheme::Scripts => "bin".to_owned(),
        Scheme::Headers => format!("include/site/{python_name}/{}", wheel.name()),
        Scheme::Data => String::new(),
    }
}

fn python_name(interpreter: &Interpreter) -> String {
    let (major, minor, _) = interpreter.version;
    let thread = if interpreter.free_threaded { "t" } else { "" };
    format!("python{major}.{minor}{thread}")
}

fn configuration(interpreter: &Interpreter) -> Result<String, VenvError> {
    let unusable = || VenvError::InterpreterPath(interpreter.executable.clone());
    let executable = interpreter.executable.to_str().filter(|path| !path.contains(['\n', '\r']));
    let executable = executable.ok_or_else(unusable)?;
    let (home, _) = executable.rsplit_once('/').ok_or_else(unusable)?;
    Ok(format!(
        "home = {home}\ninclude-system-site-packages = false\nversion = {}\nexecutable = {executable}\n",
        interpreter.version_text()
    ))
}

fn join(base: &str, path: &str) -> String {
    if base.is_empty() { path.to_owned() } else { format!("{base}/{path}") }
}

/// Makes links from a directory of the store to one of the environment, both held open so that the
/// kernel walks short paths only.
struct Linker {
    source: File,
    target: File,
}

impl Linker {
    fn make_directory(&self, path: &str) -> Result<(), VenvError> {
        match mkdirat(self.target.file(), path, Mode::from_raw_mode(0o755)) {
            // What is no directory is in the way of what comes into it, which is noticed there.
            Ok(()) | Err(Errno::EXIST | Errno::NOTDIR) => Ok(()),
            Err(errno) => {
                let text = format!("failed to make `{}`: {errno}", self.target_path(path));
                Err(io::Error::new(io::Error::from(errno).kind(), text).into())
            }
        }
    }

    fn link(&self, path: &str) -> Result<(), Errno> {
        linkat(self.source.file(), path, self.target.file(), path, AtFlags::empty())
    }

    /// Copies a file with its mode and time. That the target exists is left to the caller to judge.
    fn copy(&self, path: &str) -> io::Result<Result<(), Errno>> {
        let mut source = File::open(self.source.path().join(path))?;
        let metadata = source.metadata()?;
        let target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()))
            .open(self.target.path().join(path));
        let mut target = match target {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Err(Errno::EXIST)),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Err(Errno::NOTDIR)),
            Err(error) => return Err(error),
        };
        io::copy(&mut source, &mut target)?;
        target.file().set_modified(metadata.modified()?)?;
        Ok(Ok(()))
    }

    /// Whether the file that is there already has the same content, as the `__init__.py` of namespace
    /// packages does.
    fn is_same(&self, path: &str) -> bool {
        let read = |directory: &File| fs_err::read(directory.path().join(path)).ok();
        read(&self.source).is_some_and(|content| read(&self.target) == Some(content))
    }

    fn source_path(&self, path: &str) -> String {
        self.source.path().join(path).display().to_string()
    }

    fn target_path(&self, path: &str) -> String {
        self.target.path().join(path).display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// What is done where links cannot be made: another file system, or one link too many.
    #[test]
    fn a_copy_has_content_mode_and_time_of_its_source_and_replaces_nothing() {
        let root = tempfile::tempdir().unwrap();
        let directory = |name: &str| {
            fs_err::create_dir(root.path().join(name)).unwrap();
            File::open(root.path().join(name)).unwrap()
        };
        let linker = Linker { source: directory("store"), target: directory("venv") };
        let source = root.path().join("store/x");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o555).open(&source).unwrap();
        file.write_all(b"x").unwrap();
        file.file().set_modified(std::time::UNIX_EPOCH).unwrap();
        assert_eq!(linker.copy("x").unwrap(), Ok(()));
        let copy = fs_err::metadata(root.path().join("venv/x")).unwrap();
        assert_eq!((copy.mode() & 0o777, copy.mtime(), copy.nlink(), copy.len()), (0o555, 0, 1, 1));
        assert_eq!(linker.copy("x").unwrap(), Err(Errno::EXIST));
        assert!(linker.is_same("x"));
        assert!(linker.copy("absent").is_err());
    }
}

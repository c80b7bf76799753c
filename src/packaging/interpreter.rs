//! The Python interpreter a wheel is built with: finding it, and what must be known of it.
//! Facts are asked once per interpreter and cached by path and modification time, because
//! starting Python costs more than everything else crosswheel does on a warm build.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use pep508_rs::MarkerEnvironment;
use serde::{Deserialize, Serialize};

use super::compatible_tags::CompatibleTags;
use crate::digest::Sha256;
use crate::platform::{Arch, Glibc, PythonVersion, Target};
use crate::scratch::file::{self, FileAccess};

/// A base Python interpreter (never one of a virtual environment) and the facts about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Interpreter {
    /// The real executable, all links resolved.
    pub executable: PathBuf,
    /// `sys.base_prefix`.
    pub base_prefix: PathBuf,
    /// Major, minor and micro version.
    pub version: (u8, u8, u8),
    /// `sys.implementation.name`, such as `cpython`.
    pub implementation: String,
    /// `sys.implementation.cache_tag`, such as `cpython-311`.
    pub cache_tag: String,
    /// `sys.abiflags`: empty, `d` or `t`.
    pub abi_flags: String,
    /// Whether this is a free-threaded build (PEP 703).
    pub free_threaded: bool,
    /// `sysconfig.get_platform()`, such as `linux-x86_64`.
    pub platform: String,
    /// `confstr("CS_GNU_LIBC_VERSION")`, such as `glibc 2.36`; none on other libcs.
    pub libc: Option<String>,
    /// `sysconfig.get_config_var("CC")`: the compiler, with flags perhaps, that setuptools calls unless it is told
    /// otherwise; may be empty.
    #[serde(default)]
    pub cc: String,
    /// `sysconfig.get_config_var("CFLAGS")`: what setuptools compiles extensions with.
    pub cflags: String,
    /// The values of environment markers (PEP 508).
    pub markers: MarkerEnvironment,
}

/// Why no interpreter could be had.
#[derive(Debug, thiserror::Error)]
pub enum InterpreterError {
    /// Nothing that fits was found.
    #[error("found no Python {requested}: tried {}", describe_attempts(.attempts))]
    NotFound {
        /// What was asked for.
        requested: String,
        /// Each candidate and why it was passed over.
        attempts: Vec<(PathBuf, String)>,
    },
    /// The given executable cannot be used.
    #[error("`{}` is not a usable Python interpreter: {reason}", .path.display())]
    Unusable {
        /// The executable.
        path: PathBuf,
        /// What happened when it was asked about itself.
        reason: String,
    },
    /// The platform of the interpreter is not one crosswheel builds for.
    #[error("Python at `{}` runs on `{platform}`; crosswheel builds on linux-x86_64 and linux-aarch64", .path.display())]
    UnsupportedPlatform {
        /// The executable.
        path: PathBuf,
        /// Its `sysconfig.get_platform()`.
        platform: String,
    },
}

fn describe_attempts(attempts: &[(PathBuf, String)]) -> String {
    if attempts.is_empty() {
        return "every directory of PATH, and the versions of pyenv and uv; install it, or give its path"
            .into();
    }
    let lines: Vec<_> =
        attempts.iter().map(|(path, reason)| format!("{} ({reason})", path.display())).collect();
    lines.join(", ")
}

const QUERY: &str = include_str!("query_interpreter.py");

/// The arguments with which any Python tells about itself.
pub const QUESTION: [&str; 3] = ["-I", "-c", QUERY];

impl Interpreter {
    /// Finds the interpreter `requested` names: a path, a version (`3.12`, `3.12.1`) or a command
    /// (`python3.12`). Facts are cached under `cache`.
    pub fn find(requested: &str, cache: &Path) -> Result<Self, InterpreterError> {
        Self::find_asking(requested, cache, &query)
    }

    /// As [`Interpreter::find`]; `ask` starts the executable at a path with [`QUESTION`] and returns its answer, or why
    /// there is none.
    ///
    /// # Errors
    /// Those of [`Interpreter::find`].
    pub fn find_asking(requested: &str, cache: &Path, ask: &Ask) -> Result<Self, InterpreterError> {
        if requested.contains('/') {
            let path = Path::new(requested);
            return Self::at(path, cache, ask)
                .map_err(|reason| InterpreterError::Unusable { path: path.to_owned(), reason })?
                .supported();
        }
        let version = requested.parse::<PythonVersion>().ok();
        let mut attempts = Vec::new();
        for candidate in candidates(requested, version.as_ref()) {
            match Self::at(&candidate, cache, ask) {
                Ok(found) if version.as_ref().is_none_or(|version| found.has_version(version)) => {
                    return found.supported();
                }
                Ok(found) => attempts.push((candidate, format!("is {}", found.version_text()))),
                Err(reason) => attempts.push((candidate, reason)),
            }
        }
        Err(InterpreterError::NotFound { requested: requested.to_owned(), attempts })
    }

    /// The interpreter that gave `answer` when it was started with [`QUESTION`], wherever that was.
    ///
    /// # Errors
    /// What is wrong with the answer, or with the interpreter.
    pub fn from_answer(answer: &[u8]) -> Result<Self, String> {
        let found = read_answer(answer)?;
        found.supported().map_err(|error| error.to_string())
    }

    /// The platform wheels of this interpreter are for.
    pub fn target(&self) -> Target {
        let arch = self.arch().unwrap_or_else(Arch::host);
        Target { arch }
    }

    /// Whether it is a program of another architecture than ours, so that something has to emulate it here.
    pub fn is_emulated(&self) -> bool {
        let machine = machine_of(&self.executable).or_else(|| self.arch());
        machine.is_some_and(|machine| machine != Arch::host())
    }

    /// The version, such as `3.11.7`.
    pub fn version_text(&self) -> String {
        let (major, minor, micro) = self.version;
        format!("{major}.{minor}.{micro}")
    }

    /// The glibc it runs on, if it runs on one.
    pub fn glibc(&self) -> Option<Glibc> {
        self.libc.as_deref()?.strip_prefix("glibc ")?.parse().ok()
    }

    /// The wheel tags it accepts on `target` with `glibc`, best first.
    pub fn compatible_tags(&self, target: Target, glibc: Option<Glibc>) -> CompatibleTags {
        CompatibleTags::new((self.version.0, self.version.1), &self.abi_flags, target, glibc)
    }

    fn arch(&self) -> Option<Arch> {
        Arch::from_machine(self.platform.strip_prefix("linux-")?)
    }

    fn supported(self) -> Result<Self, InterpreterError> {
        match self.arch() {
            Some(_) => Ok(self),
            None => {
                Err(InterpreterError::UnsupportedPlatform { path: self.executable, platform: self.platform })
            }
        }
    }

    /// Whether its version is `requested`, as far as that says: any 3.11 is `[3, 11]`.
    pub fn has_version(&self, requested: &PythonVersion) -> bool {
        requested.includes(self.version)
    }

    /// The interpreter behind the executable `path`, from the cache if its file is unchanged.
    fn at(path: &Path, cache: &Path, ask: &Ask) -> Result<Self, String> {
        let key = cache_key(path).map_err(|error| error.to_string())?;
        let entry = cache.join("interpreters").join(format!("{key}.json"));
        if let Some(found) =
            fs_err::read(&entry).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            && found.executable.exists()
        {
            return Ok(found);
        }
        let found = read_answer(&ask(path)?)?;
        // A cache that cannot be written costs time, not correctness.
        let _ = serde_json::to_vec(&found).map_err(Into::into).and_then(|bytes| keep(&entry, &bytes));
        Ok(found)
    }
}

/// Executables that may be what `requested` names, best first, each real file once.
fn candidates(requested: &str, version: Option<&PythonVersion>) -> Vec<PathBuf> {
    let names: Vec<OsString> = match version.map(PythonVersion::parts) {
        None => vec![requested.into()],
        Some([major]) => vec![format!("python{major}").into(), "python".into()],
        Some([major, minor, ..]) => {
            vec![format!("python{major}.{minor}").into(), format!("python{major}").into(), "python".into()]
        }
        Some([]) => Vec::new(),
    };
    let mut found: Vec<PathBuf> =
        names.iter().flat_map(|name| which::which_all(name).into_iter().flatten()).collect();
    if let Some(version) = version {
        found.extend(installed_by_version_tools(version));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(fs_err::canonicalize(path).unwrap_or_else(|_| path.clone())));
    found
}

/// Interpreters of pyenv and uv that are not on PATH, newest first.
fn installed_by_version_tools(version: &PythonVersion) -> Vec<PathBuf> {
    // A user without a home has nothing there; an empty path would mean the current directory.
    let home =
        std::env::home_dir().filter(|home| home.is_absolute()).unwrap_or_else(|| "/nonexistent".into());
    let or_home = |variable: &str, default: &str| {
        std::env::var_os(variable).map_or_else(|| home.join(default), PathBuf::from)
    };
    let prefix: String = version.parts().iter().map(|part| format!("{part}.")).collect();
    let roots = [
        (or_home("PYENV_ROOT", ".pyenv").join("versions"), String::new()),
        (or_home("UV_PYTHON_INSTALL_DIR", ".local/share/uv/python"), "cpython-".to_owned()),
    ];
    let mut found = Vec::new();
    for (root, name_prefix) in roots {
        let mut versions: Vec<_> = fs_err::read_dir(root)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let release = name.strip_prefix(&name_prefix)?.split('-').next()?;
                let parts = release.parse::<PythonVersion>().ok()?;
                format!("{release}.")
                    .starts_with(&prefix)
                    .then_some((parts, entry.path().join("bin/python3")))
            })
            .collect();
        versions.sort_by(|a, b| b.cmp(a));
        found.extend(versions.into_iter().map(|(_, path)| path));
    }
    found
}

/// What the facts of the executable at `path` depend on. For a binary that is its real file; for a
/// script (the shims of pyenv and asdf) also what such scripts choose by.
fn cache_key(path: &Path) -> std::io::Result<Sha256> {
    let real = fs_err::canonicalize(path)?;
    let mut key = format!("{}\0{}\0{}", QUERY, path.display(), stamp(&real)?);
    if !is_elf(&real)? {
        let directory = std::env::current_dir()?;
        key.push_str(&format!("\0{}\0{:?}", directory.display(), std::env::var_os("PYENV_VERSION")));
        let pyenv_root = std::env::var_os("PYENV_ROOT")
            .map_or_else(|| std::env::home_dir().unwrap_or_default().join(".pyenv"), PathBuf::from);
        let choices = directory.ancestors().map(|above| above.join(".python-version"));
        for choice in choices.chain([pyenv_root.join("version")]) {
            key.push_str(&format!("\0{}", stamp(&choice).unwrap_or_default()));
        }
    }
    Ok(Sha256::of(key.as_bytes()))
}

/// Changes when the file at `path` does.
pub(crate) fn stamp(path: &Path) -> std::io::Result<String> {
    let metadata = fs_err::metadata(path)?;
    Ok(format!("{} {} {}.{}", path.display(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

/// The architecture of the program at `path`; none if it is a script, or of no architecture that we know.
pub(crate) fn machine_of(path: &Path) -> Option<Arch> {
    let mut header = Vec::new();
    fs_err::File::open(path).ok()?.take(20).read_to_end(&mut header).ok()?;
    Arch::of_elf_header(&header)
}

fn is_elf(path: &Path) -> std::io::Result<bool> {
    let mut magic = Vec::new();
    fs_err::File::open(path)?.take(4).read_to_end(&mut magic)?;
    Ok(magic == b"\x7fELF")
}

/// Starts an interpreter and asks it about itself.
pub type Ask<'a> = dyn Fn(&Path) -> Result<Vec<u8>, String> + 'a;

fn query(path: &Path) -> Result<Vec<u8>, String> {
    let output = Command::new(path)
        .args(QUESTION)
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("it does not start: {error}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(no_answer(output.status, &output.stderr)) }
}

/// Why an interpreter has not answered that ended so.
pub fn no_answer(status: ExitStatus, stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let first = stderr.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message").trim();
    format!("{status}: {first}")
}

fn read_answer(answer: &[u8]) -> Result<Interpreter, String> {
    serde_json::from_slice(answer).map_err(|error| format!("its answer cannot be read: {error}"))
}

/// Puts a file into the cache, whole or not at all.
pub(crate) fn keep(entry: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs_err::create_dir_all(entry.parent().unwrap_or(Path::new(".")))?;
    file::write(entry, bytes, FileAccess::Private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_a_real_interpreter_are_found_and_cached() {
        let cache = tempfile::tempdir().unwrap();
        let found = Interpreter::find("3", cache.path()).unwrap();
        assert_eq!(found.version.0, 3);
        assert!(found.executable.is_absolute());
        assert!(found.glibc().is_some());
        let entries = fs_err::read_dir(cache.path().join("interpreters")).unwrap().count();
        assert!(entries >= 1);
        let again = Interpreter::find("3", cache.path()).unwrap();
        assert_eq!(again.executable, found.executable);
    }

    #[test]
    fn a_version_nobody_has_is_reported_with_what_was_tried() {
        let cache = tempfile::tempdir().unwrap();
        let error = Interpreter::find("3.99", cache.path()).unwrap_err().to_string();
        assert!(error.starts_with("found no Python 3.99: tried "), "{error}");
    }

    #[test]
    fn a_file_that_is_not_python_is_refused() {
        let cache = tempfile::tempdir().unwrap();
        let error = Interpreter::find("/bin/true", cache.path()).unwrap_err().to_string();
        assert!(error.contains("/bin/true"), "{error}");
    }
}

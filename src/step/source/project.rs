//! A source tree as PEP 517 and PEP 518 see it: who builds it, with what, and for which Python.
//! Knows nothing of archives, venvs or processes.

use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{PackageName, Requirement, VerbatimUrl};
use serde::Deserialize;

use crate::contract::{Failure, FailureClass};
use crate::packaging::core_metadata::{CoreMetadata, CoreMetadataError};
use crate::packaging::interpreter::Interpreter;
use crate::packaging::requirement_text::parse_requirement;

/// The backend when `[build-system]` or its `build-backend` is missing (PEP 517).
pub const LEGACY_BACKEND: &str = "setuptools.build_meta:__legacy__";
/// Most bytes of pyproject.toml and PKG-INFO, as much as is read of them before a build is planned.
const FILE_BYTES: u64 = 4 << 20;
const LEGACY_REQUIREMENT: &str = "setuptools>=40.8.0";

/// The `[build-system]` table of pyproject.toml, every fallback applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSystem {
    /// What must be installed before the backend can be imported.
    pub requires: Vec<Requirement<VerbatimUrl>>,
    /// The backend as an object reference, `module[:object]`.
    pub backend: String,
    /// Directories, relative to the source root, the backend is loaded from.
    pub backend_path: Vec<PathBuf>,
}

/// An unpacked source tree that may be built.
#[derive(Clone, Debug)]
pub struct Project {
    /// The directory that holds pyproject.toml or setup.py.
    pub root: PathBuf,
    /// Who builds it, with what.
    pub build_system: BuildSystem,
    /// PKG-INFO, if the sdist has one that can be read.
    pub metadata: Option<CoreMetadata>,
    /// Name, from PKG-INFO or else from a static `[project]` table.
    pub name: Option<PackageName>,
    /// Version, from PKG-INFO or else from a static `[project]` table.
    pub version: Option<Version>,
    /// `Requires-Python`, from PKG-INFO or else from a static `[project]` table.
    pub requires_python: Option<VersionSpecifiers>,
}

/// Why a source tree cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// pyproject.toml is not TOML, or a table has the wrong shape.
    #[error("pyproject.toml cannot be read: {0}")]
    InvalidPyproject(String),
    /// PEP 518 demands `requires`.
    #[error("the `[build-system]` table of pyproject.toml lacks the mandatory key `requires` (PEP 518)")]
    RequiresMissing,
    /// An entry of `requires` is not a PEP 508 requirement.
    #[error("`build-system.requires` has an entry that is not a requirement: `{entry}`: {reason}")]
    InvalidRequirement {
        /// The entry as written.
        entry: String,
        /// What the parser says.
        reason: String,
    },
    /// `build-backend` is not an object reference.
    #[error("`build-backend` is `{0}`, which is not of the form `module` or `module:object` (PEP 517)")]
    InvalidBackend(String),
    /// `backend-path` without `build-backend`, or an entry that leaves the source tree.
    #[error("`backend-path` {0} (PEP 517)")]
    InvalidBackendPath(String),
    /// PKG-INFO is there but is not core metadata.
    #[error("PKG-INFO cannot be read: {0}")]
    InvalidMetadata(#[from] CoreMetadataError),
    /// A directory in the place of a file, or a file larger than any real one.
    #[error("{name} {problem}")]
    UnusableFile {
        /// The file.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Neither pyproject.toml nor setup.py.
    #[error("the sdist has neither pyproject.toml nor setup.py in its top directory `{0}`")]
    NothingToBuild(String),
    /// The interpreter is too old or too new.
    #[error("{subject} needs Python {specifiers}, this is {found}")]
    WrongPython {
        /// Name of the project, or `the project`.
        subject: String,
        /// `Requires-Python`.
        specifiers: String,
        /// Version of the interpreter.
        found: String,
    },
    /// A file cannot be read for a reason that is not the project's.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        let message = error.to_string();
        match error {
            ProjectError::WrongPython { .. } => Self::new(FailureClass::RequiresNewerPython, message)
                .with_hint("choose an interpreter it accepts with --python"),
            ProjectError::Io(_) => Self::new(FailureClass::BackendError, message),
            _ => Self::new(FailureClass::InvalidMetadata, message)
                .with_hint("the sdist itself is at fault; mend it with --patch FILE, or use another version"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pyproject {
    build_system: Option<BuildSystemTable>,
    project: Option<ProjectTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BuildSystemTable {
    requires: Option<Vec<String>>,
    build_backend: Option<String>,
    backend_path: Option<Vec<String>>,
}

/// Only what a missing PKG-INFO makes us look up; everything else is the backend's to judge.
#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
struct ProjectTable {
    name: Option<toml::Value>,
    version: Option<toml::Value>,
    requires_python: Option<toml::Value>,
}

impl BuildSystem {
    /// Reads `[build-system]` from the bytes of pyproject.toml; `None` when there is no such file.
    pub fn parse(pyproject: Option<&[u8]>) -> Result<Self, ProjectError> {
        Self::from_table(parse_pyproject(pyproject)?.and_then(|parsed| parsed.build_system))
    }

    fn from_table(table: Option<BuildSystemTable>) -> Result<Self, ProjectError> {
        let Some(table) = table else {
            return Ok(Self {
                requires: parse_requirements(&[LEGACY_REQUIREMENT.into()])?,
                backend: LEGACY_BACKEND.into(),
                backend_path: Vec::new(),
            });
        };
        let requires = parse_requirements(&table.requires.ok_or(ProjectError::RequiresMissing)?)?;
        if table.backend_path.is_some() && table.build_backend.is_none() {
            return Err(ProjectError::InvalidBackendPath("is given without `build-backend`".into()));
        }
        let backend = table.build_backend.unwrap_or_else(|| LEGACY_BACKEND.into());
        if !is_object_reference(&backend) {
            return Err(ProjectError::InvalidBackend(backend));
        }
        let backend_path: Result<_, _> =
            table.backend_path.unwrap_or_default().into_iter().map(relative_inside).collect();
        Ok(Self { requires, backend, backend_path: backend_path? })
    }
}

impl Project {
    /// Reads the project whose top directory is `root`.
    pub fn load(root: &Path) -> Result<Self, ProjectError> {
        let pyproject = read_if_present(root, "pyproject.toml")?;
        if pyproject.is_none() && !root.join("setup.py").is_file() {
            let name = root.file_name().unwrap_or_default().to_string_lossy();
            return Err(ProjectError::NothingToBuild(name.into_owned()));
        }
        let parsed = parse_pyproject(pyproject.as_deref())?;
        let (table, project) = parsed.map_or((None, None), |parsed| (parsed.build_system, parsed.project));
        let build_system = BuildSystem::from_table(table)?;
        for entry in &build_system.backend_path {
            check_backend_directory(root, entry)?;
        }
        let metadata = match read_if_present(root, "PKG-INFO")? {
            Some(bytes) => Some(CoreMetadata::parse(&bytes)?),
            None => None,
        };
        let table = project.unwrap_or_default();
        let (name, version, requires_python) = match &metadata {
            Some(metadata) => (
                Some(metadata.name.clone()),
                Some(metadata.version.clone()),
                metadata.requires_python.clone(),
            ),
            None => {
                (static_value(table.name), static_value(table.version), static_value(table.requires_python))
            }
        };
        Ok(Self { root: root.to_owned(), build_system, metadata, name, version, requires_python })
    }

    /// Refuses an interpreter that `Requires-Python` excludes, before anything of the project runs.
    pub fn check_python(&self, interpreter: &Interpreter) -> Result<(), ProjectError> {
        let Some(specifiers) = &self.requires_python else { return Ok(()) };
        if specifiers.contains(&interpreter.markers.python_full_version().version) {
            return Ok(());
        }
        Err(ProjectError::WrongPython {
            subject: self.name.as_ref().map_or_else(|| "the project".into(), ToString::to_string),
            specifiers: specifiers.to_string(),
            found: interpreter.version_text(),
        })
    }
}

fn parse_pyproject(bytes: Option<&[u8]>) -> Result<Option<Pyproject>, ProjectError> {
    let Some(bytes) = bytes else { return Ok(None) };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ProjectError::InvalidPyproject(format!("it is not UTF-8: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    toml::from_str(text).map(Some).map_err(|error| ProjectError::InvalidPyproject(error.to_string()))
}

fn parse_requirements(entries: &[String]) -> Result<Vec<Requirement<VerbatimUrl>>, ProjectError> {
    let parse = |entry: &String| {
        parse_requirement(entry)
            .map_err(|reason| ProjectError::InvalidRequirement { entry: entry.clone(), reason })
    };
    entries.iter().map(parse).collect()
}

/// `module.path[:object.path]`, every part an identifier.
fn is_object_reference(text: &str) -> bool {
    let dotted = |path: &str| {
        path.split('.').all(|part| {
            let mut characters = part.chars();
            characters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
                && characters.all(|character| character.is_alphanumeric() || character == '_')
        })
    };
    match text.split_once(':') {
        Some((module, object)) => dotted(module) && dotted(object),
        None => dotted(text),
    }
}

fn relative_inside(entry: String) -> Result<PathBuf, ProjectError> {
    let path = PathBuf::from(&entry);
    let mut depth = 0_i32;
    for component in path.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => depth = i32::MIN / 2,
        }
        if depth < 0 {
            return Err(ProjectError::InvalidBackendPath(format!(
                "entry `{entry}` is not a relative path inside the source tree"
            )));
        }
    }
    Ok(path)
}

/// An entry may be a link, so where it really points is checked too.
fn check_backend_directory(root: &Path, entry: &Path) -> Result<(), ProjectError> {
    let refuse =
        |reason: &str| Err(ProjectError::InvalidBackendPath(format!("entry `{}` {reason}", entry.display())));
    let Ok(real) = fs_err::canonicalize(root.join(entry)) else { return refuse("does not exist") };
    if !real.starts_with(fs_err::canonicalize(root)?) {
        return refuse("leads out of the source tree");
    }
    if !real.is_dir() {
        return refuse("is not a directory");
    }
    Ok(())
}

fn static_value<T: FromStr>(value: Option<toml::Value>) -> Option<T> {
    value?.as_str()?.parse().ok()
}

fn read_if_present(root: &Path, name: &'static str) -> Result<Option<Vec<u8>>, ProjectError> {
    let file = match fs_err::File::open(root.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let unusable = |problem: String| Err(ProjectError::UnusableFile { name, problem });
    if !file.metadata()?.is_file() {
        return unusable("is not a file".into());
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES {
        return unusable(format!("is larger than {FILE_BYTES} bytes"));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<BuildSystem, ProjectError> {
        BuildSystem::parse(Some(text.as_bytes()))
    }

    #[test]
    fn without_a_build_system_the_legacy_backend_is_assumed() {
        let tables = [None, Some("[tool.black]\n"), Some("[project]\nname = 'a'\n")];
        for pyproject in tables {
            let system = BuildSystem::parse(pyproject.map(str::as_bytes)).unwrap();
            assert_eq!(system.backend, LEGACY_BACKEND);
            assert_eq!(system.requires[0].to_string(), LEGACY_REQUIREMENT);
        }
    }

    #[test]
    fn a_requirement_that_would_end_the_process_is_refused() {
        let (open, close) = ("(".repeat(20_000), ")".repeat(20_000));
        let text = format!("[build-system]\nrequires = [\"a ; {open}os_name == 'nt'{close}\"]");
        assert!(matches!(parse(&text), Err(ProjectError::InvalidRequirement { .. })));
    }

    #[test]
    fn requires_without_a_backend_keeps_requires_and_the_legacy_backend() {
        let system = parse("[build-system]\nrequires = ['setuptools', 'Cython<3.0']").unwrap();
        assert_eq!(system.backend, LEGACY_BACKEND);
        assert_eq!(system.requires.len(), 2);
    }

    #[test]
    fn a_broken_build_system_says_which_key_is_wrong() {
        let message = |text| parse(text).unwrap_err().to_string();
        assert!(message("[build-system]\nbuild-backend = 'a'").contains("`requires`"));
        assert!(message("[build-system]\nrequires = ['a b']").contains("`a b`"));
        assert!(
            message("[build-system]\nrequires = []\nbuild-backend = 'a; import os'")
                .contains("module:object")
        );
        assert!(
            message("[build-system]\nrequires = []\nbackend-path = ['.']")
                .contains("without `build-backend`")
        );
        assert!(message("[build-system\n").contains("pyproject.toml cannot be read"));
    }

    #[test]
    fn a_backend_path_that_leaves_the_tree_is_refused() {
        for entry in ["..", "/usr", "a/../../b"] {
            let text = format!("[build-system]\nrequires=[]\nbuild-backend='a'\nbackend-path=['{entry}']");
            assert!(matches!(parse(&text), Err(ProjectError::InvalidBackendPath(_))), "{entry}");
        }
    }

    #[test]
    fn a_backend_path_that_is_a_link_out_of_the_tree_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/usr", root.path().join("backend")).unwrap();
        let text = "[build-system]\nrequires=[]\nbuild-backend='a'\nbackend-path=['backend']";
        fs_err::write(root.path().join("pyproject.toml"), text).unwrap();
        let error = Project::load(root.path()).unwrap_err().to_string();
        assert!(error.contains("leads out of the source tree"), "{error}");
    }

    #[test]
    fn name_and_version_come_from_pkg_info_before_the_project_table() {
        let root = tempfile::tempdir().unwrap();
        let table = "[project]\nname = 'B'\nversion = '1'\n";
        fs_err::write(root.path().join("pyproject.toml"), table).unwrap();
        let project = Project::load(root.path()).unwrap();
        assert_eq!(project.name.unwrap().to_string(), "b");
        let pkg_info = "Metadata-Version: 2.1\nName: C\nVersion: 2.0\nRequires-Python: >=3.99\n\n";
        fs_err::write(root.path().join("PKG-INFO"), pkg_info).unwrap();
        let project = Project::load(root.path()).unwrap();
        assert_eq!(project.version.as_ref().unwrap().to_string(), "2.0");
        let interpreter = Interpreter::find("3", root.path()).unwrap();
        let error = project.check_python(&interpreter).unwrap_err().to_string();
        assert_eq!(error, format!("c needs Python >=3.99, this is {}", interpreter.version_text()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = BuildSystem::parse(Some(&bytes));
            let _ = CoreMetadata::parse(&bytes);
        }
    }
}

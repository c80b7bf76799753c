//! Small projects of our own on disk, and what is planned of them.

use std::path::Path;

use crosswheel::lock::{FilePreferences, LockError, Plan, Project, Selection};
use crosswheel::packaging::compatible_tags::CompatibleTags;
use crosswheel::platform::Target;
use pep508_rs::MarkerEnvironment;
use tempfile::TempDir;

use crate::scene::{Case, environment};

/// A directory with a uv.lock and pyproject.toml files.
pub struct Workspace {
    directory: TempDir,
}

impl Workspace {
    /// `files` by their paths.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Self { directory };
        for (path, text) in files {
            workspace.write(path, text);
        }
        workspace
    }

    /// The project `app` with this lock, to which the header is added.
    pub fn of_lock(lock: &str) -> Self {
        let lock = format!("version = 1\nrevision = 3\nrequires-python = \">=3.10\"\n{lock}");
        Self::new(&[("pyproject.toml", "[project]\nname = \"app\"\n"), ("uv.lock", &lock)])
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn project(&self) -> Project {
        Project::open(self.path()).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn plan_with(
        &self,
        selection: &Selection,
        environment: &MarkerEnvironment,
        preferences: &FilePreferences,
    ) -> Result<Plan, LockError> {
        let project = Project::open(self.path())?;
        let configuration = project.configuration(selection)?;
        let closure = project.closure(&configuration, environment)?;
        let machine = environment.platform_machine();
        let target: Target =
            if machine == "aarch64" { "linux_arm64" } else { "linux_amd64" }.parse().unwrap();
        let tags = CompatibleTags::new((3, 12), "", target, "2.36".parse().ok());
        let preferences = FilePreferences::of(project.settings()).or(preferences);
        project.plan(&closure, &tags, &preferences)
    }

    /// What is planned for Python 3.12 on amd64; `asked` as in the names of expected files, such as `+extra,group-g`.
    pub fn lines(&self, asked: &str) -> Result<Vec<String>, LockError> {
        Case::of_name(&format!("linux_amd64-py3.12{asked}")).lines(self.path())
    }

    /// As [`Workspace::lines`], only name and version.
    pub fn names(&self, asked: &str) -> Vec<String> {
        let lines = self.lines(asked).unwrap_or_else(|error| panic!("{asked}: {error}"));
        lines.iter().map(|line| line.split_once(' ').unwrap().0.to_owned()).collect()
    }

    pub fn error(&self, asked: &str) -> LockError {
        self.lines(asked).expect_err("an error")
    }
}

/// Python 3.12 on amd64.
pub fn amd64() -> MarkerEnvironment {
    environment("linux_amd64".parse().unwrap(), 12)
}

/// Python 3.12 on arm64.
pub fn arm64() -> MarkerEnvironment {
    environment("linux_arm64".parse().unwrap(), 12)
}

//! Runs `crosswheel build` with a home, a cache and an environment of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::support::waiting::{InTime, LONG_DEADLINE};

/// A directory per test: `home`, `cache`, `dist`, and whatever the test puts there.
pub struct Place {
    directory: TempDir,
    python: String,
    variables: Vec<(String, String)>,
}

/// What a run left behind.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The real executable of a Python 3: shims and links do not survive a change of HOME.
pub static PYTHON: LazyLock<String> = LazyLock::new(|| {
    let script = "import sys; print(getattr(sys, '_base_executable', None) or sys.executable)";
    let output = Command::new("python3").args(["-c", script]).output_in_time();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
});

/// An uv: the one of PATH, or else the one crosswheel installs for itself from PyPI.
static UV: LazyLock<PathBuf> = LazyLock::new(|| {
    if let Ok(uv) = which::which("uv") {
        return uv;
    }
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uv");
    let sdist = cache.join("needs-1.0.tar.gz");
    fs_err::create_dir_all(&cache).unwrap();
    let project = crate::support::packages::Project {
        name: "needs",
        version: "1.0",
        requires: &["packaging"],
        ..Default::default()
    };
    fs_err::write(&sdist, project.sdist()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_crosswheel"))
        .args(["build", "--python", &PYTHON, "--out"])
        .args([&cache.join("dist"), Path::new("--cache-dir"), &cache, &sdist])
        .output_within(LONG_DEADLINE);
    let installed = fs_err::read_dir(cache.join("uv")).into_iter().flatten().flatten().next();
    let uv = installed.map(|version| version.path().join("uv")).filter(|uv| uv.is_file());
    uv.unwrap_or_else(|| panic!("there is no uv, and none can be installed:\n{output:?}"))
});

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["home", "bin"] {
            fs_err::create_dir(directory.path().join(name)).unwrap();
        }
        let place = Self { directory, python: PYTHON.clone(), variables: Vec::new() };
        // Every start of uv leaves a line behind.
        let log = place.path("uv.log");
        let script =
            format!("#!/bin/sh\necho started >> '{}'\nexec '{}' \"$@\"\n", log.display(), UV.display());
        let wrapper = place.path("bin/uv");
        fs_err::write(&wrapper, script).unwrap();
        use std::os::unix::fs::PermissionsExt;
        fs_err::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    /// Sets an environment variable for every run.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    /// Takes another Python than the tests usually do.
    pub fn python(&mut self, python: &str) {
        python.clone_into(&mut self.python);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, bytes).unwrap();
        self.text(name)
    }

    /// How often uv was started so far.
    pub fn uv_starts(&self) -> usize {
        fs_err::read_to_string(self.path("uv.log")).unwrap_or_default().lines().count()
    }

    /// Names of the files in `dist`.
    pub fn wheels(&self) -> Vec<String> {
        let entries = fs_err::read_dir(self.path("dist")).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `crosswheel build` with `arguments`, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_of("build", arguments)
    }

    /// A subcommand that builds with `arguments`, not yet started.
    pub fn command_of(&self, subcommand: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command
            .args([subcommand, "--python", &self.python, "--out"])
            .arg(self.path("dist"))
            .arg("--cache-dir")
            .arg(self.path("cache"))
            .args(arguments)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("HOME", self.path("home"))
            .env("PIP_FIND_LINKS", self.path("no-such-directory"))
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    pub fn build(&self, arguments: &[&str]) -> Run {
        self.run("build", arguments)
    }

    pub fn wheelhouse(&self, arguments: &[&str]) -> Run {
        self.run("wheelhouse", arguments)
    }

    fn run(&self, subcommand: &str, arguments: &[&str]) -> Run {
        let output = self.command_of(subcommand, arguments).output_in_time();
        Run {
            code: output.status.code().expect("it ends by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "`{text}` is not in\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// How many times a stage was entered.
    pub fn stages(&self, stage: &str) -> usize {
        self.stderr.lines().filter(|line| line.ends_with(&format!(": {stage}"))).count()
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

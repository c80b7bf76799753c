//! A directory with wheels, and what checks them. Knows nothing of what is tested.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::waiting::InTime;
use crate::wheel::scene::json;
use crate::wheels::builder::WheelBuilder;

/// Wheels that are to work together.
pub struct Scene {
    directory: tempfile::TempDir,
    /// Options of every check.
    pub options: Vec<String>,
}

impl Scene {
    pub fn of(wheels: &[WheelBuilder]) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs_err::create_dir(directory.path().join("wheels")).unwrap();
        let scene = Self { directory, options: Vec::new() };
        for wheel in wheels {
            wheel.write(&scene.path("wheels"));
        }
        scene
    }

    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Every wheel by its own name, as whatever is in the directory is to be looked at.
    pub fn files(&self) -> Vec<PathBuf> {
        let entries = fs_err::read_dir(self.path("wheels")).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
        command.arg("check").args(&self.options).env("CROSSWHEEL_CACHE_DIR", self.path("cache"));
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self) -> Output {
        let output = self.command().arg("--json").args(self.files()).output_in_time();
        let work = fs_err::read_dir(self.path("cache/work")).into_iter().flatten().flatten();
        assert_eq!(work.count(), 0, "something was left behind");
        output
    }

    /// The report of a check, and whether it found nothing wrong, by its exit code.
    pub fn report(&self) -> (bool, Value) {
        let output = self.run();
        let report = json(&output)["checked"].clone();
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 26)), "{output:?}");
        (code == Some(0), report)
    }

    /// The report of a check that finds nothing wrong.
    pub fn good(&self) -> Value {
        let (good, report) = self.report();
        assert!(good, "{report:#}");
        assert_eq!(report["problems"], Value::Array(Vec::new()));
        report
    }

    /// What a check finds: package, kind and message.
    pub fn problems(&self) -> Vec<[String; 3]> {
        let (good, report) = self.report();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let problems = report["problems"].as_array().unwrap();
        assert_eq!(good, problems.is_empty());
        problems.iter().map(|found| ["package", "kind", "message"].map(|field| text(&found[field]))).collect()
    }

    /// The only thing that a check finds.
    pub fn problem(&self) -> [String; 3] {
        let problems = self.problems();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        problems.into_iter().next().unwrap()
    }
}

/// A pure wheel with one module, which has this text.
pub fn module(name: &str, version: &str, text: &str) -> WheelBuilder {
    WheelBuilder::new(&format!("{name}-{version}-py3-none-any.whl")).file(&format!("{name}.py"), text)
}

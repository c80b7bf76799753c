//! A `crosswheel worker` of a test's own.

use std::path::Path;
use std::process::{ChildStdout, ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, prlimit};
use serde_json::Value;

use super::server::{crosswheel_command, http_get};
use super::waiting::{InTime, Lines, Started};

/// A worker that asks for work; killed when dropped.
pub struct Worker {
    child: Started,
    /// The line with which it said that it works.
    pub start: Value,
    _stdout: Lines<ChildStdout>,
}

impl Worker {
    /// Starts a worker on the store in `directory`.
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = crosswheel_command("worker", &["--json", "--http-listen", "127.0.0.1:0"]);
        command.arg("--store").arg(directory.join("worker")).args(arguments);
        let mut child = command.stdout(Stdio::piped()).start();
        let mut stdout = child.stdout();
        let line = stdout.next().expect("a worker says what it offers");
        let start = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Self { child, start, _stdout: stdout }
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        self.start["name"].as_str().unwrap()
    }

    /// Status line and body of what it answers over HTTP.
    pub fn get(&self, path: &str) -> (String, String) {
        http_get(self.start["http"].as_str().unwrap(), path)
    }

    /// A metric of this name and these labels; 0 if there is none yet.
    pub fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Commands that it has run to their end.
    pub fn commands_run(&self) -> f64 {
        self.metric(r#"crosswheel_action_stage_seconds_count{pool="native",stage="running"}"#)
    }

    /// Lets it have hardly more files open than it has now. Returns how many there could be before.
    pub fn limit_open_files(&self) -> Rlimit {
        let open = fs_err::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count() as u64;
        let now = Rlimit { current: Some(open + open / 20 + 1), ..getrlimit(Resource::Nofile) };
        prlimit(Some(self.child.pid()), Resource::Nofile, now).unwrap()
    }

    /// Lets it have as many files open as it could before.
    pub fn allow_open_files(&self, before: Rlimit) {
        prlimit(Some(self.child.pid()), Resource::Nofile, before).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Waits for its end.
    pub fn exit(mut self) -> ExitStatus {
        self.child.exit()
    }

    /// As by the kernel, short of memory, or by an operator.
    pub fn kill(mut self) {
        self.child.kill();
    }
}

//! The user's own git: found on PATH, run without what could ask, page, watch or hook. Knows nothing of what it is asked.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::build::interrupt::Interrupt;
use crate::contract::{Failure, FailureClass};

/// Variables by which git is told of another repository than the one it is in, or to run other programs.
const FORGOTTEN: [&str; 18] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_EXTERNAL_DIFF",
    "GIT_DIFF_OPTS",
    "GIT_EDITOR",
    "GIT_SEQUENCE_EDITOR",
    "GIT_EXEC_PATH",
    "GIT_TEMPLATE_DIR",
    "GIT_QUARANTINE_PATH",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_PAGER_IN_USE",
];

/// A git that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    program: PathBuf,
}

impl Git {
    /// The one on PATH; none if there is none.
    pub fn find() -> Option<Self> {
        which::which("git").ok().map(|program| Self { program })
    }

    /// The one on PATH.
    ///
    /// # Errors
    /// If there is none, but something that needs it: `what`.
    pub fn needed_for(what: &str) -> Result<Self, Failure> {
        Self::find().ok_or_else(|| {
            Failure::new(FailureClass::FetchFailed, format!("{what} needs git, which is not on PATH"))
                .with_hint("on Debian and Ubuntu: apt-get install git")
        })
    }

    /// Whether git would run ssh as it is, which may ask somebody; else the user has said what to run.
    pub fn asks_by_ssh(&self, directory: &Path, interrupt: &Interrupt) -> bool {
        let by_variable = ["GIT_SSH_COMMAND", "GIT_SSH"].iter().any(|name| std::env::var_os(name).is_some());
        let mut command = self.command(directory, &[]);
        command.args(["config", "--get", "core.sshCommand"]);
        !by_variable && interrupt.run(&mut command, |_| ()).is_ok_and(|finished| !finished.status.success())
    }

    /// A call of it in `directory`, with settings that go before those of the user, but are not passed on to others.
    pub fn command(&self, directory: &Path, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(directory).stdin(Stdio::null());
        for name in FORGOTTEN {
            command.env_remove(name);
        }
        // No question may be put to somebody who is not there.
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "").env("SSH_ASKPASS", "");
        command.env("GIT_PAGER", "cat").env("LC_ALL", "C.UTF-8");
        let ours =
            [("core.hooksPath", "/dev/null"), ("core.fsmonitor", "false"), ("advice.detachedHead", "false")];
        configure(&mut command, ours.iter().chain(settings));
        command
    }
}

/// Adds settings in the environment, where nobody else sees them, behind those that are there already.
fn configure<'a>(command: &mut Command, settings: impl Iterator<Item = &'a (&'a str, &'a str)>) {
    let count =
        std::env::var("GIT_CONFIG_COUNT").ok().and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let mut next = count;
    for (key, value) in settings {
        command.env(OsString::from(format!("GIT_CONFIG_KEY_{next}")), key);
        command.env(OsString::from(format!("GIT_CONFIG_VALUE_{next}")), value);
        next += 1;
    }
    command.env("GIT_CONFIG_COUNT", next.to_string());
}

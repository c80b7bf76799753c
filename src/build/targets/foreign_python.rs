//! The Python that builds for a target and is not on this machine, or not to be run by it: it is asked about itself
//! where it is, by an action. Knows nothing of what is built with it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::placement::Placement;
use crate::build::cache::KeyBuilder;
use crate::build::progress::Task;
use crate::build::resolve::lines::last_lines;
use crate::build::run::Run;
use crate::client::{ClientError, Finished, Job};
use crate::contract::{Failure, FailureClass, RELEASE};
use crate::digest::Sha256;
use crate::packaging::interpreter::{Interpreter, QUESTION};
use crate::platform::{PythonVersion, SYSTEM_PATH, Target};

/// How long Python may take to start and answer, emulated and on a machine with much else to do.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Nobody tells us when workers elsewhere get another Python; they are asked again after this time.
const DAY: u64 = 24 * 60 * 60;

/// Lines of what it said instead of an answer that are shown.
const TAIL: usize = 10;

impl Run {
    /// The Python with which steps for `target` are built at `placement`.
    ///
    /// # Errors
    /// If there is none, or not the one that is requested, or if it is of another platform.
    pub(crate) fn python_at(
        &self,
        placement: &Placement,
        target: Target,
        task: &Task,
    ) -> Result<Interpreter, Failure> {
        let local = self.local.as_ref().ok();
        let program = program(&self.options.python, local, placement);
        let again = self.options.refresh || self.options.rebuild;
        let job = question(&program, placement, target, again);
        // The executor knows, too, but takes longer to start than to answer.
        let key = memory_key(placement, &job);
        let place = Place { program: &program, placement, target };
        if let Some((known, _)) = key.filter(|_| !again).and_then(|key| self.cache.read("pythons", key)) {
            place.check(&known, &self.options.python)?;
            return Ok(known);
        }
        task.stage(&format!("asking {program} of {target} about itself"));
        let client = self.executor.client(target)?;
        let ended = client.run(&job, false, self.interrupt.cancellation(), |_| ());
        self.interrupt.check()?;
        let finished = ended.map_err(|error| place.unreachable(error))?;
        let found = place.answer(&finished)?;
        place.check(&found, &self.options.python)?;
        if let Some(key) = key {
            self.cache.write("pythons", key, &found)?;
        }
        Ok(found)
    }
}

/// The action that asks. In its key is what says that another Python may have come.
fn question(program: &str, placement: &Placement, target: Target, again: bool) -> Job {
    let salt = match placement {
        Placement::Root(root) => {
            KeyBuilder::default().part("root", &root.stamp).part("program", root.stamp_of(program))
        }
        Placement::Here | Placement::Remote(_) => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            KeyBuilder::default().part("day", (now.as_secs() / DAY).to_string())
        }
    };
    Job {
        arguments: [program].into_iter().chain(QUESTION).map(str::to_owned).collect(),
        environment: [("PATH".to_owned(), SYSTEM_PATH.to_owned())].into(),
        platform: placement.platform(target),
        timeout: Some(TIMEOUT),
        salt: salt.finish().to_string().into_bytes(),
        skip_cache: again,
        mnemonic: "PythonFacts".to_owned(),
        target: target.to_string(),
        ..Job::default()
    }
}

/// Under what the answer to `job` is remembered. Of workers elsewhere it is not: one server's are not another's.
fn memory_key(placement: &Placement, job: &Job) -> Option<Sha256> {
    let is_root = matches!(placement, Placement::Root(_));
    let key = KeyBuilder::default().part("crosswheel", RELEASE).part("question", job.digest().hex());
    is_root.then(|| key.finish())
}

/// What to start there for the `requested` Python (a version, a command or a path). A path names a Python of this
/// machine, which is `local` then, if it does not happen to be one there, too.
fn program(requested: &str, local: Option<&Interpreter>, placement: &Placement) -> String {
    if let Placement::Remote(remote) = placement
        && let Some(python) = &remote.python
    {
        return python.clone();
    }
    if requested.contains('/') {
        let is_there = matches!(placement, Placement::Root(root) if root.has(Path::new(requested)));
        return match local {
            Some(local) if !is_there => format!("python{}.{}", local.version.0, local.version.1),
            _ => requested.to_owned(),
        };
    }
    let version = requested.parse::<PythonVersion>().ok();
    match version.as_ref().map(PythonVersion::parts) {
        Some([major]) => format!("python{major}"),
        Some([major, minor, ..]) => format!("python{major}.{minor}"),
        _ => requested.to_owned(),
    }
}

/// The Python that was asked.
struct Place<'a> {
    program: &'a str,
    placement: &'a Placement,
    target: Target,
}

impl Place<'_> {
    fn answer(&self, finished: &Finished) -> Result<Interpreter, Failure> {
        if finished.exit_code == 127 {
            return Err(self.failure(format!("there is no {}", self.program)));
        }
        if finished.exit_code != 0 {
            let how = match finished.message.as_str() {
                "" => format!("ended with exit code {}", finished.exit_code),
                message => format!("did not answer: {message}"),
            };
            let mut failure = self.failure(format!("{} {how}", self.program));
            failure.evidence = last_lines(&finished.stderr_tail, TAIL);
            return Err(failure);
        }
        Interpreter::from_answer(&finished.stdout)
            .map_err(|problem| self.failure(format!("{}: {problem}", self.program)))
    }

    /// Whether it is the Python that was `requested`, and one of the target's platform.
    fn check(&self, found: &Interpreter, requested: &str) -> Result<(), Failure> {
        if found.target() != self.target {
            let message = format!(
                "{} is a Python of {}, which cannot build for {}",
                self.program,
                found.target(),
                self.target
            );
            let failure = self.failure(message);
            return Err(match self.placement {
                Placement::Remote(_) => failure.with_hint(
                    "the server has workers that say they are of another platform than they are: see the properties of its pools",
                ),
                Placement::Here | Placement::Root(_) => failure,
            });
        }
        let is_named = matches!(self.placement, Placement::Remote(remote) if remote.python.is_some());
        match requested.parse() {
            Ok(version) if !is_named && !found.has_version(&version) => Err(self.failure(format!(
                "{} is Python {}, and {requested} is requested",
                self.program,
                found.version_text()
            ))),
            _ => Ok(()),
        }
    }

    fn failure(&self, message: String) -> Failure {
        let failure = Failure::new(FailureClass::InvalidSource, message)
            .within(self.placement.whereabouts(self.target).unwrap_or_else(|| "here".into()));
        match self.placement {
            Placement::Root(_) => failure.with_hint("install it in there, or name another with --python"),
            Placement::Here | Placement::Remote(_) => {
                failure.with_hint("name one that is there with --python or --remote-python")
            }
        }
    }

    fn unreachable(&self, error: ClientError) -> Failure {
        let attempt = format!("cannot ask {} of {} about itself", self.program, self.target);
        Failure::from(error).within(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::targets::placement::RemotePlacement;
    use crate::build::targets::target_root::TargetRoot;

    fn remote(python: Option<&str>) -> Placement {
        let python = python.map(str::to_owned);
        Placement::Remote(RemotePlacement { python, properties: Vec::new() })
    }

    fn root(directory: &Path, stamp: &str) -> Placement {
        let directory = directory.to_owned();
        Placement::Root(TargetRoot { directory, stamp: stamp.into(), cross_compiler: None })
    }

    fn local() -> Interpreter {
        Interpreter::find("3", tempfile::tempdir().unwrap().path()).unwrap()
    }

    fn finished(exit_code: i32, stdout: &[u8]) -> Finished {
        Finished {
            exit_code,
            stdout: stdout.to_vec().into(),
            stderr_tail: "last words\n".into(),
            outputs: Vec::new(),
            cached: false,
            message: String::new(),
            result: Default::default(),
        }
    }

    #[test]
    fn versions_are_commands_there_and_paths_are_not_taken_along() {
        let local = local();
        for (requested, there) in
            [("3", "python3"), ("3.11", "python3.11"), ("3.11.7", "python3.11"), ("python3.12", "python3.12")]
        {
            assert_eq!(program(requested, Some(&local), &remote(None)), there);
            assert_eq!(program(requested, None, &remote(None)), there);
        }
        let same_version = format!("python3.{}", local.version.1);
        assert_eq!(program("/opt/python", Some(&local), &remote(None)), same_version);
        assert_eq!(program("/opt/python", None, &remote(None)), "/opt/python");
        assert_eq!(program("3.11", Some(&local), &remote(Some("/usr/bin/pypy"))), "/usr/bin/pypy");
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(directory.path().join("opt")).unwrap();
        fs_err::write(directory.path().join("opt/python"), "").unwrap();
        let root = root(directory.path(), "");
        assert_eq!(program("/opt/python", Some(&local), &root), "/opt/python");
        assert_eq!(program("/opt/other", Some(&local), &root), same_version);
    }

    #[test]
    fn a_root_file_system_that_changed_is_asked_anew() {
        let target = "linux_arm64".parse().unwrap();
        let digest = |stamp: &str| {
            let root = root(Path::new("/srv/root"), stamp);
            question("python3", &root, target, false).digest()
        };
        assert_eq!(digest("one"), digest("one"));
        assert_ne!(digest("one"), digest("another"));
    }

    #[test]
    fn a_python_that_became_another_is_asked_anew() {
        let target = "linux_arm64".parse().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let python = directory.path().join("python");
        let digest = |leads_to: &str| {
            let _ = fs_err::remove_file(&python);
            std::os::unix::fs::symlink(leads_to, &python).unwrap();
            question("/python", &root(directory.path(), ""), target, false).digest()
        };
        assert_ne!(digest("/opt/3.10/python"), digest("/opt/3.10.0/python"));
    }

    #[test]
    fn what_is_no_python_of_the_target_is_refused() {
        let local = local();
        let own = serde_json::to_vec(&local).unwrap();
        let other = Target { arch: local.target().arch.other() };
        let placement = remote(None);
        let ask = |target, exit_code, stdout: &[u8], requested: &str| {
            let place = Place { program: "python3", placement: &placement, target };
            place.answer(&finished(exit_code, stdout)).and_then(|found| place.check(&found, requested))
        };
        ask(local.target(), 0, &own, "3").unwrap();
        let message = |target, exit_code, stdout, requested| {
            let failure: Failure = ask(target, exit_code, stdout, requested).unwrap_err();
            assert_eq!(failure.class, FailureClass::InvalidSource);
            assert!(failure.message.starts_with("on the worker"), "{failure}");
            failure.message
        };
        assert!(message(local.target(), 127, b"", "3").ends_with("there is no python3"));
        assert!(message(local.target(), 1, b"", "3").ends_with("ended with exit code 1"));
        assert!(message(local.target(), 0, b"{}", "3").contains("cannot be read"));
        assert!(message(local.target(), 0, &own, "3.2").ends_with("and 3.2 is requested"));
        assert!(message(other, 0, &own, "3").contains(&format!("cannot build for {other}")));
    }
}

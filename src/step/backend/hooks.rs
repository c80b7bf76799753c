//! Runs the hooks of a PEP 517 backend: starts the process, talks to it over a socket pair,
//! streams its output, and ends all of its tree. Knows nothing of how the tree is isolated, nor
//! what a wheel looks like.
//!
//! The conversation (the other side is `run_backend.py`): settings → `requires` ← , then `build` → and
//! `built` ←. Anything may be cut short by `failed` or by the end of the process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufReader, PipeReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::kept_log::KeptLog;
use super::message;
use crate::cancellation::Cancellation;
use crate::deadline;
use crate::sandbox::{
    Bind, Exit, PreparedSandbox, ProcessTree, ResourceLimits, RootFileSystem, SandboxError, Spec,
};
use crate::step::diagnosis::HookError;
use crate::step::source::project::BuildSystem;

/// The script that calls the hooks, run by the venv's Python.
pub const SCRIPT: &str = include_str!("run_backend.py");

/// PEP 517 `config_settings`: each key with the values given for it, in order.
pub type ConfigSettings = BTreeMap<String, Vec<String>>;

/// The hooks of a step: first what is required, then what makes the file (PEP 517).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// `get_requires_for_build_wheel` and `build_wheel`.
    Wheel,
    /// `get_requires_for_build_sdist` and `build_sdist`.
    Sdist,
}

impl Hooks {
    /// What they make, as their names have it.
    pub const fn product(self) -> &'static str {
        match self {
            Self::Wheel => "wheel",
            Self::Sdist => "sdist",
        }
    }

    /// The hook that says what is required.
    pub const fn requires(self) -> &'static str {
        match self {
            Self::Wheel => "get_requires_for_build_wheel",
            Self::Sdist => "get_requires_for_build_sdist",
        }
    }
}

/// Everything that decides what a backend does. Paths are as the build sees them, unless said otherwise.
pub struct BackendCall<'a> {
    /// Which hooks are called.
    pub hooks: Hooks,
    /// Who hooks are asked of.
    pub build_system: &'a BuildSystem,
    /// Passed to every hook.
    pub config_settings: &'a ConfigSettings,
    /// The venv's Python.
    pub python: PathBuf,
    /// [`SCRIPT`], as a file.
    pub script: PathBuf,
    /// Top directory of the source tree; the hooks' working directory.
    pub source: PathBuf,
    /// Where the file goes that they make.
    pub output: PathBuf,
    /// The complete environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// What is mounted where, if the sandbox mounts.
    pub binds: Vec<Bind>,
    /// Paths of the host the build reads.
    pub visible_host_paths: Vec<PathBuf>,
    /// How long all hooks together may take.
    pub timeout: Option<Duration>,
    /// Where the log is kept, on the host.
    pub log: &'a Path,
}

/// How a conversation with a backend ended.
#[derive(Debug)]
pub enum Conversation {
    /// The hook returned this file name.
    Built(String),
    /// The requirements were turned down by the caller.
    Refused,
    /// A hook raised.
    Failed(HookError),
    /// The process ended without an answer.
    HungUp,
}

/// What became of a backend.
#[derive(Debug)]
pub struct BackendRun {
    /// What was said.
    pub conversation: Conversation,
    /// What the backend requires; none if it came to no answer.
    pub requires: Option<Vec<String>>,
    /// How the tree ended, and what it used.
    pub exit: Exit,
    /// From the start to the answer of what is required, imports included.
    pub requires_time: Duration,
    /// From then to the end.
    pub build_time: Duration,
}

/// Why the backend could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Its process tree could not be started or watched.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The socket pair, the pipe or the log failed.
    #[error("its output cannot be kept: {0}")]
    Io(#[from] io::Error),
}

enum Event {
    Requires(Vec<String>),
    Built(String),
    Failed(HookError),
}

impl Event {
    fn parse(mut fields: Vec<String>) -> Option<Self> {
        let name = fields.remove(0);
        match (name.as_str(), fields.as_slice()) {
            ("requires", _) => Some(Self::Requires(fields)),
            ("built", [wheel]) => Some(Self::Built(wheel.clone())),
            ("failed", [stage, kind, text, module @ ..]) => {
                let [stage, kind, text] = [stage, kind, text].map(String::clone);
                Some(Self::Failed(HookError { stage, kind, text, module: module.first().cloned() }))
            }
            ("killed", [stage, signal]) => {
                let text = format!("killed by signal {signal}");
                let (stage, kind) = (stage.clone(), "Killed".into());
                Some(Self::Failed(HookError { stage, kind, text, module: None }))
            }
            _ => None,
        }
    }
}

impl BackendCall<'_> {
    /// Runs the hooks to their end. `accept` sees what the backend requires and
    /// says whether all of it is installed; if not, nothing is built. All output is copied to
    /// `output` as it comes. What is returned of the process tree is what has to be torn down, which takes
    /// a moment when it is dropped; nothing of it runs any more.
    pub fn run(
        self,
        sandbox: PreparedSandbox,
        cancellation: &Cancellation,
        output: &mut (dyn Write + Send),
        accept: impl FnOnce(&[String]) -> bool + Send,
    ) -> Result<(BackendRun, ProcessTree), BackendError> {
        let started = Instant::now();
        let (ours, theirs) = UnixStream::pair()?;
        let (log_reader, log_writer) = io::pipe()?;
        let settings = self.settings();
        let mut tree = sandbox.spawn(Spec {
            argv: vec![self.python.into(), self.script.into()],
            env: self.environment,
            working_directory: self.source,
            binds: self.binds,
            root: RootFileSystem::Host,
            overlays: Vec::new(),
            visible_host_paths: self.visible_host_paths,
            stdin: Some(OwnedFd::from(theirs)),
            stdout: OwnedFd::from(log_writer),
            stderr: None,
            network: false,
            limits: ResourceLimits::default(),
        })?;
        cancellation.watch(tree.killer());
        let deadline = self.timeout.map(|timeout| deadline::after(started, timeout));
        std::thread::scope(|scope| {
            // Without threads to give, starting one is an error, and dropping the tree ends it.
            let thread = |name: &str| std::thread::Builder::new().name(name.into());
            let talk = thread("backend").spawn_scoped(scope, move || converse(ours, &settings, accept))?;
            let log = thread("log").spawn_scoped(scope, || copy_log(log_reader, self.log, output))?;
            let exit = tree.wait_for_end(deadline)?;
            let talk = talk.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            log.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            let requires_end = talk.requires_at.unwrap_or_else(Instant::now);
            let run = BackendRun {
                conversation: talk.conversation,
                requires: talk.requires,
                exit,
                requires_time: requires_end.saturating_duration_since(started),
                build_time: requires_end.elapsed(),
            };
            Ok((run, tree))
        })
    }

    /// What to make, the backend, the output directory, the number of entries of `backend-path` and the entries; then,
    /// for each config setting, its key, the number of its values and the values.
    fn settings(&self) -> Vec<Vec<u8>> {
        let BuildSystem { backend, backend_path, .. } = self.build_system;
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let number = |number: usize| number.to_string().into_bytes();
        let product = self.hooks.product().as_bytes().to_vec();
        let mut fields =
            vec![product, backend.clone().into_bytes(), bytes(&self.output), number(backend_path.len())];
        fields.extend(backend_path.iter().map(|path| bytes(path)));
        for (key, values) in self.config_settings {
            fields.extend([key.clone().into_bytes(), number(values.len())]);
            fields.extend(values.iter().map(|value| value.clone().into_bytes()));
        }
        fields
    }
}

struct Talk {
    conversation: Conversation,
    requires: Option<Vec<String>>,
    requires_at: Option<Instant>,
}

/// Our side of the conversation. Trouble with the socket means that the process is gone.
fn converse(channel: UnixStream, settings: &[Vec<u8>], accept: impl FnOnce(&[String]) -> bool) -> Talk {
    let mut talk = Talk { conversation: Conversation::HungUp, requires: None, requires_at: None };
    let mut channel = BufReader::new(channel);
    if message::write(channel.get_mut(), settings).is_err() {
        return talk;
    }
    let mut accept = Some(accept);
    // None, too, when the build itself writes to the channel.
    while let Some(event) = message::read(&mut channel).and_then(Event::parse) {
        match event {
            Event::Requires(requires) => {
                talk.requires_at = Some(Instant::now());
                let accepted = accept.take().is_some_and(|accept| accept(&requires));
                talk.requires = Some(requires);
                if !accepted {
                    talk.conversation = Conversation::Refused;
                    return talk;
                }
                if message::write(channel.get_mut(), &["build"]).is_err() {
                    return talk;
                }
            }
            Event::Built(wheel) => {
                talk.conversation = Conversation::Built(wheel);
                return talk;
            }
            Event::Failed(error) => {
                talk.conversation = Conversation::Failed(error);
                return talk;
            }
        }
    }
    talk
}

fn copy_log(mut log: PipeReader, kept: &Path, output: &mut (dyn Write + Send)) -> io::Result<()> {
    let mut kept = KeptLog::create(kept)?;
    let mut buffer = [0; 16 * 1024];
    let mut listening = true;
    loop {
        let count = match log.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        kept.add(&buffer[..count])?;
        // A reader that has gone away must not stop the build.
        listening = listening && output.write_all(&buffer[..count]).and_then(|()| output.flush()).is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting::Lines;

    fn talk_to(answers: &str, accepted: bool) -> (Talk, String) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answers.as_bytes()).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let talk = converse(ours, &[b"settings".to_vec()], |_| accepted);
        (talk, Lines::of("our side of the talk", theirs).rest())
    }

    const REQUIRES: &str = "15\nrequires\0cython";

    #[test]
    fn build_is_only_said_once_the_requirements_are_accepted() {
        let (talk, said) = talk_to(&format!("{REQUIRES}11\nbuilt\0a.whl"), true);
        assert!(matches!(talk.conversation, Conversation::Built(name) if name == "a.whl"));
        assert_eq!(said, "8\nsettings5\nbuild");
        let (talk, said) = talk_to(REQUIRES, false);
        assert!(matches!(talk.conversation, Conversation::Refused));
        assert_eq!(talk.requires.unwrap(), ["cython"]);
        assert_eq!(said, "8\nsettings");
    }

    #[test]
    fn silence_and_nonsense_are_a_hang_up() {
        for answers in ["", "x\n", "5\nother", "5\nbuilt", "20\nrequires\0cython"] {
            assert!(matches!(talk_to(answers, true).0.conversation, Conversation::HungUp), "{answers}");
        }
    }
}

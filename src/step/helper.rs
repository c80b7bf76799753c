//! Programs of the host that are asked something on the way to a build: an interpreter what it is, a compiler its version,
//! Python for byte code. Whoever asks for a build chooses them, so where a sandbox is required they run in one of their
//! own, in which nothing of the cache is to be seen but what they are to write. Knows nothing of what they are asked.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::contract::SandboxMode;
use crate::deadline;
use crate::packaging::interpreter::{Interpreter, InterpreterError, QUESTION, no_answer};
use crate::platform::SYSTEM_PATH;
use crate::sandbox::{
    Bind, Outcome, OwnExecutable, ResourceLimits, RootFileSystem, Sandbox, SandboxError, Spec,
};

/// Where a helper sees the directory that it may write to.
const WORK: &str = "/crosswheel";

/// What a helper may say; it has a few kilobytes to say.
const MOST_OUTPUT: u64 = 4 << 20;

/// How long a helper may take: byte-compiling the largest wheels there are takes an emulated Python some minutes.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How helpers run.
#[derive(Clone, Debug, Default)]
pub struct Helpers(Option<Arc<Confinement>>);

/// A sandbox for helpers, made when the first one comes.
#[derive(Debug)]
struct Confinement {
    /// Not to be seen.
    cache: PathBuf,
    sandbox: OnceLock<Sandbox>,
}

/// A program that is asked something.
#[derive(Debug)]
pub struct Helper<'a> {
    /// The program: an absolute path.
    pub program: &'a Path,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// Its environment; the system's PATH is added if there is none.
    pub environment: Vec<(OsString, OsString)>,
    /// The directory it works in and may write to.
    pub directory: Option<&'a Path>,
    /// What it reads.
    pub input: Vec<u8>,
    /// Directories of the host it needs.
    pub visible: Vec<PathBuf>,
}

/// What a helper has answered.
#[derive(Debug)]
pub struct Answered {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
}

impl Helpers {
    /// Those of a build whose sandbox is `mode` and whose cache is `cache`.
    pub fn of_build(mode: SandboxMode, cache: &Path) -> Self {
        let confined = mode == SandboxMode::Required;
        Self(confined.then(|| Arc::new(Confinement { cache: cache.to_owned(), sandbox: OnceLock::new() })))
    }

    /// Runs a helper to its end.
    ///
    /// # Errors
    /// If it cannot be started or listened to.
    pub fn run(&self, helper: Helper) -> io::Result<Answered> {
        match &self.0 {
            None => run_as_we_are(helper),
            Some(confinement) => {
                let started = confinement.sandbox().and_then(|sandbox| run_in(sandbox, helper));
                started.map_err(|error| match error {
                    RunError::Io(error) => error,
                    RunError::Sandbox(error) => io::Error::other(error),
                })
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl Confinement {
    fn sandbox(&self) -> Result<&Sandbox, RunError> {
        if let Some(sandbox) = self.sandbox.get() {
            return Ok(sandbox);
        }
        // What is not there cannot be hidden.
        fs_err::create_dir_all(&self.cache)?;
        let hidden = [self.cache.clone()];
        let made = Sandbox::detect_hiding(SandboxMode::Required, OwnExecutable::running()?, &hidden)?;
        Ok(self.sandbox.get_or_init(|| made))
    }
}

fn run_as_we_are(helper: Helper) -> io::Result<Answered> {
    let mut command = Command::new(helper.program);
    command.args(&helper.arguments).env_clear().env("PATH", SYSTEM_PATH);
    command.envs(helper.environment).current_dir(helper.directory.unwrap_or(Path::new("/")));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        // One that dies early is known by its status, not by the broken pipe.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&helper.input)));
        let output = child.wait_with_output()?;
        Ok(Answered { status: output.status, stdout: output.stdout, stderr: output.stderr })
    })
}

fn run_in(sandbox: &Sandbox, helper: Helper) -> Result<Answered, RunError> {
    let (stdin, mut input) = io::pipe()?;
    let (mut output, stdout) = io::pipe()?;
    let (mut errors, stderr) = io::pipe()?;
    let path = (OsString::from("PATH"), OsString::from(SYSTEM_PATH));
    let bind = helper.directory.map(|directory| Bind {
        host: directory.to_owned(),
        inside: WORK.into(),
        writable: true,
    });
    let argv = std::iter::once(helper.program.into()).chain(helper.arguments);
    let tree = sandbox.spawn(Spec {
        argv: argv.collect(),
        env: [path].into_iter().chain(helper.environment).collect(),
        working_directory: if bind.is_some() { WORK.into() } else { "/".into() },
        binds: bind.into_iter().collect(),
        root: RootFileSystem::Host,
        overlays: Vec::new(),
        visible_host_paths: helper.visible,
        stdin: Some(OwnedFd::from(stdin)),
        stdout: stdout.into(),
        stderr: Some(stderr.into()),
        network: false,
        limits: ResourceLimits::default(),
    })?;
    let deadline = deadline::after(Instant::now(), PATIENCE);
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(&helper.input));
        let stdout = scope.spawn(move || read_all(&mut output));
        let stderr = scope.spawn(move || read_all(&mut errors));
        let exit = tree.wait(Some(deadline))?;
        let joined = [stdout, stderr].map(|thread| thread.join().unwrap_or_default());
        let [stdout, stderr] = joined;
        let status = match exit.outcome {
            Outcome::Code(code) => ExitStatus::from_raw((code & 0xff) << 8),
            Outcome::Signal(signal) => ExitStatus::from_raw(signal),
        };
        Ok(Answered { status, stdout, stderr })
    })
}

/// All that fits; the rest is read, too, so that nobody waits for us.
fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.by_ref().take(MOST_OUTPUT).read_to_end(&mut bytes);
    let _ = io::copy(stream, &mut io::sink());
    bytes
}

/// Finds the interpreter that `requested` names, as [`Interpreter::find`] does.
///
/// # Errors
/// Those of [`Interpreter::find`].
pub fn find_interpreter(
    requested: &str,
    cache: &Path,
    helpers: &Helpers,
) -> Result<Interpreter, InterpreterError> {
    match &helpers.0 {
        None => Interpreter::find(requested, cache),
        Some(_) => Interpreter::find_asking(requested, cache, &|path: &Path| ask_interpreter(path, helpers)),
    }
}

fn ask_interpreter(path: &Path, helpers: &Helpers) -> Result<Vec<u8>, String> {
    let real = fs_err::canonicalize(path).map_err(|error| error.to_string())?;
    let helper = Helper {
        program: path,
        arguments: QUESTION.map(Into::into).to_vec(),
        // Scripts in the place of interpreters choose one by it.
        environment: std::env::vars_os()
            .filter(|(name, _)| name != "PYTHONHOME" && name != "PYTHONPATH")
            .collect(),
        directory: None,
        input: Vec::new(),
        visible: [path, &real].map(installation_of).into_iter().flatten().collect(),
    };
    let answered = helpers.run(helper).map_err(|error| format!("it does not start: {error}"))?;
    if answered.status.success() {
        Ok(answered.stdout)
    } else {
        Err(no_answer(answered.status, &answered.stderr))
    }
}

/// What an interpreter at `path` is likely to need: the directory of its `bin`.
fn installation_of(path: &Path) -> Option<PathBuf> {
    let directory = path.parent()?;
    let above = directory.parent().filter(|above| above.components().count() > 2);
    above.filter(|_| directory.ends_with("bin")).or(Some(directory)).map(Path::to_owned)
}

//! What the tests share: starting commands and looking for processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::PipeReader;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crosswheel::contract::SandboxMode;
use crosswheel::sandbox::{
    Bind, Exit, Outcome, ProcessTree, ResourceLimits, RootFileSystem, Sandbox, SandboxError, Spawner, Spec,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::waiting::{DEADLINE, InTime, Lines, in_time};

pub const CROSSWHEEL: &str = env!("CARGO_BIN_EXE_crosswheel");

/// Where a test that [`again_as_nobody`] repeats finds a copy of the program that nobody can execute.
const COPY: &str = "CROSSWHEEL_TEST_COPY";

/// With namespaces.
pub fn full() -> Sandbox {
    let init = std::env::var_os(COPY).unwrap_or(CROSSWHEEL.into());
    Sandbox::detect(SandboxMode::Required, PathBuf::from(init).into())
        .unwrap_or_else(|error| panic!("this test needs a host that allows namespaces: {error}"))
}

/// Without.
pub fn plain() -> Sandbox {
    let sandbox = Sandbox::detect(SandboxMode::Off, CROSSWHEEL.into()).unwrap();
    assert!(!sandbox.isolation().namespaces);
    sandbox
}

/// This test's own program, to run this one test again.
pub fn again(program: &Path) -> Command {
    let name = std::thread::current().name().expect("tests run on threads that have their names").to_owned();
    let mut command = Command::new(program);
    command.args(["--exact", &name, "--nocapture", "--test-threads=1"]);
    command
}

/// Runs this test again in a process of its own, and is `false`, unless it is there already. There it may have as many
/// descriptors as the machine gives to anybody.
pub fn alone() -> bool {
    const ALONE: &str = "CROSSWHEEL_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
        return true;
    }
    let output = again(&std::env::current_exe().unwrap()).env(ALONE, "yes").output_in_time();
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "in a process of its own: {text}");
    false
}

/// Runs this test again as an unprivileged user, if it is root who runs it.
pub fn again_as_nobody() {
    again_as_nobody_after("true");
}

/// As [`again_as_nobody`], in a mount namespace in which root has run a script before.
pub fn again_as_nobody_after(script: &str) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs_err::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    // The build directory may be one that nobody else can enter.
    let [itself, crosswheel] = ["test", "crosswheel"].map(|name| directory.path().join(name));
    fs_err::copy(std::env::current_exe().unwrap(), &itself).unwrap();
    fs_err::copy(CROSSWHEEL, &crosswheel).unwrap();
    let test = again(&itself);
    let script = format!("set -e; mount --make-rprivate /; {script}; exec \"$@\"");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh", "setpriv"])
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&itself)
        .args(test.get_args())
        .env(COPY, &crosswheel)
        .current_dir("/")
        .output_in_time();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "as nobody: {text}");
}

/// A specification and the end of the pipe that the command writes to.
pub struct Prepared {
    pub spec: Spec,
    pub output: PipeReader,
}

pub fn command<S: Into<OsString>>(argv: impl IntoIterator<Item = S>) -> Prepared {
    let (output, writer) = std::io::pipe().unwrap();
    let spec = Spec {
        argv: argv.into_iter().map(Into::into).collect(),
        env: BTreeMap::from([("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())]),
        working_directory: "/".into(),
        binds: Vec::new(),
        root: RootFileSystem::Host,
        overlays: Vec::new(),
        visible_host_paths: Vec::new(),
        stdin: None,
        stdout: writer.into(),
        stderr: None,
        network: false,
        limits: ResourceLimits::default(),
    };
    Prepared { spec, output }
}

pub fn sh(script: &str) -> Prepared {
    command(["sh", "-c", script])
}

/// A Python program; `argument` ends up in its command line, where [`processes_with`](crate::support::processes::processes_with) finds it.
pub fn python(program: &str, argument: &str) -> Prepared {
    command(["python3", "-c", program, argument])
}

/// What commands are started by.
pub trait Spawn {
    fn spawn(&self, spec: Spec) -> Result<ProcessTree, SandboxError>;
}

impl Spawn for Sandbox {
    fn spawn(&self, spec: Spec) -> Result<ProcessTree, SandboxError> {
        self.spawn(spec)
    }
}

impl Spawn for Spawner {
    fn spawn(&self, spec: Spec) -> Result<ProcessTree, SandboxError> {
        self.spawn(spec)
    }
}

impl Prepared {
    pub fn with(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        self
    }

    pub fn writable(self, host: &Path, inside: &str) -> Self {
        let bind = Bind { host: host.to_owned(), inside: inside.into(), writable: true };
        self.with(|spec| spec.binds.push(bind))
    }

    pub fn start(self, sandbox: &impl Spawn) -> Result<Running, SandboxError> {
        let called = format!("{:?}", self.spec.argv);
        let tree = in_time(&format!("the start of {called}"), || sandbox.spawn(self.spec))?;
        Ok(Running { tree, output: Lines::of(&called, self.output) })
    }

    /// Runs to the end.
    pub fn run(self, sandbox: &impl Spawn) -> (Exit, String) {
        let mut running = self.start(sandbox).unwrap();
        let output = running.output.rest();
        (end_of(running.tree).unwrap(), output)
    }

    /// Runs to the end, which must be a good one, and returns what was written.
    pub fn output(self, sandbox: &impl Spawn) -> String {
        let (exit, output) = self.run(sandbox);
        assert_eq!(exit.outcome, Outcome::Code(0), "{output}");
        output
    }
}

pub struct Running {
    pub tree: ProcessTree,
    pub output: Lines<PipeReader>,
}

impl Running {
    /// Waits until the command has written a line.
    pub fn line(&mut self) -> String {
        self.output.next().unwrap_or_default()
    }
}

/// How a command ends that does so by itself, or is killed by somebody else.
#[track_caller]
pub fn end_of(tree: ProcessTree) -> Result<Exit, SandboxError> {
    let ended = tree.wait(Some(Instant::now() + DEADLINE));
    let late = ended.as_ref().is_ok_and(|exit| exit.timed_out);
    assert!(!late, "waited {DEADLINE:?} for the end of a command, in vain");
    ended
}

/// Starts a daemon (new session, parent gone), says `ready` when it runs, and goes on with the program after
/// it.
pub const DAEMON: &str = "
import os, sys, time
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(tell, b'.')
        while True: time.sleep(1000)
    os._exit(0)
os.wait()
os.read(ready, 1)
print('ready', flush=True)
";

/// Makes a daemon that outlives its parents.
pub fn daemon(then: &str, token: &str) -> Prepared {
    python(&format!("{DAEMON}{then}"), token)
}

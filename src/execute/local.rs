//! Runs actions on this machine. Knows nothing of who asked, and of who wants to know when what happened.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::io::Errno;

use super::command::Command;
use super::error::ExecuteError;
use super::exec_root::{ExecRoot, Staging};
use super::input::{InputDirectory, Source};
use super::kept::Kept;
use super::logs::{Log, LogReader};
use super::outputs::{self, Collecting, LeftExecRoot};
use super::own_binary::step_caches::{StepCache, StepCaches};
use super::own_binary::wheel_action;
use super::own_binary::wheel_action::{OwnBinary, OwnBinarySettings, View};
use super::quota::{ActionLimits, Effort, Exceeded, Limits, Stopper, platform_properties};
use super::resource_usage::{ResourceUsage, duration};
use super::shared_files::SharedFiles;
use super::stage_times::{Moment, Stage};
use super::work::{Execute, Executed, Observer, Work};
use crate::cancellation::{Cancellation, HangUp};
use crate::contract::{CACHE_VARIABLE, CROSS_CC_VARIABLE};
use crate::deadline;
use crate::digest::Digest;
use crate::platform::SYSTEM_PATH;
use crate::reapi::{ActionResult, ExecutedActionMetadata};
use crate::sandbox::{
    Bind, Exit, FileSystemType, MetLimit, NetworkIsolation, Outcome, ProgramFault, RootFileSystem,
    SandboxError, SetUpCause, SetUpFailure, SetUpStep, Spawner, Spec,
};

/// What the actions of a pool see.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// What they see as `/`. Without namespaces that is always the host's.
    pub root: RootFileSystem,
    /// Whether they may use the host's network.
    pub network: bool,
    /// What each of them may take of the disk.
    pub limits: ActionLimits,
    /// For actions that run crosswheel itself.
    pub own_binary: OwnBinarySettings,
}

/// Where `crosswheel wheel` makes the directories of its builds, in its cache.
const WORK: &str = "work";

/// Runs actions in a sandbox on this machine.
#[derive(Debug)]
pub struct LocalExecutor {
    files: Arc<SharedFiles>,
    spawner: Arc<Spawner>,
    settings: LocalSettings,
    /// For actions that run crosswheel.
    step_caches: Option<StepCaches>,
    /// Overlays can be had on this host, but not with the store's file system.
    no_overlays_here: AtomicBool,
}

impl LocalExecutor {
    /// An executor for one pool. Any number of actions run at a time.
    pub fn new(files: Arc<SharedFiles>, spawner: Arc<Spawner>, settings: LocalSettings) -> Self {
        let OwnBinarySettings { cache, trusted, .. } = &settings.own_binary;
        let step_caches = cache.clone().map(|cache| StepCaches::new(cache, *trusted));
        Self { files, spawner, settings, step_caches, no_overlays_here: AtomicBool::new(false) }
    }
}

impl Execute for LocalExecutor {
    fn execute(
        &self,
        work: &Work,
        observer: &dyn Observer,
        cancellation: &Cancellation,
    ) -> Result<Executed, ExecuteError> {
        observer.stage(Stage::FetchingInputs, Moment::now());
        let command = Command::new(&work.command)?;
        let hang_up = HangUp::default();
        let fetching = self.files.fetching(&work.instance_name, &hang_up);
        if fetching.is_some() {
            cancellation.watch(hang_up.clone());
        }
        let source = Source { store: &self.files.store, fetching: fetching.as_ref(), cancellation };
        let inputs = self.inputs(work, &source)?;
        let root =
            if self.spawner.isolation().namespaces { &self.settings.root } else { &RootFileSystem::Host };
        let view = View { root, hidden: self.spawner.hidden() };
        let own_binary = OwnBinary::recognise(&command, &inputs, view)?;
        let step_cache = self.step_cache(work, own_binary.as_ref())?;
        let limits = Limits::of(&self.settings.limits, platform_properties(&work.action, &work.command))?;
        let run = Run {
            executor: self,
            work,
            observer,
            cancellation,
            hang_up: &hang_up,
            source,
            command,
            inputs,
            own_binary,
            step_cache,
            limits,
        };
        run.run_somehow()
    }
}

impl LocalExecutor {
    fn inputs(&self, work: &Work, source: &Source<'_>) -> Result<Arc<InputDirectory>, ExecuteError> {
        let function = work.action_digest.function;
        let root = Digest::from_field(function, work.action.input_root_digest.as_ref())
            .map_err(|error| ExecuteError::invalid("action.input_root_digest", error.to_string()))?;
        self.files.reader.read(&root, source)
    }

    /// The cache that an action shares with others, if it runs crosswheel and may.
    fn step_cache(
        &self,
        work: &Work,
        own_binary: Option<&OwnBinary>,
    ) -> Result<Option<StepCache<'_>>, ExecuteError> {
        let namespaces = self.spawner.isolation().namespaces;
        let shares = match own_binary {
            None => false,
            Some(_) if self.settings.own_binary.trusted => true,
            Some(own_binary) => namespaces && *own_binary == OwnBinary::Shared,
        };
        let caches = self.step_caches.as_ref().filter(|_| shares);
        let cache = caches.map(|caches| caches.of(&work.instance_name, &self.files.scratch)).transpose();
        cache.map_err(ExecuteError::io("make the cache of `crosswheel wheel`"))
    }

    fn has_overlays(&self) -> bool {
        self.spawner.isolation().overlays && !self.no_overlays_here.load(Ordering::Relaxed)
    }

    /// Whether a command can hand open files to nobody but its own processes, which die with it. Sockets with
    /// abstract names belong to the network: whoever shares the host's reaches those of all of the host.
    fn closes_off(&self) -> bool {
        let isolation = self.spawner.isolation();
        let own_network = !self.settings.network && isolation.network == NetworkIsolation::Namespace;
        isolation.namespaces && own_network
    }
}

/// What the kernel says of an overlay on a file system that is an overlay itself, or that lacks what one needs. A
/// shortage of memory, say, is no reason never to try again.
fn is_about_the_file_system(refusal: &SetUpFailure) -> bool {
    let SetUpStep::MountNew { file_system: FileSystemType::Overlay, .. } = refusal.step else { return false };
    let SetUpCause::Errno(errno) = refusal.cause else { return false };
    [Errno::INVAL, Errno::OPNOTSUPP, Errno::PERM, Errno::NODEV].iter().any(|one| one.raw_os_error() == errno)
}

/// An action that is being run.
struct Run<'a> {
    executor: &'a LocalExecutor,
    work: &'a Work,
    observer: &'a dyn Observer,
    cancellation: &'a Cancellation,
    /// Ends calls to an engine.
    hang_up: &'a HangUp,
    source: Source<'a>,
    command: Command,
    inputs: Arc<InputDirectory>,
    own_binary: Option<OwnBinary>,
    step_cache: Option<StepCache<'a>>,
    limits: Limits,
}

/// What became of a command.
struct RanCommand {
    ended: Ended,
    /// Where it has left what it made.
    root: OwnedFd,
    logs: [Log; 2],
    exceeded: Option<Exceeded>,
}

/// A command that has been started, or could not be.
enum Ended {
    Exited(Exit, Duration),
    /// Why, and what a shell would exit with.
    NotStarted(String, i32),
}

impl Ended {
    /// The limit for which the sandbox has ended it.
    fn met(&self) -> Option<MetLimit> {
        match self {
            Self::Exited(exit, _) => exit.met,
            Self::NotStarted(..) => None,
        }
    }
}

impl Run<'_> {
    /// Runs it once, but makes up for what an overlay may not get over: a tree that somebody has damaged, or a file
    /// system that overlays cannot be made of, as is that of most containers.
    fn run_somehow(&self) -> Result<Executed, ExecuteError> {
        let overlays = self.executor.has_overlays();
        let ended = self.run(overlays);
        let Err(ExecuteError::Sandbox(SandboxError::SetUp(refusal))) = &ended else { return ended };
        if self.executor.files.trees.is_damaged(&self.inputs) {
            return self.run(overlays);
        }
        if !overlays || !is_about_the_file_system(refusal) {
            return ended;
        }
        let Ok(executed) = self.run(false) else { return ended };
        if !self.executor.no_overlays_here.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "inputs are copied from now on, as overlays do not work with the store: {refusal}"
            );
        }
        Ok(executed)
    }

    fn run(&self, overlays: bool) -> Result<Executed, ExecuteError> {
        self.check_cancelled()?;
        let namespaces = self.executor.spawner.isolation().namespaces;
        let staging = match (overlays, namespaces) {
            (true, _) => Staging::Overlay,
            (false, true) => Staging::Bind,
            (false, false) => Staging::OnTheHost,
        };
        self.hang_up_when_cancelled();
        let exec_root =
            ExecRoot::prepare(&self.executor.files, staging, &self.command, &self.inputs, &self.source)?;
        self.observer.stage(Stage::Running, Moment::now());
        let RanCommand { ended, root, logs, exceeded } = self.run_command(&exec_root)?;
        self.check_cancelled()?;
        self.observer.stage(Stage::UploadingOutputs, Moment::now());
        let exceeded = exceeded.or_else(|| ended.met().map(|met| self.limits.met(met)));
        let mut executed = self.describe(&ended, exceeded);
        let kept = Kept::new(&self.executor.files.store, self.source.fetching.cloned());
        let [stdout, stderr] = logs;
        let stored = self.store_logs(stdout, stderr, &kept, &mut executed);
        if executed.exceeded.is_some() {
            // Its outputs may be just what it has too much of, and there may be no room for its logs.
            let lost = stored.err().map(|_| "there was no room for what it wrote".to_owned());
            self.add_notes(lost.into_iter().collect(), &mut executed.message);
        } else {
            stored?;
            self.collect(&exec_root, &root, &kept, &mut executed)?;
        }
        exec_root.leave(root);
        self.send(&kept)?;
        Ok(executed)
    }

    /// Puts the outputs into the store, within the limits for that.
    fn collect(
        &self,
        exec_root: &ExecRoot,
        root: &OwnedFd,
        kept: &Kept,
        executed: &mut Executed,
    ) -> Result<(), ExecuteError> {
        let left = LeftExecRoot {
            root,
            own: exec_root.own(),
            inputs: exec_root.inputs_below(),
            closed_off: self.executor.closes_off(),
        };
        let collecting = Collecting {
            left: &left,
            kept,
            function: self.work.action_digest.function,
            limit: self.limits.output,
            most_entries: self.limits.output_entries,
            effort: Effort::start(self.limits.collect_timeout, self.cancellation),
        };
        let lenient = !executed.is_cacheable();
        match outputs::collect(&self.command, &collecting, lenient, &mut executed.result) {
            Ok(notes) => self.add_notes(notes, &mut executed.message),
            Err(ExecuteError::Exceeded(exceeded)) => {
                executed.message = exceeded.to_string();
                executed.exceeded = Some(exceeded);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What was to be ended until now was a command, perhaps.
    fn hang_up_when_cancelled(&self) {
        if self.source.fetching.is_some() {
            self.cancellation.watch(self.hang_up.clone());
        }
    }

    /// Nobody is told of a result before the engine has all of it.
    fn send(&self, kept: &Kept) -> Result<(), ExecuteError> {
        self.hang_up_when_cancelled();
        kept.send().map_err(|error| self.source.failed(error))
    }

    fn check_cancelled(&self) -> Result<(), ExecuteError> {
        self.cancellation.check().map_err(|_| ExecuteError::Cancelled)
    }

    fn run_command(&self, exec_root: &ExecRoot) -> Result<RanCommand, ExecuteError> {
        let (reader, writers) = LogReader::new().map_err(ExecuteError::io("make pipes for a command"))?;
        let stop = writers.stop;
        let spec = self.spec(exec_root, writers.stdout, writers.stderr)?;
        let function = self.work.action_digest.function;
        let stopper = Arc::new(Stopper::default());
        thread::scope(|scope| {
            let read =
                || reader.read(self.observer, function, exec_root.directory(), &self.limits.log, &stopper);
            let logs = thread::Builder::new()
                .name("logs".into())
                .spawn_scoped(scope, read)
                .map_err(ExecuteError::io("start a thread that reads what a command writes"))?;
            let ended = self.wait_for_command(spec, exec_root, &stopper);
            drop(stop);
            let logs = logs
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the thread that does it has panicked")))
                .map_err(ExecuteError::io("keep what a command writes"));
            let (ended, root) = ended?;
            Ok(RanCommand { ended, root, logs: logs?, exceeded: stopper.exceeded() })
        })
    }

    /// Runs the command to its end. Returns the directory in which it has left what it made.
    fn wait_for_command(
        &self,
        spec: Spec,
        exec_root: &ExecRoot,
        stopper: &Arc<Stopper>,
    ) -> Result<(Ended, OwnedFd), ExecuteError> {
        // Now, as the command may close it to everybody.
        let own = exec_root.open_own()?;
        let mut tree = match self.executor.spawner.spawn(spec) {
            Ok(tree) => tree,
            Err(SandboxError::Program { program, fault }) => {
                let code = match fault {
                    ProgramFault::NotFound | ProgramFault::InterpreterMissing => 127,
                    _ => 126,
                };
                // Where our own lies is our affair.
                let program = if self.own_binary.is_some() { "crosswheel".into() } else { program };
                let mut problem = format!("cannot run {program:?}: {fault}");
                let looked_up = !self.command.argv[0].contains('/');
                if fault == ProgramFault::NotFound && looked_up && self.command.default_path {
                    problem.push_str(&format!(
                        " (the command's environment has no PATH, so it was looked for in {SYSTEM_PATH})"
                    ));
                }
                return Ok((Ended::NotStarted(problem, code), own));
            }
            Err(error) => return Err(error.into()),
        };
        let started = Instant::now();
        self.cancellation.watch(tree.killer());
        stopper.arm(tree.killer());
        let mut watched = self.executor.files.disk.watch(exec_root.places(), self.limits.scratch, stopper);
        let until = deadline::after(started, self.work.timeout);
        let exit = tree.wait_for_end_watched(Some(until), &mut || watched.look())?;
        drop(watched);
        let took = started.elapsed();
        let root = match tree.take_overlay_directories().pop() {
            Some(merged) => merged,
            None => own,
        };
        Ok((Ended::Exited(exit, took), root))
    }

    fn spec(&self, exec_root: &ExecRoot, stdout: OwnedFd, stderr: OwnedFd) -> Result<Spec, ExecuteError> {
        let settings = &self.executor.settings;
        let namespaces = self.executor.spawner.isolation().namespaces;
        let mut spec = Spec {
            argv: self.command.argv.iter().map(Into::into).collect(),
            env: self.command.environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            working_directory: exec_root.inside().join(self.command.working_directory.as_relative()),
            root: if namespaces { settings.root.clone() } else { RootFileSystem::Host },
            overlays: exec_root.overlay().into_iter().collect(),
            binds: exec_root.bind().into_iter().collect(),
            visible_host_paths: Vec::new(),
            stdin: None,
            stdout,
            stderr: Some(stderr),
            network: settings.network,
            limits: self.limits.resources(),
        };
        if self.own_binary.is_some() {
            self.show_own_binary(namespaces, exec_root, &mut spec)?;
        }
        Ok(spec)
    }

    /// The one case in which more than Command says is set up; see [`own_binary`].
    fn show_own_binary(
        &self,
        namespaces: bool,
        exec_root: &ExecRoot,
        spec: &mut Spec,
    ) -> Result<(), ExecuteError> {
        let OwnBinarySettings { executable, loader, cross_compiler, trusted, visible_host_paths, .. } =
            &self.executor.settings.own_binary;
        if namespaces {
            match loader.as_ref().filter(|_| spec.root.directory().is_some()) {
                Some(loader) => {
                    spec.argv.splice(..1, loader.command());
                    spec.binds.extend(loader.binds());
                }
                None => spec.argv[0] = wheel_action::INSIDE.into(),
            }
            let inside = wheel_action::INSIDE.into();
            spec.binds.push(Bind { host: executable.clone(), inside, writable: false });
        } else {
            spec.argv[0] = executable.into();
        }
        if let Some(compiler) = cross_compiler.as_ref().filter(|_| namespaces) {
            spec.binds.extend_from_slice(compiler.binds());
            let inside = compiler.inside().as_os_str().to_owned();
            spec.env.entry(CROSS_CC_VARIABLE.into()).or_insert(inside);
        }
        if *trusted {
            spec.visible_host_paths.clone_from(visible_host_paths);
        }
        let cache_inside = match &self.step_cache {
            Some(cache) if namespaces => {
                let inside = PathBuf::from(wheel_action::CACHE_INSIDE);
                let host = cache.directory().to_owned();
                spec.binds.push(Bind { host: host.clone(), inside: inside.clone(), writable: true });
                // What a build makes is its action's, and counts as such.
                let work = exec_root
                    .make_work()
                    .and_then(|work| fs_err::create_dir_all(host.join(WORK)).map(|()| work));
                let work = work.map_err(ExecuteError::io("make a place for builds"))?;
                spec.binds.push(Bind { host: work, inside: inside.join(WORK), writable: true });
                inside
            }
            Some(cache) => cache.directory().to_owned(),
            None if namespaces => wheel_action::PRIVATE_CACHE_INSIDE.into(),
            None => exec_root.own_cache(),
        };
        spec.env.entry(CACHE_VARIABLE.into()).or_insert(cache_inside.into());
        Ok(())
    }

    fn describe(&self, ended: &Ended, exceeded: Option<Exceeded>) -> Executed {
        let (exit_code, timed_out, message) = match ended {
            Ended::NotStarted(problem, code) => (*code, false, problem.clone()),
            Ended::Exited(exit, took) => {
                let code = match exit.outcome {
                    Outcome::Code(code) => code,
                    Outcome::Signal(signal) => 128 + signal,
                };
                let message = match exit.outcome {
                    _ if exceeded.is_some() => exceeded.as_ref().map(Exceeded::to_string).unwrap_or_default(),
                    _ if exit.timed_out => format!(
                        "the command and all it had started were killed after {:.1} s: {}",
                        took.as_secs_f64(),
                        self.limit()
                    ),
                    Outcome::Signal(signal) => format!("signal {signal} ended the command"),
                    Outcome::Code(_) => String::new(),
                };
                (code, exit.timed_out && exceeded.is_none(), message)
            }
        };
        let mut metadata = ExecutedActionMetadata::default();
        if let Ended::Exited(exit, took) = ended {
            metadata.virtual_execution_duration = Some(duration(*took));
            metadata.auxiliary_metadata.push(ResourceUsage::of(exit).to_any());
        }
        let result =
            ActionResult { exit_code, execution_metadata: Some(metadata), ..ActionResult::default() };
        Executed { result, timed_out, exceeded, message }
    }

    /// How long it might run, and who says so.
    fn limit(&self) -> String {
        let seconds = self.work.timeout.as_secs_f64();
        match &self.work.action.timeout {
            // No time at all is what clients send that have no timeout to send.
            Some(asked) if (asked.seconds, asked.nanos) != (0, 0) => {
                format!("the timeout that the action asks for is {seconds} s (Action.timeout)")
            }
            _ => format!(
                "the action asks for no timeout, and the pool's default is {seconds} s (default-timeout of the server)"
            ),
        }
    }

    fn store_logs(
        &self,
        stdout: Log,
        mut stderr: Log,
        kept: &Kept,
        executed: &mut Executed,
    ) -> Result<(), ExecuteError> {
        // Some clients show nothing but this of an action that failed.
        if stderr.is_empty() && matches!(executed.result.exit_code, 126 | 127) && !executed.message.is_empty()
        {
            stderr.say(&format!("crosswheel: {}\n", executed.message));
        }
        let result = &mut executed.result;
        if kept.is_for_engine() {
            // As good as any, should there be no room: a result without would not be taken by some.
            let empty = Digest::empty(self.work.action_digest.function).to_message();
            (result.stdout_digest, result.stderr_digest) = (Some(empty.clone()), Some(empty));
        }
        let (inline, digest) = stdout.store(kept)?;
        (result.stdout_raw, result.stdout_digest) = (inline, digest.map(|digest| digest.to_message()));
        let (inline, digest) = stderr.store(kept)?;
        (result.stderr_raw, result.stderr_digest) = (inline, digest.map(|digest| digest.to_message()));
        Ok(())
    }

    fn add_notes(&self, mut notes: Vec<String>, message: &mut String) {
        if let Some(OwnBinary::Private(reason)) = &self.own_binary
            && !self.executor.settings.own_binary.trusted
        {
            notes.push(format!("crosswheel ran without the worker's cache: {reason}"));
        }
        for note in notes {
            if !message.is_empty() {
                message.push('\n');
            }
            message.push_str(&note);
        }
    }
}

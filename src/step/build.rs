//! The hermetic step: one sdist and the wheels of its build requirements in, one verified wheel
//! out. Each stage consumes the type the one before it made, so none can be left out:
//! sdist → [`SourceTree`] → [`Project`] → [`BuildEnvironment`] → [`BuiltWheel`] →
//! [`VerifiedWheel`] → [`Report`].
//! Knows nothing of indexes, of who asked, or of what is done with the wheel.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pep508_rs::Requirement;

use super::backend::cross_compiler::CrossCompiler;
use super::backend::environment::{EnvironmentPlan, FIXED_DIRECTORY};
use super::backend::hooks::{BackendCall, BackendRun, Conversation, SCRIPT};
use super::backend::kept_log::log_lines;
use super::backend::used_compiler::used_compiler;
use super::backend::vendored_crates::configure_cargo;
use super::diagnosis::{diagnose_refusal, failed_compilation};
use super::error::{StepError, host};
use super::failed_run::failed_run;
use super::request::WheelRequest;
use super::source::mentions_machine::mentions_machine;
use super::source::patch::apply_patch;
use super::source::project::Project;
use super::stopwatch::Stopwatch;
use super::venv::build_environment::{BuildVenv, VenvMaker, refuse_missing};
use super::venv::unpacked_wheel::UnpackedWheel;
use super::venv::virtual_environment::python_in;
use super::verify::verified_wheel::{ExpectedWheel, NativeExpectation, VerifiedWheel, verify};
use super::verify::wheel_refused::WheelRefused;
use crate::archive;
use crate::archive::SourceTree;
use crate::cancellation::Cancellation;
use crate::contract::{Expect, Failure, FailureClass, IsolationReport, Report, SandboxMode, UsedRequirement};
use crate::packaging::interpreter::Interpreter;
use crate::patience::Patience;
use crate::sandbox::{
    Bind, Isolation, NetworkIsolation, OwnExecutable, PreparedSandbox, ProcessTree, Sandbox,
};
use crate::scratch::file::{self, FileAccess};
use crate::scratch::home::LockedHome;
use crate::scratch::removal::remove_for_waiting;

/// Builds the wheel `request` describes. The backend's output is copied to `output` as it comes;
/// `cancellation` ends the build from another thread.
pub fn build_wheel(
    request: &WheelRequest,
    cancellation: &Cancellation,
    output: &mut (dyn Write + Send),
) -> Result<Report, StepError> {
    check_target(request)?;
    request.promise.check_python(&request.interpreter).map_err(Failure::from)?;
    // What is not there cannot be hidden.
    fs_err::create_dir_all(&request.cache).map_err(host("make the cache directory"))?;
    std::thread::scope(|scope| {
        let mut step = Step { request, cancellation, stopwatch: Stopwatch::start() };
        // Takes as long as everything before the backend, and needs none of it.
        let sandbox = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn_scoped(scope, || prepare_sandbox(request.sandbox, &request.cache))
            .map_err(host("start a thread"))?;
        let mut workspace = step.create_workspace()?;
        if request.keep_work {
            workspace.keep();
            let kept = workspace.path().display();
            // To whoever asked, even if they asked for no output of the backend.
            let _ = writeln!(std::io::stderr(), "crosswheel: the build's directory is kept: {kept}");
        }
        let source = step.unpack(&workspace)?;
        let project = step.read_project(&source)?;
        let wheels = step.wheels(&project)?;
        step.furnish(&workspace)?;
        let sandbox = sandbox.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let isolation = sandbox.isolation().clone();
        let environment = step.prepare(&workspace, project, isolation.clone(), wheels)?;
        let (built, remains) =
            step.run_backend(sandbox, &environment, output).map_err(|error| isolated(error, &isolation))?;
        std::thread::scope(|scope| {
            // Without a thread to give, all of it happens when it is dropped.
            let _ = std::thread::Builder::new().name("removal".into()).spawn_scoped(scope, || {
                discard(&workspace, &[Layout::SOURCE, Layout::HOME, Layout::TEMPORARY]);
                drop(remains);
            });
            let verified =
                step.verify(&environment, &source, &built).map_err(|error| isolated(error, &isolation))?;
            step.publish(&verified)?;
            Ok(step.report(&source, &environment, built, verified))
        })
    })
}

/// Removes `names` now, rather than when the workspace is dropped, unless it is to be kept.
fn discard(workspace: &LockedHome, names: &[&str]) {
    if !workspace.is_kept() {
        // What cannot be removed now is tried again when the workspace is dropped.
        let _ = remove_for_waiting(names.iter().map(|name| workspace.path().join(name)));
    }
}

/// The cache is not for the eyes of what is built.
fn prepare_sandbox(mode: SandboxMode, cache: &Path) -> Result<PreparedSandbox, StepError> {
    let own_executable = OwnExecutable::running().map_err(host("find the crosswheel executable"))?;
    Ok(Sandbox::prepare(mode, own_executable, &[cache.to_owned()])?)
}

/// The venv and the paths around it, ready for the backend.
struct BuildEnvironment {
    project: Project,
    isolation: Isolation,
    layout: Layout,
    venv: BuildVenv,
    installed: Vec<UnpackedWheel>,
    /// See [`Report::mentions_machine`]; asked before anything of the project runs, which could change its sources.
    mentions_machine: bool,
}

/// A wheel as the backend left it, unverified.
struct BuiltWheel {
    reported_name: String,
    run: BackendRun,
    log: Vec<String>,
}

/// The workspace twice: where it is on the host, and where the build sees it.
struct Layout {
    host: PathBuf,
    inside: PathBuf,
}

impl Layout {
    const SOURCE: &str = "src";
    const VENV: &str = "venv";
    const OUT: &str = "out";
    const HOME: &str = "home";
    const TEMPORARY: &str = "tmp";
    const SCRIPT: &str = "run_backend.py";
    const LOG: &str = "log";
    const CRATES: &str = "crates";
}

/// The workspaces of builds: what has this name and a lock that nobody holds is removed, also from a directory of the
/// user's.
const WORKSPACE: &str = "crosswheel-build-";

/// How long it may take to verify a wheel, and to put it into its place. The largest there are take a minute.
const VERIFYING: Duration = Duration::from_secs(15 * 60);

struct Step<'a> {
    request: &'a WheelRequest,
    cancellation: &'a Cancellation,
    stopwatch: Stopwatch,
}

impl Step<'_> {
    fn create_workspace(&self) -> Result<LockedHome, StepError> {
        let base = self.request.work.clone().unwrap_or_else(|| self.request.cache.join("work"));
        let make = || {
            fs_err::create_dir_all(&base)?;
            LockedHome::sweep(&base, WORKSPACE)?;
            LockedHome::create(&base, WORKSPACE, 0o755)
        };
        make().map_err(host("make a directory to work in"))
    }

    fn unpack(&mut self, workspace: &LockedHome) -> Result<SourceTree, StepError> {
        let destination = workspace.path().join(Layout::SOURCE);
        let source = archive::unpack(&self.request.sdist, &destination, &self.request.limits)?;
        for patch in &self.request.patches {
            apply_patch(&source.root, patch, self.request.patch_strip)?;
        }
        self.stopwatch.lap("unpack");
        Ok(source)
    }

    fn read_project(&self, source: &SourceTree) -> Result<Project, StepError> {
        self.cancellation.check()?;
        let project = Project::load(&source.root)?;
        project.check_python(&self.request.interpreter)?;
        let (name, version) = (project.name.as_ref(), project.version.as_ref());
        self.request.promise.check_project(name, version).map_err(Failure::from)?;
        Ok(project)
    }

    fn wheels(&self, project: &Project) -> Result<Vec<UnpackedWheel>, StepError> {
        self.venv_maker().wheels(&self.request.build_wheels, &project.build_system.requires)
    }

    fn venv_maker(&self) -> VenvMaker<'_> {
        VenvMaker::new(&self.request.cache, &self.request.interpreter, &self.request.helpers)
    }

    /// Makes what does not depend on how the build is isolated.
    fn furnish(&self, workspace: &LockedHome) -> Result<(), StepError> {
        let names = [Layout::OUT, Layout::HOME, Layout::TEMPORARY, Layout::VENV];
        let mut directories = names.iter().map(|name| workspace.path().join(name));
        directories.try_for_each(fs_err::create_dir).map_err(host("prepare the workspace"))
    }

    fn prepare(
        &mut self,
        workspace: &LockedHome,
        project: Project,
        isolation: Isolation,
        installed: Vec<UnpackedWheel>,
    ) -> Result<BuildEnvironment, StepError> {
        let host_path = workspace.path().to_owned();
        let inside = if isolation.namespaces { FIXED_DIRECTORY.into() } else { host_path.clone() };
        let layout = Layout { host: host_path, inside };
        if self.request.crates.is_some() {
            self.configure_cargo(&layout, isolation.namespaces)?;
        }
        let visible_at = layout.inside.join(Layout::VENV);
        let venv = if isolation.namespaces {
            self.venv_maker().shared(&visible_at, &installed)?
        } else {
            fs_err::write(layout.host.join(Layout::SCRIPT), SCRIPT).map_err(host("prepare the workspace"))?;
            self.venv_maker().own(&layout.host.join(Layout::VENV), &visible_at, &installed)?
        };
        if let BuildVenv::Shared(shared) = &venv
            && self.request.keep_work
        {
            let venv = shared.directory().display();
            let _ = writeln!(std::io::stderr(), "crosswheel: its environment is one of the cache: {venv}");
        }
        self.stopwatch.lap("venv");
        let mentions_machine = mentions_machine(&project);
        Ok(BuildEnvironment { project, isolation, layout, venv, installed, mentions_machine })
    }

    /// Makes a place for the vendored crates to be seen at, and makes cargo take all crates from there.
    fn configure_cargo(&self, layout: &Layout, mounts: bool) -> Result<(), StepError> {
        let Some(crates) = &self.request.crates else { return Ok(()) };
        let crates = fs_err::canonicalize(crates).map_err(host("read the directory of --crates"))?;
        let mount_point = layout.host.join(Layout::CRATES);
        fs_err::create_dir(mount_point).map_err(host("prepare the workspace"))?;
        let seen_at = if mounts { layout.inside.join(Layout::CRATES) } else { crates.clone() };
        configure_cargo(&layout.host.join(Layout::HOME), &crates, &seen_at)
    }

    fn run_backend(
        &mut self,
        sandbox: PreparedSandbox,
        environment: &BuildEnvironment,
        output: &mut (dyn Write + Send),
    ) -> Result<(BuiltWheel, ProcessTree), StepError> {
        self.cancellation.check()?;
        let log = environment.layout.host.join(Layout::LOG);
        let interpreter = &self.request.interpreter;
        let mut turned_down = None;
        let (run, remains) =
            self.backend_call(environment, &log).run(sandbox, self.cancellation, output, |requires| {
                match check_dynamic(requires, &environment.installed, interpreter) {
                    Ok(()) => true,
                    Err(failure) => {
                        turned_down = Some(failure);
                        false
                    }
                }
            })?;
        self.cancellation.check()?;
        self.stopwatch.add("requires", run.requires_time);
        self.stopwatch.add("backend", run.build_time);
        self.stopwatch.lap_silently();
        if let Some(failure) = turned_down {
            return Err(failure.into());
        }
        let log = log_lines(&log).map_err(host("read the log"))?;
        match &run.conversation {
            Conversation::Built(name) => {
                let reported_name = name.clone();
                Ok((BuiltWheel { reported_name, run, log }, remains))
            }
            _ => {
                self.venv_maker().check(&environment.venv, &environment.installed)?;
                Err(failed_run(&run, &log, self.request.timeout).into())
            }
        }
    }

    fn backend_call<'a>(&'a self, environment: &'a BuildEnvironment, log: &'a Path) -> BackendCall<'a> {
        let BuildEnvironment { project, layout, venv, .. } = environment;
        let python = python_in(&layout.inside.join(Layout::VENV));
        let script = match venv {
            BuildVenv::Own => layout.inside.join(Layout::SCRIPT),
            BuildVenv::Shared(venv) => venv.program().to_owned(),
        };
        let source = match project.root.strip_prefix(&layout.host) {
            Ok(relative) => layout.inside.join(relative),
            Err(_) => project.root.clone(),
        };
        let has_setuptools =
            environment.installed.iter().any(|wheel| wheel.name().to_string() == "setuptools");
        let plan = EnvironmentPlan {
            workspace: &layout.inside,
            venv_bin: python.parent().unwrap_or(&python),
            tool_directories: &self.request.tool_directories,
            home: &layout.inside.join(Layout::HOME),
            temporary: &layout.inside.join(Layout::TEMPORARY),
            crates: self.request.crates.is_some(),
            cross: self.cross_variables(),
            interpreter_cflags: has_setuptools.then_some(self.request.interpreter.cflags.as_str()),
            user: &self.request.environment,
            project,
        };
        BackendCall {
            build_system: &project.build_system,
            config_settings: &self.request.config_settings,
            environment: plan.variables(),
            binds: self.binds(layout, venv),
            visible_host_paths: self.visible_host_paths(),
            timeout: self.request.timeout,
            log,
            python,
            script,
            source,
            output: layout.inside.join(Layout::OUT),
        }
    }

    fn cross_variables(&self) -> BTreeMap<String, String> {
        let compiler = self.request.cross_compiler.as_ref();
        compiler.map(|compiler| compiler.variables(&self.request.interpreter)).unwrap_or_default()
    }

    /// The workspace, writable, at its fixed place; the venv in it read-only, because other builds use it.
    fn binds(&self, layout: &Layout, venv: &BuildVenv) -> Vec<Bind> {
        let read_only =
            |host: PathBuf, name: &str| Bind { host, inside: layout.inside.join(name), writable: false };
        let BuildVenv::Shared(venv) = venv else { return Vec::new() };
        let workspace = Bind { host: layout.host.clone(), inside: layout.inside.clone(), writable: true };
        let venv = read_only(venv.directory().to_owned(), Layout::VENV);
        let crates = self.request.crates.as_deref().and_then(|crates| fs_err::canonicalize(crates).ok());
        let crates = crates.map(|crates| read_only(crates, Layout::CRATES));
        [workspace, venv].into_iter().chain(crates).collect()
    }

    fn visible_host_paths(&self) -> Vec<PathBuf> {
        let interpreter = &self.request.interpreter;
        let executable_directory = interpreter.executable.parent().map(Path::to_owned);
        let tools = self.request.tool_directories.iter().cloned();
        let compiler = self.request.cross_compiler.iter().filter_map(CrossCompiler::directory);
        tools.chain(compiler).chain(executable_directory).chain([interpreter.base_prefix.clone()]).collect()
    }

    fn verify(
        &mut self,
        environment: &BuildEnvironment,
        source: &SourceTree,
        built: &BuiltWheel,
    ) -> Result<VerifiedWheel, StepError> {
        let request = self.request;
        let native = match request.expect {
            Expect::Native => NativeExpectation::Required,
            Expect::Pure => NativeExpectation::Forbidden,
            Expect::Auto if source.has_native_sources && failed_compilation(&built.log).is_some() => {
                NativeExpectation::Required
            }
            Expect::Auto | Expect::Any => NativeExpectation::Any,
        };
        let expected = ExpectedWheel {
            name: environment.project.name.as_ref(),
            version: environment.project.version.as_ref(),
            target: request.target,
            glibc: request.glibc.or_else(|| request.interpreter.glibc()),
            python: &request.interpreter,
            native,
        };
        let directory = environment.layout.host.join(Layout::OUT);
        let patience = Patience::of(VERIFYING, self.cancellation);
        let verified = verify(&directory, &built.reported_name, &expected, patience);
        if verified.is_err() {
            self.cancellation.check()?;
        }
        let verified = verified.map_err(|refused| diagnose_refusal(refused, &built.log))?;
        // Not every sdist says before it is built.
        let version = &verified.file_name.version;
        request.promise.check_project(Some(&verified.name), Some(version)).map_err(Failure::from)?;
        self.stopwatch.lap("verify");
        Ok(verified)
    }

    /// Puts the wheel under its own name, whole or not at all.
    fn publish(&mut self, verified: &VerifiedWheel) -> Result<(), StepError> {
        let patience = Patience::of(VERIFYING, self.cancellation);
        let published = fs_err::File::open(&verified.path)
            .and_then(|wheel| {
                let mut wheel = patience.read(wheel.take(verified.size_bytes));
                fs_err::create_dir_all(&self.request.out)?;
                let place = self.request.out.join(verified.file_name.to_string());
                file::write_from(&place, &mut wheel, FileAccess::Mode(0o644))
            })
            .map_err(host("write the wheel"));
        self.cancellation.check()?;
        published?;
        self.stopwatch.lap("publish");
        Ok(())
    }

    fn report(
        self,
        source: &SourceTree,
        environment: &BuildEnvironment,
        built: BuiltWheel,
        verified: VerifiedWheel,
    ) -> Report {
        let isolation = &environment.isolation;
        Report {
            file_name: verified.file_name.to_string(),
            name: verified.name.to_string(),
            version: verified.version,
            tags: verified.tags.iter().map(ToString::to_string).collect(),
            pure: verified.pure,
            native_sources: source.has_native_sources,
            mentions_machine: environment.mentions_machine,
            sha256: verified.sha256,
            size_bytes: verified.size_bytes,
            glibc_floor: verified.glibc_floor,
            target: self.request.target,
            python_version: self.request.interpreter.version_text(),
            emulated: self.request.interpreter.is_emulated(),
            compiler: if verified.native { used_compiler(self.request) } else { None },
            sdist_sha256: source.sha256,
            backend: environment.project.build_system.backend.clone(),
            build_requirements: environment.installed.iter().map(used_requirement).collect(),
            dynamic_requirements: built.run.requires.unwrap_or_default(),
            isolation: isolation_report(isolation),
            peak_memory_bytes: built.run.exit.peak_memory_bytes,
            own_peak_memory_bytes: own_peak_memory(),
            notes: verified.notes,
            seconds: self.stopwatch.finish(),
        }
    }
}

pub(super) fn isolation_report(isolation: &Isolation) -> IsolationReport {
    let network = match isolation.network {
        NetworkIsolation::Namespace => "namespace",
        NetworkIsolation::Seccomp => "seccomp",
        NetworkIsolation::None => "none",
    };
    IsolationReport {
        sandbox: if isolation.namespaces { "namespaces" } else { "none" }.into(),
        network: network.into(),
        lost: isolation.lost.clone(),
    }
}

/// A failure also says how the build was isolated.
fn isolated(error: StepError, isolation: &Isolation) -> StepError {
    match error {
        StepError::Failed(failure) => {
            let isolation = Some(Box::new(isolation_report(isolation)));
            StepError::Failed(Failure { isolation, ..failure })
        }
        other => other,
    }
}

/// A wheel of another platform cannot come out of this interpreter: say so before building.
fn check_target(request: &WheelRequest) -> Result<(), StepError> {
    let found = request.interpreter.target();
    if found == request.target {
        return Ok(());
    }
    let python = request.interpreter.executable.clone();
    let refused = WheelRefused::WrongMachine { target: request.target, found, python };
    Err(Failure::from(refused).into())
}

fn check_dynamic(
    requires: &[String],
    installed: &[UnpackedWheel],
    interpreter: &Interpreter,
) -> Result<(), Failure> {
    let parse = |text: &String| {
        text.parse::<Requirement>().map_err(|error| {
            let message = format!(
                "get_requires_for_build_wheel returned `{text}`, which is not a requirement: {}",
                error.message
            );
            Failure::new(FailureClass::InvalidMetadata, message)
        })
    };
    let requires: Vec<_> = requires.iter().map(parse).collect::<Result<_, _>>()?;
    refuse_missing(&requires, installed, interpreter, "the backend's get_requires_for_build_wheel hook")
}

fn used_requirement(wheel: &UnpackedWheel) -> UsedRequirement {
    UsedRequirement {
        name: wheel.name().to_string(),
        version: wheel.version().to_string(),
        file_name: wheel.file_name().to_string(),
        sha256: wheel.sha256(),
    }
}

/// The high-water mark of this process's resident memory, in bytes; 0 where /proc does not tell.
fn own_peak_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

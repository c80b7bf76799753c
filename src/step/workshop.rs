//! What both steps, the one that makes an sdist and the one that makes a wheel, have around the backend: a directory of
//! their own, an environment with the build requirements, the sandbox, and the conversation with the hooks.
//! Knows nothing of where the sources come from, nor of what is done with what the backend made.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::backend::cross_compiler::CrossCompiler;
use super::backend::environment::{EnvironmentPlan, FIXED_DIRECTORY};
use super::backend::hooks::{BackendCall, BackendRun, Conversation, Hooks, SCRIPT};
use super::backend::kept_log::log_lines;
use super::backend::vendored_crates::configure_cargo;
use super::error::{StepError, host};
use super::failed_run::failed_run;
use super::request::BackendRequest;
use super::source::project::Project;
use super::stopwatch::Stopwatch;
use super::venv::build_environment::{BuildVenv, VenvMaker, refuse_missing};
use super::venv::unpacked_wheel::UnpackedWheel;
use super::venv::virtual_environment::python_in;
use crate::cancellation::Cancellation;
use crate::contract::{Failure, FailureClass, IsolationReport, SandboxMode, UsedRequirement};
use crate::packaging::interpreter::Interpreter;
use crate::packaging::requirement_text::parse_requirement;
use crate::sandbox::{
    Bind, Isolation, NetworkIsolation, OwnExecutable, PreparedSandbox, ProcessTree, Sandbox,
};
use crate::scratch::home::LockedHome;
use crate::scratch::removal::remove_for_waiting;

/// Removes `names` now, rather than when the workspace is dropped, unless it is to be kept.
pub(super) fn discard(workspace: &LockedHome, names: &[&str]) {
    if !workspace.is_kept() {
        // What cannot be removed now is tried again when the workspace is dropped.
        let _ = remove_for_waiting(names.iter().map(|name| workspace.path().join(name)));
    }
}

/// The cache is not for the eyes of what is built.
pub(super) fn prepare_sandbox(mode: SandboxMode, cache: &Path) -> Result<PreparedSandbox, StepError> {
    let own_executable = OwnExecutable::running().map_err(host("find the crosswheel executable"))?;
    Ok(Sandbox::prepare(mode, own_executable, &[cache.to_owned()])?)
}

/// The venv and the paths around it, ready for the backend.
pub(super) struct BuildEnvironment {
    pub project: Project,
    pub isolation: Isolation,
    pub layout: Layout,
    venv: BuildVenv,
    pub installed: Vec<UnpackedWheel>,
}

/// What the hooks made, by their own account.
pub(super) struct BackendResult {
    /// The name of the file.
    pub reported_name: String,
    pub run: BackendRun,
    pub log: Vec<String>,
}

/// What is particular to one of the two steps about the call of its hooks.
pub(super) struct Called {
    pub hooks: Hooks,
    /// A directory of the workspace that comes first on PATH.
    pub programs: Option<&'static str>,
    /// Of the host, and where it is seen in the workspace; read-only.
    pub beside: Option<(PathBuf, &'static str)>,
}

/// The workspace twice: where it is on the host, and where the build sees it.
pub(super) struct Layout {
    pub host: PathBuf,
    pub inside: PathBuf,
}

impl Layout {
    pub const SOURCE: &str = "src";
    pub const VENV: &str = "venv";
    pub const OUT: &str = "out";
    pub const HOME: &str = "home";
    pub const TEMPORARY: &str = "tmp";
    pub const SCRIPT: &str = "run_backend.py";
    pub const LOG: &str = "log";
    pub const CRATES: &str = "crates";
}

/// The workspaces of builds: what has this name and a lock that nobody holds is removed, also from a directory of the
/// user's.
const WORKSPACE: &str = "crosswheel-build-";

/// A step in its surroundings.
pub(super) struct Workshop<'a> {
    pub request: &'a BackendRequest,
    pub cancellation: &'a Cancellation,
    pub stopwatch: Stopwatch,
}

impl<'a> Workshop<'a> {
    /// The surroundings of what `request` describes; `cancellation` ends it from another thread.
    pub fn open(request: &'a BackendRequest, cancellation: &'a Cancellation) -> Result<Self, StepError> {
        // What is not there cannot be hidden.
        fs_err::create_dir_all(&request.cache).map_err(host("make the cache directory"))?;
        Ok(Self { request, cancellation, stopwatch: Stopwatch::start() })
    }

    pub fn create_workspace(&self) -> Result<LockedHome, StepError> {
        let base = self.request.work.clone().unwrap_or_else(|| self.request.cache.join("work"));
        let make = || {
            fs_err::create_dir_all(&base)?;
            LockedHome::sweep(&base, WORKSPACE)?;
            LockedHome::create(&base, WORKSPACE, 0o755)
        };
        let mut workspace = make().map_err(host("make a directory to work in"))?;
        if self.request.keep_work {
            workspace.keep();
            let kept = workspace.path().display();
            // To whoever asked, even if they asked for no output of the backend.
            let _ = writeln!(std::io::stderr(), "crosswheel: the build's directory is kept: {kept}");
        }
        Ok(workspace)
    }

    pub fn wheels(&self, project: &Project) -> Result<Vec<UnpackedWheel>, StepError> {
        self.venv_maker().wheels(&self.request.build_wheels, &project.build_system.requires)
    }

    fn venv_maker(&self) -> VenvMaker<'_> {
        VenvMaker::new(&self.request.cache, &self.request.interpreter, &self.request.helpers)
    }

    /// Makes what does not depend on how the build is isolated.
    pub fn furnish(&self, workspace: &LockedHome) -> Result<(), StepError> {
        let names = [Layout::OUT, Layout::HOME, Layout::TEMPORARY, Layout::VENV];
        let mut directories = names.iter().map(|name| workspace.path().join(name));
        directories.try_for_each(fs_err::create_dir).map_err(host("prepare the workspace"))
    }

    pub fn prepare(
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
        Ok(BuildEnvironment { project, isolation, layout, venv, installed })
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

    pub fn run_backend(
        &mut self,
        sandbox: PreparedSandbox,
        environment: &BuildEnvironment,
        called: &Called,
        output: &mut (dyn Write + Send),
    ) -> Result<(BackendResult, ProcessTree), StepError> {
        self.cancellation.check()?;
        let log = environment.layout.host.join(Layout::LOG);
        let interpreter = &self.request.interpreter;
        let mut turned_down = None;
        let (run, remains) = self.backend_call(environment, called, &log).run(
            sandbox,
            self.cancellation,
            output,
            |requires| match check_dynamic(called.hooks, requires, &environment.installed, interpreter) {
                Ok(()) => true,
                Err(failure) => {
                    turned_down = Some(failure);
                    false
                }
            },
        )?;
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
                Ok((BackendResult { reported_name, run, log }, remains))
            }
            _ => {
                self.venv_maker().check(&environment.venv, &environment.installed)?;
                Err(failed_run(&run, &log, self.request.timeout).into())
            }
        }
    }

    fn backend_call<'b>(
        &'b self,
        environment: &'b BuildEnvironment,
        called: &Called,
        log: &'b Path,
    ) -> BackendCall<'b> {
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
        let programs = called.programs.map(|name| layout.inside.join(name));
        let plan = EnvironmentPlan {
            workspace: &layout.inside,
            first_on_path: programs.as_deref(),
            venv_bin: python.parent().unwrap_or(&python),
            tool_directories: &self.request.tool_directories,
            home: &layout.inside.join(Layout::HOME),
            temporary: &layout.inside.join(Layout::TEMPORARY),
            crates: self.request.crates.is_some(),
            cross: self.cross_variables(),
            interpreter_cflags: has_setuptools.then_some(self.request.interpreter.cflags.as_str()),
            user: &self.request.environment,
            version_of: (called.hooks == Hooks::Wheel).then_some(project),
        };
        BackendCall {
            hooks: called.hooks,
            build_system: &project.build_system,
            config_settings: &self.request.config_settings,
            environment: plan.variables(),
            binds: self.binds(layout, venv, called),
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
    fn binds(&self, layout: &Layout, venv: &BuildVenv, called: &Called) -> Vec<Bind> {
        let read_only =
            |host: PathBuf, name: &str| Bind { host, inside: layout.inside.join(name), writable: false };
        let BuildVenv::Shared(venv) = venv else { return Vec::new() };
        let workspace = Bind { host: layout.host.clone(), inside: layout.inside.clone(), writable: true };
        let venv = read_only(venv.directory().to_owned(), Layout::VENV);
        let crates = self.request.crates.as_deref().and_then(|crates| fs_err::canonicalize(crates).ok());
        let crates = crates.map(|crates| read_only(crates, Layout::CRATES));
        let beside = called.beside.iter().map(|(host, name)| read_only(host.clone(), name));
        [workspace, venv].into_iter().chain(crates).chain(beside).collect()
    }

    fn visible_host_paths(&self) -> Vec<PathBuf> {
        let interpreter = &self.request.interpreter;
        let executable_directory = interpreter.executable.parent().map(Path::to_owned);
        let tools = self.request.tool_directories.iter().cloned();
        let compiler = self.request.cross_compiler.iter().filter_map(CrossCompiler::directory);
        tools.chain(compiler).chain(executable_directory).chain([interpreter.base_prefix.clone()]).collect()
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
pub(super) fn isolated(error: StepError, isolation: &Isolation) -> StepError {
    match error {
        StepError::Failed(failure) => {
            let isolation = Some(Box::new(isolation_report(isolation)));
            StepError::Failed(Failure { isolation, ..failure })
        }
        other => other,
    }
}

fn check_dynamic(
    hooks: Hooks,
    requires: &[String],
    installed: &[UnpackedWheel],
    interpreter: &Interpreter,
) -> Result<(), Failure> {
    let parse = |text: &String| {
        parse_requirement(text).map_err(|reason| {
            let message =
                format!("{} returned `{text}`, which is not a requirement: {reason}", hooks.requires());
            Failure::new(FailureClass::InvalidMetadata, message)
        })
    };
    let requires: Vec<_> = requires.iter().map(parse).collect::<Result<_, _>>()?;
    refuse_missing(&requires, installed, interpreter, &format!("the backend's {} hook", hooks.requires()))
}

pub(super) fn used_requirement(wheel: &UnpackedWheel) -> UsedRequirement {
    UsedRequirement {
        name: wheel.name().to_string(),
        version: wheel.version().to_string(),
        file_name: wheel.file_name().to_string(),
        sha256: wheel.sha256(),
    }
}

/// The high-water mark of this process's resident memory, in bytes; 0 where /proc does not tell.
pub(super) fn own_peak_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

//! One check: wheels in, a report out, whatever is wrong with them. Problems do not end it, as whoever mends one wants to
//! know of the others; errors are this machine's, or the caller's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::dependencies::{OURSELVES, unmet_requirements};
use super::importable::importable_modules;
use super::installation::{chosen, collisions, misfits, problem, unpack, unpack_pip};
use super::pip_check::named_problems;
use super::request::{CheckRequest, ImportedPackages};
use super::trial::{DIRECTORIES, Trials, Tried};
use crate::cancellation::Cancellation;
use crate::contract::{CheckProblem, CheckReport, ProblemKind};
use crate::sandbox::{Bind, Outcome, OwnExecutable, Sandbox};
use crate::scratch::home::LockedHome;
use crate::step::backend::environment::FIXED_DIRECTORY;
use crate::step::error::{StepError, host};
use crate::step::stopwatch::Stopwatch;
use crate::step::venv::build_environment::{BuildVenv, VenvMaker};
use crate::step::venv::unpacked_wheel::UnpackedWheel;
use crate::step::venv::virtual_environment::python_in;
use crate::step::workshop::isolation_report;

/// What runs in the environment.
const PROGRAM: &str = include_str!("try_wheels.py");

/// The exit code of [`PROGRAM`] that says that a module was imported.
const IMPORTED: i32 = 77;

/// What stands before the last line of [`PROGRAM`] where a module cannot be imported.
const MARK: &str = "crosswheel: ";

/// Lines of what was written that are shown.
const TAIL: usize = 15;

/// How long pip may take: where it is emulated, half a minute for hundreds of packages.
const PIP_PATIENCE: Duration = Duration::from_secs(1800);

/// The directories of checks: what has this name and a lock that nobody holds is removed.
const WORKSPACE: &str = "crosswheel-check-";

const VENV: &str = "venv";
const TOOLS: &str = "tools";

/// Installs the wheels of `request`, looks for what they require, and imports what is to be imported. `cancellation` ends it
/// from another thread.
///
/// # Errors
/// What is not the wheels' fault.
pub fn check_wheels(request: &CheckRequest, cancellation: &Cancellation) -> Result<CheckReport, StepError> {
    check_target(request)?;
    // What is not there cannot be hidden.
    fs_err::create_dir_all(&request.cache).map_err(host("make the cache directory"))?;
    let own_executable = OwnExecutable::running().map_err(host("find the crosswheel executable"))?;
    let sandbox =
        Sandbox::detect_hiding(request.sandbox, own_executable, std::slice::from_ref(&request.cache))?;
    Check { request, cancellation, sandbox }.run()
}

fn check_target(request: &CheckRequest) -> Result<(), StepError> {
    let found = request.interpreter.target();
    match request.target {
        Some(target) if target != found => {
            let python = request.interpreter.executable.display();
            Err(StepError::Input(format!(
                "the wheels are to be checked for {target}, but {python} is a Python of {found}"
            )))
        }
        _ => Ok(()),
    }
}

struct Check<'a> {
    request: &'a CheckRequest,
    cancellation: &'a Cancellation,
    sandbox: Sandbox,
}

/// What was found out about what the wheels require.
struct Dependencies {
    checked_by: String,
    problems: Vec<CheckProblem>,
    /// Why pip did not do its part.
    note: Option<String>,
}

impl Check<'_> {
    fn run(self) -> Result<CheckReport, StepError> {
        let CheckRequest { interpreter, helpers, cache, .. } = self.request;
        let mut stopwatch = Stopwatch::start();
        let mut problems = Vec::new();
        let maker = VenvMaker::new(cache, interpreter, helpers).for_trials(PROGRAM);
        let chosen = chosen(&self.request.wheels, interpreter)?;
        self.check_names(chosen.iter().map(|(name, _)| &name.name))?;
        let wheels = unpack(&chosen, &maker, &mut problems)?;
        let pip = self.request.pip.as_ref().map(|given| unpack_pip(given, &maker)).transpose()?;
        problems.extend(misfits(&wheels, interpreter));
        problems.extend(collisions(&wheels, interpreter));
        let workspace = self.create_workspace()?;
        let (venv, trials) =
            self.furnish(&workspace, &maker, &wheels, pip.as_ref().map(|(_, package)| package.as_path()))?;
        stopwatch.lap("install");
        let dependencies = self.check_dependencies(&trials, &wheels, pip.map(|(wheel, _)| wheel))?;
        // Tags have been looked at.
        let is_known = |found: &CheckProblem| {
            found.kind == ProblemKind::Install
                && problems.iter().any(|known| (known.kind, &known.package) == (found.kind, &found.package))
        };
        let new: Vec<_> = dependencies.problems.into_iter().filter(|found| !is_known(found)).collect();
        problems.extend(new);
        stopwatch.lap("dependencies");
        let mut notes: Vec<String> = dependencies.note.into_iter().collect();
        let imported = self.import(&trials, &wheels, &mut problems, &mut notes)?;
        stopwatch.lap("imports");
        if !problems.is_empty() {
            // They are not those of what happened to the cache. Of a wheel in another's way some is not there.
            let whole = |wheel: &&UnpackedWheel| {
                let name = wheel.name().to_string();
                !problems.iter().any(|found| found.kind == ProblemKind::Install && found.package == name)
            };
            maker.check(&venv, &wheels.iter().filter(whole).cloned().collect::<Vec<_>>())?;
        }
        Ok(CheckReport {
            installed: wheels.len(),
            problems,
            imported,
            checked_by: dependencies.checked_by,
            target: interpreter.target(),
            python_version: interpreter.version_text(),
            emulated: interpreter.is_emulated(),
            isolation: isolation_report(self.sandbox.isolation()),
            seconds: stopwatch.finish(),
            notes,
        })
    }

    /// Whoever names what is to be imported means one of the wheels.
    fn check_names<'n>(
        &self,
        mut there: impl Iterator<Item = &'n pep508_rs::PackageName> + Clone,
    ) -> Result<(), StepError> {
        let ImportedPackages::Named(names) = &self.request.imports else { return Ok(()) };
        let mut absent = names.iter().filter(|name| !there.clone().any(|other| other == *name));
        match absent.next() {
            None => Ok(()),
            Some(name) => {
                let any = there.next().map(|other| format!(", such as {other}")).unwrap_or_default();
                Err(StepError::Input(format!(
                    "--import {name}: none of the wheels is of it; name one that is there{any}"
                )))
            }
        }
    }

    fn create_workspace(&self) -> Result<LockedHome, StepError> {
        let base = self.request.work.clone().unwrap_or_else(|| self.request.cache.join("work"));
        let make = || {
            fs_err::create_dir_all(&base)?;
            LockedHome::sweep(&base, WORKSPACE)?;
            let workspace = LockedHome::create(&base, WORKSPACE, 0o755)?;
            for name in DIRECTORIES.iter().chain(&[VENV, TOOLS]) {
                fs_err::create_dir(workspace.path().join(name))?;
            }
            Ok(workspace)
        };
        make().map_err(|error: std::io::Error| host("make a directory to work in")(error))
    }

    /// The environment, and how something of it is tried: in the workspace, which is writable, at its fixed place; the
    /// venv in it read-only, because others use it.
    fn furnish(
        &self,
        workspace: &LockedHome,
        maker: &VenvMaker,
        wheels: &[UnpackedWheel],
        pip: Option<&Path>,
    ) -> Result<(BuildVenv, Trials<'_>), StepError> {
        let namespaces = self.sandbox.isolation().namespaces;
        let outside = workspace.path();
        let inside = if namespaces { PathBuf::from(FIXED_DIRECTORY) } else { outside.to_owned() };
        let visible_at = inside.join(VENV);
        let mut binds = Vec::new();
        let (venv, program) = if namespaces {
            let venv = maker.shared(&visible_at, wheels)?;
            let BuildVenv::Shared(shared) = &venv else { unreachable!("it was asked for") };
            let read_only = |host: PathBuf, inside: PathBuf| Bind { host, inside, writable: false };
            binds.push(Bind { host: outside.to_owned(), inside: inside.clone(), writable: true });
            binds.push(read_only(shared.directory().to_owned(), visible_at.clone()));
            if let Some(pip) = pip {
                let place = outside.join(TOOLS).join("pip");
                fs_err::create_dir(place).map_err(host("make a place for pip"))?;
                binds.push(read_only(pip.to_owned(), inside.join(TOOLS).join("pip")));
            }
            let program = shared.program().to_owned();
            (venv, program)
        } else {
            let venv = maker.own(&outside.join(VENV), &visible_at, wheels)?;
            let program = inside.join("try_wheels.py");
            fs_err::write(&program, PROGRAM).map_err(host("write a program"))?;
            if let Some(pip) = pip {
                fs_err::os::unix::fs::symlink(pip, outside.join(TOOLS).join("pip"))
                    .map_err(host("make a place for pip"))?;
            }
            (venv, program)
        };
        let interpreter = &self.request.interpreter;
        let executables = interpreter.executable.parent().map(Path::to_owned);
        let trials = Trials {
            sandbox: &self.sandbox,
            cancellation: self.cancellation,
            python: python_in(&visible_at),
            program,
            directory: inside,
            binds,
            visible: executables.into_iter().chain([interpreter.base_prefix.clone()]).collect(),
        };
        Ok((venv, trials))
    }

    /// Looks for what is missing and what conflicts, or has `pip` do it.
    fn check_dependencies(
        &self,
        trials: &Trials,
        wheels: &[UnpackedWheel],
        pip: Option<UnpackedWheel>,
    ) -> Result<Dependencies, StepError> {
        let note = match pip {
            Some(pip) => match check_with_pip(trials, wheels, &format!("pip {}", pip.version()))? {
                Ok(dependencies) => return Ok(dependencies),
                Err(note) => Some(note),
            },
            None => None,
        };
        let problems = unmet_requirements(wheels, &self.request.interpreter);
        Ok(Dependencies { checked_by: OURSELVES.to_owned(), problems, note })
    }

    /// Imports what is to be imported, each module in a process of its own; which were. A wheel that has nothing to import
    /// is a note: it may hold data, or be for another Python.
    fn import(
        &self,
        trials: &Trials,
        wheels: &[UnpackedWheel],
        problems: &mut Vec<CheckProblem>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<String>, StepError> {
        let timeout = self.request.timeout;
        let mut imported = Vec::new();
        for wheel in wheels.iter().filter(|wheel| self.request.imports.include(wheel.name())) {
            let modules = importable_modules(wheel, &self.request.interpreter);
            if modules.is_empty() {
                notes.push(format!("{} has no module that this Python could import", wheel.name()));
            }
            for module in modules {
                let tried = trials.run(["import", &module], timeout)?;
                match import_problem(wheel, &module, &tried, timeout) {
                    None => imported.push(module),
                    Some(problem) => problems.push(problem),
                }
            }
        }
        imported.sort();
        imported.dedup();
        Ok(imported)
    }
}

/// What the `pip check` of the pip of this name says; or why it says nothing of use.
fn check_with_pip(
    trials: &Trials,
    wheels: &[UnpackedWheel],
    name: &str,
) -> Result<Result<Dependencies, String>, StepError> {
    let tools = trials.directory.join(TOOLS);
    let tools = tools.to_str().ok_or_else(|| host("give pip a place")("its path is not UTF-8"))?;
    let tried = trials.run(["pip", tools], PIP_PATIENCE)?;
    let problems = named_problems(&tried.lines, wheels);
    // It is 1, too, where pip itself is what failed.
    let is_answer = match tried.exit.outcome {
        Outcome::Code(0) => true,
        Outcome::Code(1) => !problems.is_empty(),
        _ => false,
    };
    if is_answer {
        return Ok(Ok(Dependencies { checked_by: name.to_owned(), problems, note: None }));
    }
    let last = tried.lines.last().map(|line| format!(" ({line})")).unwrap_or_default();
    let how = how_it_ended(&tried, PIP_PATIENCE);
    Ok(Err(format!("`pip check` of {name} {how}{last}, so crosswheel looked for what is missing itself")))
}

/// Why a module was not imported, if it was not.
fn import_problem(
    wheel: &UnpackedWheel,
    module: &str,
    tried: &Tried,
    timeout: Duration,
) -> Option<CheckProblem> {
    if tried.exit.outcome == Outcome::Code(IMPORTED) && !tried.exit.timed_out {
        return None;
    }
    let (error, lines) = match tried.lines.split_last() {
        Some((last, before)) if last.starts_with(MARK) => (last.strip_prefix(MARK), before),
        _ => (None, &tried.lines[..]),
    };
    let message = match error {
        Some(error) if tried.exit.outcome == Outcome::Code(1) => {
            format!("`{module}` cannot be imported: {error}")
        }
        _ => format!("`{module}` cannot be imported: its process {}", how_it_ended(tried, timeout)),
    };
    let end = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    let evidence = lines[end.saturating_sub(TAIL)..end].to_vec();
    Some(CheckProblem { evidence, ..problem(wheel, ProblemKind::Import, message) })
}

/// Behind `its process`.
fn how_it_ended(tried: &Tried, timeout: Duration) -> String {
    if tried.exit.timed_out {
        return format!("had not ended after {} s", timeout.as_secs());
    }
    if let Some(met) = &tried.exit.met {
        return format!("met a limit, {met}");
    }
    match tried.exit.outcome {
        Outcome::Code(code) => format!("ended with exit code {code}"),
        Outcome::Signal(signal) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("was ended by {name}"),
            None => format!("was ended by signal {signal}"),
        },
    }
}

//! The hermetic step: one sdist and the wheels of its build requirements in, one verified wheel
//! out. Each stage consumes the type the one before it made, so none can be left out:
//! sdist → [`SourceTree`] → [`Project`] → [`BuildEnvironment`] → [`BuiltWheel`] →
//! [`VerifiedWheel`] → [`Report`].
//! Knows nothing of indexes, of who asked, or of what is done with the wheel.

use std::io::{Read, Write};
use std::time::Duration;

use super::backend::hooks::Hooks;
use super::backend::used_compiler::used_compiler;
use super::diagnosis::{diagnose_refusal, failed_compilation};
use super::error::{StepError, host};
use super::request::WheelRequest;
use super::source::mentions_machine::mentions_machine;
use super::source::patch::apply_patch;
use super::source::project::Project;
use super::verify::verified_wheel::{ExpectedWheel, NativeExpectation, VerifiedWheel, verify};
use super::verify::wheel_refused::WheelRefused;
use super::workshop::{
    BackendResult, BuildEnvironment, Called, Layout, Workshop, discard, isolated, isolation_report,
    own_peak_memory, prepare_sandbox, used_requirement,
};
use crate::archive;
use crate::archive::SourceTree;
use crate::cancellation::Cancellation;
use crate::contract::{Expect, Failure, Report};
use crate::patience::Patience;
use crate::scratch::file::{self, FileAccess};
use crate::scratch::home::LockedHome;

/// Builds the wheel `request` describes. The backend's output is copied to `output` as it comes;
/// `cancellation` ends the build from another thread.
pub fn build_wheel(
    request: &WheelRequest,
    cancellation: &Cancellation,
    output: &mut (dyn Write + Send),
) -> Result<Report, StepError> {
    check_target(request)?;
    let backend = &request.backend;
    request.promise.check_python(&backend.interpreter).map_err(Failure::from)?;
    let workshop = Workshop::open(backend, cancellation)?;
    std::thread::scope(|scope| {
        let mut step = Step { request, workshop };
        // Takes as long as everything before the backend, and needs none of it.
        let sandbox = std::thread::Builder::new()
            .name("sandbox".into())
            .spawn_scoped(scope, || prepare_sandbox(backend.sandbox, &backend.cache))
            .map_err(host("start a thread"))?;
        let workspace = step.workshop.create_workspace()?;
        let source = step.unpack(&workspace)?;
        let project = step.read_project(&source)?;
        let wheels = step.workshop.wheels(&project)?;
        step.workshop.furnish(&workspace)?;
        let sandbox = sandbox.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let isolation = sandbox.isolation().clone();
        let environment = step.workshop.prepare(&workspace, project, isolation.clone(), wheels)?;
        // Before anything of the project runs, which could change its sources.
        let mentions_machine = mentions_machine(&environment.project);
        let called = Called { hooks: Hooks::Wheel, programs: None, beside: None };
        let (built, remains) = step
            .workshop
            .run_backend(sandbox, &environment, &called, output)
            .map_err(|error| isolated(error, &isolation))?;
        std::thread::scope(|scope| {
            // Without a thread to give, all of it happens when it is dropped.
            let _ = std::thread::Builder::new().name("removal".into()).spawn_scoped(scope, || {
                discard(&workspace, &[Layout::SOURCE, Layout::HOME, Layout::TEMPORARY]);
                drop(remains);
            });
            let verified =
                step.verify(&environment, &source, &built).map_err(|error| isolated(error, &isolation))?;
            step.publish(&verified)?;
            Ok(step.report(&source, &environment, mentions_machine, built, verified))
        })
    })
}

/// How long it may take to verify a wheel, and to put it into its place. The largest there are take a minute.
const VERIFYING: Duration = Duration::from_secs(15 * 60);

struct Step<'a> {
    request: &'a WheelRequest,
    workshop: Workshop<'a>,
}

impl Step<'_> {
    fn unpack(&mut self, workspace: &LockedHome) -> Result<SourceTree, StepError> {
        let destination = workspace.path().join(Layout::SOURCE);
        let source = archive::unpack(&self.request.sdist, &destination, &self.request.limits)?;
        for patch in &self.request.patches {
            apply_patch(&source.root, patch, self.request.patch_strip)?;
        }
        self.workshop.stopwatch.lap("unpack");
        Ok(source)
    }

    fn read_project(&self, source: &SourceTree) -> Result<Project, StepError> {
        self.workshop.cancellation.check()?;
        let project = Project::load(&source.root)?;
        project.check_python(&self.request.backend.interpreter)?;
        let (name, version) = (project.name.as_ref(), project.version.as_ref());
        self.request.promise.check_project(name, version).map_err(Failure::from)?;
        Ok(project)
    }

    fn verify(
        &mut self,
        environment: &BuildEnvironment,
        source: &SourceTree,
        built: &BackendResult,
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
            glibc: request.glibc.or_else(|| request.backend.interpreter.glibc()),
            python: &request.backend.interpreter,
            native,
        };
        let directory = environment.layout.host.join(Layout::OUT);
        let patience = Patience::of(VERIFYING, self.workshop.cancellation);
        let verified = verify(&directory, &built.reported_name, &expected, patience);
        if verified.is_err() {
            self.workshop.cancellation.check()?;
        }
        let verified = verified.map_err(|refused| diagnose_refusal(refused, &built.log))?;
        // Not every sdist says before it is built.
        let version = &verified.file_name.version;
        request.promise.check_project(Some(&verified.name), Some(version)).map_err(Failure::from)?;
        self.workshop.stopwatch.lap("verify");
        Ok(verified)
    }

    /// Puts the wheel under its own name, whole or not at all.
    fn publish(&mut self, verified: &VerifiedWheel) -> Result<(), StepError> {
        let patience = Patience::of(VERIFYING, self.workshop.cancellation);
        let published = fs_err::File::open(&verified.path)
            .and_then(|wheel| {
                let mut wheel = patience.read(wheel.take(verified.size_bytes));
                fs_err::create_dir_all(&self.request.out)?;
                let place = self.request.out.join(verified.file_name.to_string());
                file::write_from(&place, &mut wheel, FileAccess::Mode(0o644))
            })
            .map_err(host("write the wheel"));
        self.workshop.cancellation.check()?;
        published?;
        self.workshop.stopwatch.lap("publish");
        Ok(())
    }

    fn report(
        self,
        source: &SourceTree,
        environment: &BuildEnvironment,
        mentions_machine: bool,
        built: BackendResult,
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
            mentions_machine,
            sha256: verified.sha256,
            size_bytes: verified.size_bytes,
            glibc_floor: verified.glibc_floor,
            foreign_libraries: verified.foreign_libraries,
            target: self.request.target,
            python_version: self.request.backend.interpreter.version_text(),
            emulated: self.request.backend.interpreter.is_emulated(),
            compiler: if verified.native { used_compiler(&self.request.backend) } else { None },
            sdist_sha256: source.sha256,
            backend: environment.project.build_system.backend.clone(),
            build_requirements: environment.installed.iter().map(used_requirement).collect(),
            dynamic_requirements: built.run.requires.unwrap_or_default(),
            isolation: isolation_report(isolation),
            peak_memory_bytes: built.run.exit.peak_memory_bytes,
            own_peak_memory_bytes: own_peak_memory(),
            notes: verified.notes,
            seconds: self.workshop.stopwatch.finish(),
        }
    }
}

/// A wheel of another platform cannot come out of this interpreter: say so before building.
fn check_target(request: &WheelRequest) -> Result<(), StepError> {
    let found = request.backend.interpreter.target();
    if found == request.target {
        return Ok(());
    }
    let python = request.backend.interpreter.executable.clone();
    let refused = WheelRefused::WrongMachine { target: request.target, found, python };
    Err(Failure::from(refused).into())
}

//! From what the user asks for to what has to be installed on each target. Knows each kind of input by what it must be
//! asked, and nothing of what is done with the answer.

use parking_lot::Mutex;

use super::package_settings::PackageSettings;
use super::planned::{PlannedTarget, TargetPlan};
use super::project::LockedProject;
use super::pylock::StandardLock;
use super::request::{WheelhouseInput, WheelhouseRequest};
use super::requirements::RequestedRequirements;
use super::target_python::TargetPython;
use crate::build::builders::Builders;
use crate::build::options::BuildOptions;
use crate::build::side_by_side::side_by_side;
use crate::contract::Failure;

/// What plans are made of, read.
pub(super) struct Planner {
    options: BuildOptions,
    input: Input,
}

enum Input {
    Project(Box<LockedProject>),
    Requirements(Box<RequestedRequirements>),
    Pylock(Box<StandardLock>),
}

/// What is planned.
pub(super) struct Planning {
    /// In the order of the destinations.
    pub(super) targets: Vec<PlannedTarget>,
    /// How each package is built.
    pub(super) settings: PackageSettings,
    /// What somebody should know.
    pub(super) notes: Vec<String>,
}

impl Planner {
    /// Reads what `request` names, and adds to `options` what it says for all builds.
    pub(super) fn new(request: &WheelhouseRequest, mut options: BuildOptions) -> Result<Self, Failure> {
        let input = match &request.input {
            WheelhouseInput::Project { directory, selection } => {
                let project = LockedProject::open(directory, selection, &request.files)?;
                project.add_to(&mut options);
                Input::Project(Box::new(project))
            }
            WheelhouseInput::Requirements { requirements, files } => {
                let requested = RequestedRequirements::read(requirements, files, &request.files)?;
                requested.add_to(&mut options);
                Input::Requirements(Box::new(requested))
            }
            WheelhouseInput::Pylock { path, selection } => {
                Input::Pylock(Box::new(StandardLock::read(path, selection, &request.files)?))
            }
        };
        Ok(Self { options, input })
    }

    /// What the run is to be made with.
    pub(super) fn options(&self) -> &BuildOptions {
        &self.options
    }

    /// Plans each target. One that cannot be planned keeps none of the others from it. If it is only to be looked
    /// `ahead`, a target's Python that is nowhere is taken to be like that of this machine.
    pub(super) fn plan(&self, builders: &Builders, ahead: bool) -> Result<Planning, Failure> {
        let run = &*builders.run;
        let plans: Vec<Mutex<Option<Result<TargetPlan, Failure>>>> =
            builders.destinations.iter().map(|_| Mutex::default()).collect();
        side_by_side(&builders.destinations, run.options.jobs, |index, _| {
            *plans[index].lock() = Some(self.plan_target(builders, index, ahead));
        });
        let planned = builders.destinations.iter().zip(plans).filter_map(|(destination, plan)| {
            let plan = plan.into_inner()?.map_err(|failure| run.redacted(failure));
            Some(PlannedTarget { target: destination.target, plan })
        });
        let targets: Vec<PlannedTarget> = planned.collect();
        let (settings, notes) = match &self.input {
            Input::Project(project) => project.package_settings(&run.customisation, &targets)?,
            Input::Requirements(_) | Input::Pylock(_) => (
                PackageSettings { common: run.customisation.clone(), ..PackageSettings::default() },
                Vec::new(),
            ),
        };
        Ok(Planning { targets, settings, notes })
    }

    fn plan_target(&self, builders: &Builders, index: usize, ahead: bool) -> Result<TargetPlan, Failure> {
        let (run, target) = (&*builders.run, builders.destinations[index].target);
        run.interrupt.check()?;
        let task = run.progress.task(target.to_string());
        let python = match ahead {
            true => TargetPython::perhaps_assumed(builders, index, &task)?,
            false => TargetPython::of_builder(builders, index, &task)?,
        };
        match &self.input {
            Input::Project(project) => project.plan(target, python),
            Input::Pylock(lock) => lock.plan(target, python),
            Input::Requirements(requested) => requested.plan(builders.builder(index, &task)?, python, &task),
        }
    }
}

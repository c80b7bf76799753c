//! The whole of `crosswheel wheelhouse`: what has to be installed is planned for each target, and then made. Knows nothing
//! of the command line or of how results are printed.

use super::finishing::Finishing;
use super::making::{Making, out_directory};
use super::planned::{PlannedTarget, TargetPlan, WheelhousePlan};
use super::planning::{Planner, Planning};
use super::record::WheelhouseRecord;
use super::request::WheelhouseRequest;
use super::results::{TargetResult, WheelhouseSummary};
use crate::build::builders::Builders;
use crate::build::options::BuildOptions;
use crate::build::run::{Run, RunMode};
use crate::build::steps::executor::ConnectExecutor;
use crate::contract::Failure;

/// What would be in the wheelhouse, for each target. Nothing is fetched or built for it but what it takes to know that.
///
/// # Errors
/// What keeps all targets from being planned.
pub fn plan_wheelhouse(
    request: &WheelhouseRequest,
    options: BuildOptions,
    connect: ConnectExecutor,
) -> Result<WheelhousePlan, Failure> {
    let planner = Planner::new(request, options)?;
    let (run, destinations) = Run::new(planner.options().clone(), RunMode::Wheelhouse, connect)?;
    let builders = Builders::new(run, destinations);
    let planning = planner.plan(&builders, true)?;
    Ok(WheelhousePlan { targets: planning.targets, notes: planning.notes })
}

/// Makes the wheelhouse. An error is one that keeps all of it from being made.
///
/// # Errors
/// What keeps all targets from being planned, and a directory that cannot hold a wheelhouse.
pub fn make_wheelhouse(
    request: &WheelhouseRequest,
    options: BuildOptions,
    connect: ConnectExecutor,
) -> Result<WheelhouseSummary, Failure> {
    let planner = Planner::new(request, options)?;
    let mut options = planner.options().clone();
    options.out = out_directory(&options.out)?;
    let record = WheelhouseRecord::read(&options.out)?;
    let (run, destinations) = Run::new(options, RunMode::Wheelhouse, connect)?;
    let builders = Builders::new(run, destinations);
    let planning = planner.plan(&builders, false)?;
    make(&builders, planning, record)
}

fn make(
    builders: &Builders,
    planning: Planning,
    mut record: WheelhouseRecord,
) -> Result<WheelhouseSummary, Failure> {
    let run = &*builders.run;
    let mut notes = planning.notes;
    let plans: Vec<(usize, TargetPlan)> = planning
        .targets
        .iter()
        .enumerate()
        .filter_map(|(index, planned)| Some((index, planned.plan.as_ref().ok()?.clone())))
        .collect();
    let made = Making::new(builders, &plans, &planning.settings, &record).make();
    let mut ending_failures = Vec::new();
    ending_failures.extend(run.write_lock(made.locks).err());
    let finishing = Finishing { out: &run.options.out, interrupt: &run.interrupt };
    let mut targets: Vec<TargetResult> = planning.targets.iter().map(TargetResult::planned).collect();
    let mut rest = made.results.as_slice();
    for (index, plan) in &plans {
        let (of_target, others) = rest.split_at(plan.distributions.len());
        rest = others;
        match finishing.finish(&mut record, plan, &of_target.iter().collect::<Vec<_>>()) {
            Ok(requirements) => targets[*index].requirements = requirements,
            Err(failure) => ending_failures.push(failure),
        }
    }
    let write = || record.write(&run.options.out).map_err(Failure::from);
    ending_failures.extend(run.interrupt.publishing(write).err());
    let plans: Vec<&TargetPlan> = plans.iter().map(|(_, plan)| plan).collect();
    match finishing.leftovers(&record, &plans) {
        Ok(found) => notes.extend(found),
        Err(failure) => ending_failures.push(failure),
    }
    // What is not remembered is read again: no reason to fail.
    let _ = run.sdists.remember_written();
    Ok(WheelhouseSummary {
        targets,
        distributions: made.results,
        notes,
        ending_failures,
        interrupted: run.interrupt.exit_code(),
    })
}

impl TargetResult {
    /// What is known of it before anything is made.
    fn planned(planned: &PlannedTarget) -> Self {
        Self {
            target: planned.target,
            python: planned.plan.as_ref().ok().map(|plan| plan.python.clone()),
            failure: planned.plan.as_ref().err().cloned(),
            requirements: None,
            pylock: None,
        }
    }
}

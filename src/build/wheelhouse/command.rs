//! The whole of `crosswheel wheelhouse`: what has to be installed is planned for each target, and then made. Knows nothing
//! of the command line or of how results are printed.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::checking::{Checked, check};
use super::finishing::Finishing;
use super::making::{Making, out_directory};
use super::planned::{PlannedTarget, TargetPlan, WheelhousePlan};
use super::planning::{Planner, Planning};
use super::record::{TargetRecord, WheelhouseRecord};
use super::request::WheelhouseRequest;
use super::results::{DistributionResult, TargetResult, WheelhouseSummary};
use crate::build::builders::Builders;
use crate::build::options::BuildOptions;
use crate::build::run::{Run, RunMode};
use crate::build::side_by_side::side_by_side;
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
    make(request, &builders, planning, record)
}

fn make(
    request: &WheelhouseRequest,
    builders: &Builders,
    planning: Planning,
    mut record: WheelhouseRecord,
) -> Result<WheelhouseSummary, Failure> {
    let run = &*builders.run;
    let plans: Vec<(usize, TargetPlan)> = planning
        .targets
        .iter()
        .enumerate()
        .filter_map(|(index, planned)| Some((index, planned.plan.as_ref().ok()?.clone())))
        .collect();
    let made = Making::new(builders, &plans, &planning.settings, &record).make();
    let mut notes = [planning.notes, made.notes].concat();
    let mut ending_failures = Vec::new();
    ending_failures.extend(run.write_lock(made.locks).err());
    let checks = checks(request, builders, &plans, &made.results, &record);
    let finishing = Finishing {
        out: &run.options.out,
        sdists: &run.sdists,
        interrupt: &run.interrupt,
        pylock: request.pylock,
    };
    let mut targets: Vec<TargetResult> = planning.targets.iter().map(TargetResult::planned).collect();
    for (((index, plan), results), checked) in plans.iter().zip(of_plans(&plans, &made.results)).zip(checks) {
        let target = &mut targets[*index];
        let old = record.target(plan.target, &plan.python.name);
        let mut check = old.filter(|old| is_of(old, results)).and_then(|old| old.check.clone());
        match checked {
            Some(Ok(checked)) => {
                target.check_failure = checked.report.failure();
                (target.check, check) = (Some(checked.report), checked.record);
            }
            Some(Err(failure)) => target.check_failure = Some(run.redacted(failure)),
            None if request.check && results.is_empty() => {
                notes.push(format!(
                    "nothing was checked for {}: nothing has to be installed there",
                    plan.target
                ));
            }
            None if request.check => {
                notes.push(format!("{} was not checked, as not everything is there", plan.target));
            }
            None => {}
        }
        match finishing.finish(&mut record, plan, results, check) {
            Ok(files) => {
                (target.requirements, target.pylock) =
                    files.map_or((None, None), |files| (Some(files.requirements), files.pylock));
            }
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

/// The results of each plan.
fn of_plans<'a>(
    plans: &[(usize, TargetPlan)],
    results: &'a [DistributionResult],
) -> Vec<&'a [DistributionResult]> {
    let mut rest = results;
    let take = |(_, plan): &(usize, TargetPlan)| {
        let (of_plan, others) = rest.split_at(plan.distributions.len());
        rest = others;
        of_plan
    };
    plans.iter().map(take).collect()
}

/// Whether the wheels of `results` are those of `old`, to the byte.
fn is_of(old: &TargetRecord, results: &[DistributionResult]) -> bool {
    let wheels = results.iter().filter_map(|result| result.record.as_ref());
    let known: BTreeSet<_> = old.wheels.iter().map(|wheel| (&wheel.file_name, wheel.sha256)).collect();
    known == wheels.map(|wheel| (&wheel.file_name, wheel.sha256)).collect()
}

/// For each plan, what a check of it found; none if none is wanted, not everything is there, or there is nothing.
fn checks(
    request: &WheelhouseRequest,
    builders: &Builders,
    plans: &[(usize, TargetPlan)],
    results: &[DistributionResult],
    record: &WheelhouseRecord,
) -> Vec<Option<Result<Checked, Failure>>> {
    let checks: Vec<Mutex<Option<_>>> = plans.iter().map(|_| Mutex::default()).collect();
    let results = of_plans(plans, results);
    side_by_side(plans, builders.run.options.jobs, |number, (index, plan)| {
        let is_wanted = request.check && !results[number].is_empty();
        if is_wanted && results[number].iter().all(|result| result.record.is_some()) {
            let known = record.target(plan.target, &plan.python.name).and_then(|old| old.check.as_ref());
            *checks[number].lock() = Some(check(builders, *index, results[number], known));
        }
    });
    checks.into_iter().map(Mutex::into_inner).collect()
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
            check: None,
            check_failure: None,
        }
    }
}

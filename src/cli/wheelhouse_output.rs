//! How plans and results of wheelhouses look, to a person and in documents. Knows nothing of how they came about.

use std::collections::BTreeMap;

use serde::Serialize;

use super::output::{complain, print};
use crate::build::{
    DistributionOrigin, DistributionResult, DistributionStatus, PlannedDistribution, PlannedTarget,
    PythonFacts, TargetPlan, TargetResult, WheelhousePlan, WheelhouseSummary,
};
use crate::contract::{Failure, IsolationReport};
use crate::digest::Sha256;
use crate::platform::Target;

/// Columns of text, each as wide as it must be, two spaces apart. The last is not filled up.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

// --- Plans ---

#[derive(Serialize)]
struct PlanDocument<'a> {
    targets: Vec<TargetDocument<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct TargetDocument<'a> {
    target: Target,
    python: Option<&'a PythonFacts>,
    failure: Option<&'a Failure>,
    distributions: Vec<DistributionDocument<'a>>,
}

#[derive(Serialize)]
struct DistributionDocument<'a> {
    name: String,
    version: Option<String>,
    kind: &'static str,
    place: String,
    file_name: Option<&'a str>,
    sha256: Option<Sha256>,
    size_bytes: Option<u64>,
    reason: &'a str,
}

/// The document of a plan.
pub(super) fn plan_document(plan: &WheelhousePlan) -> impl Serialize {
    PlanDocument { targets: plan.targets.iter().map(of_target).collect(), notes: &plan.notes }
}

fn of_target(planned: &PlannedTarget) -> TargetDocument<'_> {
    let plan = planned.plan.as_ref().ok();
    TargetDocument {
        target: planned.target,
        python: plan.map(|plan| &plan.python),
        failure: planned.plan.as_ref().err(),
        distributions: plan.into_iter().flat_map(|plan| &plan.distributions).map(distribution).collect(),
    }
}

fn distribution(planned: &PlannedDistribution) -> DistributionDocument<'_> {
    let file = match &planned.origin {
        DistributionOrigin::Wheel(file) | DistributionOrigin::Sdist(file) => Some(file),
        DistributionOrigin::Tree(_) => None,
    };
    DistributionDocument {
        name: planned.name.to_string(),
        version: planned.version.as_ref().map(ToString::to_string),
        kind: planned.origin.kind(),
        place: planned.origin.shown_place(),
        file_name: file.map(|file| file.file_name.as_str()),
        sha256: file.and_then(|file| file.sha256),
        size_bytes: file.and_then(|file| file.size),
        reason: &planned.reason,
    }
}

/// The table of a plan: a row for each package, a column for each target, and why something is to be built.
pub(super) fn plan_table(plan: &WheelhousePlan) -> String {
    let plans: Vec<&TargetPlan> =
        plan.targets.iter().filter_map(|planned| planned.plan.as_ref().ok()).collect();
    let mut packages: BTreeMap<(String, Option<&pep440_rs::Version>), Vec<Option<&PlannedDistribution>>> =
        BTreeMap::new();
    for (index, plan) in plans.iter().enumerate() {
        for planned in &plan.distributions {
            let row = (planned.name.to_string(), planned.version.as_ref());
            packages.entry(row).or_insert_with(|| vec![None; plans.len()])[index] = Some(planned);
        }
    }
    let mut head = vec!["PACKAGE".to_owned()];
    head.extend(plans.iter().map(|plan| plan.target.to_string()));
    let mut rows = vec![head];
    for ((name, version), cells) in &packages {
        let mut row = vec![version.map_or_else(|| name.clone(), |version| format!("{name} {version}"))];
        row.extend(cells.iter().map(|cell| cell.map_or("-", |planned| planned.origin.kind()).to_owned()));
        row.push(reasons(&plans, cells));
        rows.push(row);
    }
    let mut parts = Vec::new();
    if !plans.is_empty() {
        parts.push(columns(&rows));
    }
    parts.extend(plan.targets.iter().map(summary_line));
    parts.join("\n")
}

/// Why something is built, said once if it is the same for all targets.
fn reasons(plans: &[&TargetPlan], cells: &[Option<&PlannedDistribution>]) -> String {
    let mut targets: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (plan, planned) in plans.iter().zip(cells) {
        let Some(planned) = planned.filter(|planned| !matches!(planned.origin, DistributionOrigin::Wheel(_)))
        else {
            continue;
        };
        targets.entry(planned.reason.as_str()).or_default().push(plan.target.to_string());
    }
    let built: usize = targets.values().map(Vec::len).sum();
    let of = |(reason, of): (&&str, &Vec<String>)| match targets.len() {
        1 if built == cells.iter().flatten().count() => (*reason).to_owned(),
        _ => format!("{}: {reason}", of.join(", ")),
    };
    targets.iter().map(of).collect::<Vec<_>>().join("; ")
}

fn summary_line(planned: &PlannedTarget) -> String {
    let plan = match &planned.plan {
        Ok(plan) => plan,
        Err(failure) => return format!("{}: {failure}{}", planned.target, hint(failure)),
    };
    let is_wheel = |planned: &&PlannedDistribution| matches!(planned.origin, DistributionOrigin::Wheel(_));
    let wheels = plan.distributions.iter().filter(is_wheel).count();
    let builds = plan.distributions.len() - wheels;
    let glibc = plan.python.glibc.map(|glibc| format!(", glibc {glibc}")).unwrap_or_default();
    let assumed = match plan.python.assumed {
        true => ": assumed, as there is nothing here that builds for it",
        false => "",
    };
    format!(
        "{}: {} to fetch, {} to build (Python {}{glibc}{assumed})",
        planned.target,
        counted(wheels, "wheel"),
        builds,
        plan.python.version
    )
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What a failure has to say beyond its message, in lines of its own.
fn hint(failure: &Failure) -> String {
    let evidence: String = failure.evidence.iter().map(|line| format!("\n  | {line}")).collect();
    let hint = failure.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    evidence + &hint
}

// --- Results ---

#[derive(Serialize)]
struct SummaryDocument<'a> {
    targets: &'a [TargetResult],
    distributions: &'a [DistributionResult],
    notes: &'a [String],
    failures: &'a [Failure],
}

/// The document of what has come of a wheelhouse.
pub(super) fn summary_document(summary: &WheelhouseSummary) -> impl Serialize {
    SummaryDocument {
        targets: &summary.targets,
        distributions: &summary.distributions,
        notes: &summary.notes,
        failures: &summary.ending_failures,
    }
}

/// Prints what has come of a wheelhouse: its files, and a table of what failed.
pub(super) fn print_summary(summary: &WheelhouseSummary) {
    let mut lines: Vec<String> = Vec::new();
    let failed: Vec<&DistributionResult> =
        summary.distributions.iter().filter(|result| result.failure.is_some()).collect();
    if !failed.is_empty() {
        let mut rows = vec![["PACKAGE", "TARGET", "CLASS", "LOG"].map(str::to_owned).to_vec()];
        rows.extend(failed.iter().map(|result| failed_row(result)));
        lines.push(columns(&rows));
        lines.push(String::new());
        lines.extend(failed.iter().flat_map(|result| explanation(result)));
    }
    for target in &summary.targets {
        if let Some(failure) = &target.failure {
            lines.push(format!("{}: {failure}{}", target.target, hint(failure)));
        }
        lines.extend(checked(target));
        lines.extend(target.requirements.iter().chain(&target.pylock).map(|path| path.display().to_string()));
    }
    let counts = DistributionStatus::ALL.iter().map(|status| (summary.count(*status), status.word()));
    let counts: Vec<String> =
        counts.filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if !counts.is_empty() {
        lines.push(counts.join(", "));
    }
    if !lines.is_empty() {
        print(&lines.join("\n"));
    }
    summary.notes.iter().for_each(|note| complain(&format!("note: {note}")));
    for failure in &summary.ending_failures {
        complain(&format!("crosswheel wheelhouse: {failure}{}", hint(failure)));
    }
}

/// Says what isolation lacked, and what a check could not do as it should, wherever the results go.
pub(super) fn complain_of_conditions(summary: &WheelhouseSummary) {
    for result in &summary.distributions {
        let report = result.record.as_ref().and_then(|record| record.report.as_ref());
        let isolation = match (report, &result.failure) {
            (Some(report), _) => Some(&report.isolation),
            (None, Some(failure)) => failure.isolation.as_deref(),
            (None, None) => None,
        };
        for remark in isolation.into_iter().flat_map(IsolationReport::remarks) {
            complain(&format!("note: {} {}: {remark}", title(result), result.target));
        }
    }
    for target in &summary.targets {
        let Some(report) = &target.check else { continue };
        let of = target.target;
        report.notes.iter().for_each(|note| complain(&format!("note: {of}: {note}")));
        report
            .isolation
            .lost
            .iter()
            .for_each(|lost| complain(&format!("note: {of}: checked without {lost}")));
    }
}

/// What a check found, in a line for each problem.
fn checked(target: &TargetResult) -> Vec<String> {
    let of = target.target;
    let report = match (&target.check, &target.check_failure) {
        (Some(report), _) => report,
        (None, Some(failure)) => return vec![format!("{of}: {failure}{}", hint(failure))],
        (None, None) => return Vec::new(),
    };
    let by = &report.checked_by;
    let mut lines = vec![format!(
        "{of}: checked by {by}: {} installed, {} imported, {}",
        counted(report.installed, "wheel"),
        counted(report.imported.len(), "module"),
        counted(report.problems.len(), "problem")
    )];
    for problem in &report.problems {
        lines.push(format!("{of}: {problem}"));
        lines.extend(problem.evidence.iter().map(|line| format!("  | {line}")));
    }
    lines
}

fn title(result: &DistributionResult) -> String {
    result
        .version
        .as_ref()
        .map_or_else(|| result.name.clone(), |version| format!("{} {version}", result.name))
}

fn failed_row(result: &DistributionResult) -> Vec<String> {
    let class = result.failure.as_ref().map_or("", |failure| failure.class.name());
    let log = result.log.as_ref().map_or_else(|| "-".to_owned(), |log| log.display().to_string());
    vec![title(result), result.target.to_string(), class.to_owned(), log]
}

/// What happened, the lines that show it, and what to do.
fn explanation(result: &DistributionResult) -> Vec<String> {
    let Some(failure) = &result.failure else { return Vec::new() };
    let mut lines = vec![format!("{} {}: {failure}", title(result), result.target)];
    lines.extend(failure.evidence.iter().map(|line| format!("  | {line}")));
    lines.extend(failure.hint.iter().map(|hint| format!("  hint: {hint}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let text = columns(&[row(&["PACKAGE", "a", ""]), row(&["x", "wheel", "why"]), row(&["é", "-"])]);
        assert_eq!(text, "PACKAGE  a\nx        wheel  why\né        -");
    }
}

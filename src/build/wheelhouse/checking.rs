//! Whether what is in a wheelhouse works on its target, unless that was found out before. Knows nothing of how it is found
//! out.

use std::path::PathBuf;

use pep508_rs::PackageName;

use super::record::{CheckRecord, HowMade};
use super::results::DistributionResult;
use crate::build::builder::Builder;
use crate::build::builders::Builders;
use crate::contract::{CheckReport, Failure};
use crate::digest::Sha256;

/// What came of a check.
pub(super) struct Checked {
    pub(super) report: CheckReport,
    /// What is kept of it, if nothing is wrong.
    pub(super) record: Option<CheckRecord>,
}

/// Checks the wheels of `results`, which are all that has to be installed on the destination at `index`. Modules are
/// imported of those that were built. If `known` is of the same check, it is that.
pub(super) fn check(
    builders: &Builders,
    index: usize,
    results: &[DistributionResult],
    known: Option<&CheckRecord>,
) -> Result<Checked, Failure> {
    let run = &*builders.run;
    run.interrupt.check()?;
    let task = run.progress.task(builders.label("checking", index));
    let builder: &Builder = builders.builder(index, &task)?;
    let records = results.iter().filter_map(|result| Some((result.record.as_ref()?, result.wheel.clone()?)));
    let (mut wheels, mut imports): (Vec<(PathBuf, Sha256)>, Vec<PackageName>) = Default::default();
    for (record, wheel) in records {
        wheels.push((wheel, record.sha256));
        if record.how == HowMade::Built {
            imports.extend(record.name.parse::<PackageName>().ok());
        }
    }
    let key = builder.check_key(&wheels, &imports)?;
    if let Some(known) = known.filter(|known| known.key == key && !run.options.rebuild) {
        return Ok(Checked { report: known.report.clone(), record: Some(known.clone()) });
    }
    let report = builder.check(&wheels, &imports, &task)?;
    let record = report.problems.is_empty().then(|| CheckRecord { report: report.clone(), key });
    Ok(Checked { report, record })
}

//! Whether a wheel is the distribution that was planned, by its name, by what it says inside and by what was built.
//! Knows nothing of how it was had.

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::planned::{PlannedDistribution, PlannedFile};
use crate::contract::{Failure, FailureClass, Report};
use crate::packaging::wheel_name::{InvalidWheelName, WheelFileName};

/// `NAME VERSION`, as messages have it.
pub(super) fn title(planned: &PlannedDistribution) -> String {
    match &planned.version {
        Some(version) => format!("{} {version}", planned.name),
        None => planned.name.to_string(),
    }
}

/// The version of the wheel, by its name if the plan does not know it.
pub(super) fn version_of_wheel(
    planned: &PlannedDistribution,
    file: &PlannedFile,
) -> Result<Version, Failure> {
    if let Some(version) = &planned.version {
        return Ok(version.clone());
    }
    let name: WheelFileName = file
        .file_name
        .parse()
        .map_err(|error: InvalidWheelName| Failure::new(FailureClass::FetchFailed, error.to_string()))?;
    Ok(name.version)
}

/// Fails if the name of the file is that of another project or version, which nobody could install by its name.
pub(super) fn check_file_name(planned: &PlannedDistribution, file: &PlannedFile) -> Result<(), Failure> {
    let name: WheelFileName = file
        .file_name
        .parse()
        .map_err(|error: InvalidWheelName| Failure::new(FailureClass::FetchFailed, error.to_string()))?;
    check_project(planned, &file.file_name, &name.name, &name.version)
}

pub(super) fn check_project(
    planned: &PlannedDistribution,
    file_name: &str,
    name: &PackageName,
    version: &Version,
) -> Result<(), Failure> {
    let is_version = planned.version.as_ref().is_none_or(|wanted| wanted == version);
    if *name == planned.name && is_version {
        return Ok(());
    }
    let message = format!("{} has to be installed, and {file_name} is {name} {version}", title(planned));
    Err(Failure::new(FailureClass::WheelRefused, message)
        .with_hint("the lock or the index names a file of something else"))
}

/// Fails if something else came out than was planned.
pub(super) fn check_identity(planned: &PlannedDistribution, report: &Report) -> Result<(), Failure> {
    let is_name = report.name.parse().is_ok_and(|found: PackageName| found == planned.name);
    let is_version = planned
        .version
        .as_ref()
        .is_none_or(|wanted| report.version.parse().is_ok_and(|found: Version| found == *wanted));
    if is_name && is_version {
        return Ok(());
    }
    let message =
        format!("{} has to be installed, and its source built {}", title(planned), report.file_name);
    Err(Failure::new(FailureClass::WheelRefused, message)
        .with_hint("if the source has another version by now, lock the project again"))
}

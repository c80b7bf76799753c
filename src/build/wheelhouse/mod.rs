//! `crosswheel wheelhouse`: everything that has to be installed, for every target, with nothing built that an index
//! already has. Knows nothing of how a wheel is built, nor of the command line.

mod checking;
mod command;
mod finishing;
mod first_then_rest;
mod identity;
mod installer_texts;
mod lock_files;
mod making;
mod package_settings;
mod planned;
mod planning;
mod project;
mod pylock;
mod record;
mod request;
mod requirements;
mod results;
mod tally;
mod target_python;
mod wheel_needs;

pub use command::{make_wheelhouse, plan_wheelhouse};
pub use planned::{
    DistributionOrigin, PlannedDistribution, PlannedFile, PlannedTarget, PythonFacts, TargetPlan,
    WheelhousePlan,
};
pub use record::WheelRecord;
pub use request::{FileFlags, PackageSet, WheelhouseInput, WheelhouseRequest};
pub use results::{DistributionResult, DistributionStatus, TargetResult, WheelhouseSummary};

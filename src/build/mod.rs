//! What to build for which targets: sources, build requirements, and the steps that make wheels.
//! Knows nothing of how a step works inside, but how it reads a project and applies a patch, which both must do alike.

mod build_sdist;
mod builder;
mod builders;
mod built;
mod cache;
mod check_wheels;
mod command;
mod customisation;
mod failure;
mod index;
mod inputs;
mod interrupt;
mod options;
mod progress;
mod resolve;
mod results;
mod run;
mod settings;
mod shared_builds;
mod side_by_side;
mod steps;
mod targets;
mod wheel_cache;
mod wheelhouse;

pub use command::build;
pub use options::BuildOptions;
pub use results::{BuildSummary, SourceResult, SourceStatus};
pub use settings::index_settings::{IndexFlags, ProjectIndexes};
pub use settings::layer::SettingsLayer;
pub use steps::executor::{ConnectExecutor, ConnectedExecutor, ExecutorSurroundings};
pub use targets::placement::RemotePlacement;
pub use wheelhouse::{
    DistributionOrigin, DistributionResult, DistributionStatus, FileFlags, PackageSet, PlannedDistribution,
    PlannedFile, PlannedTarget, PythonFacts, TargetPlan, TargetResult, WheelRecord, WheelhouseInput,
    WheelhousePlan, WheelhouseRequest, WheelhouseSummary, make_wheelhouse, plan_wheelhouse,
};

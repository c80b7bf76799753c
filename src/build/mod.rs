//! What to build for which targets: sources, build requirements, and the steps that make wheels.
//! Knows nothing of how a step works inside.

mod build_sdist;
mod builder;
mod cache;
mod command;
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
mod steps;
mod targets;
mod wheel_cache;

pub use command::build;
pub use failure::{BuildFailure, BuildFailureClass};
pub use options::BuildOptions;
pub use results::{BuildSummary, SourceResult, Status};
pub use settings::index_settings::IndexFlags;
pub use settings::layer::Layer;
pub use steps::executor::{Connect, Reached, Surroundings};
pub use targets::placement::RemotePlacement;

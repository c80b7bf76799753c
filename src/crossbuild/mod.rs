//! What to build for which targets: sources, build requirements, and the steps that make wheels.
//! Knows nothing of how a step works inside.

mod acquire;
mod anchors;
mod build;
mod builder;
mod cache;
mod constraints;
mod credentials;
mod download;
mod executor;
mod failure;
mod http;
mod index;
mod index_settings;
mod interrupt;
mod lines;
mod lock;
mod locking;
mod options;
mod pip_config;
mod progress;
mod requirements;
mod resolution;
mod results;
mod runner;
mod rust;
mod sdists;
mod settings_layer;
mod source;
mod step;
mod uv;
mod uv_config;
mod wheel_cache;

pub use build::build;
pub use executor::{Connect, Placement};
pub use failure::{BuildFailure, BuildFailureClass};
pub use index_settings::IndexFlags;
pub use options::BuildOptions;
pub use results::{BuildSummary, SourceResult, Status};
pub use settings_layer::Layer;

//! A project's uv.lock and pyproject.toml: what they say, what of it one environment needs, and which file each record
//! of that is. Knows neither Bazel, nor the Remote Execution API, nor the network: nothing is fetched or run here.

mod activation;
mod decision;
mod document;
mod edge;
mod error;
mod fixpoint;
mod group_name;
mod locked_file;
mod manifest;
mod marker_text;
mod pyproject;
mod record_index;
mod record_reading;
mod requirement;
mod selecting;
mod wheel_choice;

pub mod aliases;
pub mod closure;
pub mod components;
pub mod conditions;
pub mod configuration;
pub mod conflicts;
pub mod graph;
pub mod lock_file;
pub mod plan;
pub mod project;
pub mod record;
pub mod selection;
pub mod settings;
pub mod source;
pub mod supported;

pub use aliases::Aliases;
pub use closure::Closure;
pub use components::{Components, Entry};
pub use conditions::{ConditionalEdge, Conditions, Unavailable, UnavailableReason};
pub use configuration::{Configuration, RequiredPython, Root};
pub use conflicts::{ActiveAtoms, ConflictItem, ConflictKind, ConflictSet};
pub use edge::Edge;
pub use error::{LockError, NoFileReason};
pub use graph::{Graph, NodeId};
pub use group_name::GroupName;
pub use lock_file::Lock;
pub use locked_file::{FileHash, FilePlace, LockedFile};
pub use manifest::{DefaultGroups, DependencyMetadata, Manifest, ManifestDependency};
pub use plan::{FileChoice, FilePreferences, Plan, PlannedPackage, Reason, TreeKind};
pub use project::Project;
pub use record::{Record, RecordId};
pub use record_index::RecordIndex;
pub use requirement::LockedRequirement;
pub use selection::Selection;
pub use settings::{ConfigSettings, ExtraBuildDependency, ProjectIndex, ProjectSettings};
pub use source::{RecordSource, RegistryPlace};
pub use supported::SupportedEnvironments;

//! A project's uv.lock and pyproject.toml: what they say, what of it one environment needs, and which file each record
//! of that is. Knows neither Bazel, nor the Remote Execution API, nor the network: nothing is fetched or run here.

mod decision;
mod document;
mod edge;
mod error;
mod fixpoint;
mod group_name;
mod locked_file;
mod manifest;
mod marker_text;
mod record_index;
mod record_reading;
mod requirement;

pub mod aliases;
pub mod components;
pub mod conditions;
pub mod configuration;
pub mod conflicts;
pub mod graph;
pub mod lock_file;
pub mod record;
pub mod source;
pub mod supported;

pub use aliases::Aliases;
pub use components::{Components, Entry};
pub use conditions::{ConditionalEdge, Conditions, Unavailable, UnavailableReason};
pub use configuration::{Configuration, Root};
pub use conflicts::{ActiveAtoms, ConflictItem, ConflictKind, ConflictSet};
pub use edge::Edge;
pub use error::LockError;
pub use graph::{Graph, NodeId};
pub use group_name::GroupName;
pub use lock_file::Lock;
pub use locked_file::{FileHash, FilePlace, LockedFile};
pub use manifest::{DefaultGroups, DependencyMetadata, Manifest, ManifestDependency};
pub use record::{Record, RecordId};
pub use record_index::RecordIndex;
pub use requirement::LockedRequirement;
pub use source::{RecordSource, RegistryPlace};
pub use supported::SupportedEnvironments;

//! Bazel's files from a model: platforms, empty toolchains that place builds, and the rules that build wheels.
//! Runs neither Bazel nor Python, and knows nothing of the messages of the Remote Execution API.
//!
//! **How builds are placed.** Each platform of the model has a toolchain without files whose execution and target
//! constraints are both the platform's. The rule `py_sdist_wheel` runs its action in an exec group that asks for
//! such a toolchain, so Bazel runs the action on an execution platform that is like the target platform, and sends
//! its `exec_properties` along.
//!
//! **One package for all versions of Bazel.** What differs from one to another is how the package is registered, so
//! that [`BazelVersion`]s decide which of the registration files there are, and nothing else.
//!
//! **When there is no place**, the user is to read why. Toolchains are optional where Bazel knows such (from 6 on);
//! Bazel 4 finds the toolchain in the package `unplaced`, whose platform nothing else asks for. A further exec group
//! for each platform tells which are registered.

mod bazel_platform;
mod build_file;
mod check;
mod directory;
mod emission;
mod marker;
mod model;
mod model_file;
mod registration;
mod syntax;

pub use directory::{Difference, DifferenceKind, DirectoryError, PackageDirectory, Written};
pub use emission::{Emission, GeneratedFile};
pub use model::{BazelModel, BazelVersion, ModelError, PlatformModel, PythonVersion};
pub use model_file::ModelFile;

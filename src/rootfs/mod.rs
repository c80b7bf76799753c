//! Root file systems that builds run in, perhaps for another architecture than this machine's: made from packages,
//! images or archives, checked, and what they offer. Runs nothing of theirs. Knows nothing of actions, queues and
//! sandboxes.

mod check;
mod compression;
mod create;
mod error;
mod furnish;
mod image_spec;
mod inside;
mod marker;
mod mmdebstrap;
mod oci;
mod place;
mod platform;
mod unpack;

pub use check::{HostSupport, RootfsCheck, check};
pub use create::{CreatedRootfs, RootfsRequest, RootfsSource, create};
pub use error::{BlobProblem, MemberProblem, RootfsError};
pub use inside::resolve_in_root;
pub use marker::{MARKER, Marker, read_marker};
pub use mmdebstrap::{Debian, MmdebstrapCause, MmdebstrapError, packages};
pub use platform::RootfsPlatform;

//! Root file systems that actions run in, perhaps for another architecture than this machine's: made from packages,
//! images or archives, checked, and what they offer. Runs nothing of theirs. Knows nothing of actions, queues and
//! sandboxes.

mod check;
mod compression;
mod create;
mod error;
mod furnish;
mod image_spec;
mod inside;
mod mmdebstrap;
mod oci;
mod offer;
mod place;
mod removal;
mod unpack;

pub use check::{Check, HostSupport, check};
pub use create::{Created, Request, Source, create};
pub use error::{BlobProblem, MemberProblem, RootfsError};
pub use inside::resolve;
pub use mmdebstrap::{Cause, Debian, MmdebstrapError, packages};
pub use offer::Offer;
pub use place::{MARKER, Marker, read_marker};

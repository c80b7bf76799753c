//! The messages and services of the Remote Execution API and its relatives, under short names.
//! Knows nothing of what we do with them.

pub use bazel_remote_apis::build::bazel::remote::execution::v2::*;

/// `build.bazel.semver`.
pub use bazel_remote_apis::build::bazel::semver;

/// `build.bazel.remote.logstream.v1`.
pub use bazel_remote_apis::build::bazel::remote::logstream::v1 as logstream;

/// `google.bytestream`.
pub use bazel_remote_apis::google::bytestream;

/// `google.longrunning`.
pub use bazel_remote_apis::google::longrunning;

/// `google.rpc`: `Status` only; its details are in [`details`].
pub use bazel_remote_apis::google::rpc;

/// `google.protobuf`: `Any`, `Duration`, `Timestamp` and the wrappers.
pub use bazel_remote_apis::google::protobuf;

/// A moment as messages have it.
pub fn timestamp(at: std::time::SystemTime) -> protobuf::Timestamp {
    let at = prost_types::Timestamp::from(at);
    protobuf::Timestamp { seconds: at.seconds, nanos: at.nanos }
}

/// The moment that a message has; none if no clock can say it.
pub fn moment(at: protobuf::Timestamp) -> Option<std::time::SystemTime> {
    prost_types::Timestamp { seconds: at.seconds, nanos: at.nanos }.try_into().ok()
}

/// How every [`prost::DecodeError`] begins when it is shown.
pub const DECODE_ERROR_PREFIX: &str = "failed to decode Protobuf message: ";

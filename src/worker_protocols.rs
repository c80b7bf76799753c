//! The messages and services that engines speak with their workers, made of `protos/`. Knows nothing of what is said
//! when.

/// Buildbarn: `buildbarn.remoteworker`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod buildbarn {
    tonic::include_proto!("buildbarn.remoteworker");
}

/// BuildGrid: `google.devtools.remoteworkers.v1test2`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod bots {
    tonic::include_proto!("google.devtools.remoteworkers.v1test2");
}

/// NativeLink: `com.github.trace_machina.nativelink.remote_execution`.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod nativelink {
    tonic::include_proto!("com.github.trace_machina.nativelink.remote_execution");
}

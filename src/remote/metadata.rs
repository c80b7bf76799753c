//! Who asks and what for, in a header of each request (REAPI `RequestMetadata`).

use prost::Message;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::reapi::RequestMetadata;

/// The header REAPI names for it.
const HEADER: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// A request that says who asks.
pub fn attach<T>(message: T, metadata: &RequestMetadata) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert_bin(HEADER, MetadataValue::from_bytes(&metadata.encode_to_vec()));
    request
}

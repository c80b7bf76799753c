//! What each error is on the wire: the one place where gRPC codes and `google.rpc` details are assigned, for the server
//! and for workers of other engines. Knows nothing of how the errors came about.

mod errors;
mod response;
mod shortage;

pub(crate) use errors::{
    encoded_outcome, invalid, invalid_digest, malformed, missing_outputs, out_of_range, to_message,
};
pub(crate) use response::execute_response;
pub(crate) use shortage::later;

//! What each error is on the wire: the one place where gRPC codes and `google.rpc` details are assigned.
//! Knows nothing of how the errors came about.

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::cas::StoreError;
use crate::digest::{Digest, InvalidBlobDigest};
use crate::execute::{ExecuteError, MissingInput};
use crate::reapi::rpc;

/// A request whose `field`, a path like `digests[3].hash`, cannot be what it is.
pub(super) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Status {
    let (field, problem) = (field.into(), problem.into());
    let message = format!("{field}: {problem}");
    let details = ErrorDetails::with_bad_request_violation(field, problem);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A request that is not an encoded message of the type it must be. `message` is that type's name.
pub(super) fn malformed(message: &str, error: &prost::DecodeError) -> Status {
    let text = error.to_string();
    let problem = text.strip_prefix(DECODE_ERROR_PREFIX).unwrap_or(&text);
    invalid(message, format!("is not a well-formed message: {problem}"))
}

/// How every [`prost::DecodeError`] begins when it is shown.
pub(super) const DECODE_ERROR_PREFIX: &str = "failed to decode Protobuf message: ";

/// The digest in `field` of a request names no blob.
pub(super) fn invalid_digest(field: &str, problem: &InvalidBlobDigest) -> Status {
    let field = match problem {
        InvalidBlobDigest::Missing => field.to_owned(),
        InvalidBlobDigest::Hash(_) => format!("{field}.hash"),
        InvalidBlobDigest::Size(_) => format!("{field}.size_bytes"),
        InvalidBlobDigest::Function(_) => "digest_function".to_owned(),
    };
    invalid(field, problem.to_string())
}

/// The outcome for one of many things in a response: an encoded `google.rpc.Status`, with its details.
pub(super) fn encoded_outcome(status: &Status) -> Vec<u8> {
    if !status.details().is_empty() {
        // It has all of it: code, message and details.
        return status.details().to_vec();
    }
    rpc::Status { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() }
        .encode_to_vec()
}

/// The outputs of an action result that the store lacks, likewise with a violation each.
pub(super) fn missing_outputs(missing: &[Digest]) -> Status {
    let mut details = ErrorDetails::new();
    for digest in missing {
        details.add_precondition_failure_violation("MISSING", subject(digest), "an output of the action");
    }
    let first = missing.first().map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "{} outputs of the action result are not in the store, the first is {first}; upload outputs first",
        missing.len()
    );
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// The blobs an action needs and the store lacks, as clients want it to upload them again: one violation of
/// type `MISSING` each, with the subject `blobs/HASH/SIZE` (REAPI `Execution.Execute`).
pub(super) fn missing_inputs(missing: &[MissingInput]) -> Status {
    let mut details = ErrorDetails::new();
    for input in missing {
        details.add_precondition_failure_violation("MISSING", subject(&input.digest), input.role.clone());
    }
    let message = ExecuteError::MissingInputs(missing.to_vec()).to_string();
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

fn subject(digest: &Digest) -> String {
    match digest.function {
        crate::digest::DigestFunction::Sha256 => format!("blobs/{digest}"),
        other => format!("blobs/{}/{digest}", other.name()),
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound(_) => Code::NotFound,
            StoreError::Mismatch { .. } => Code::InvalidArgument,
            StoreError::NoRoom { .. } => Code::ResourceExhausted,
            StoreError::Io { .. } => Code::Internal,
            StoreError::Damaged(_) => Code::DataLoss,
            StoreError::Remote { .. } => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ExecuteError> for Status {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::MissingInputs(missing) => missing_inputs(&missing),
            ExecuteError::Invalid { field, problem } => invalid(field, problem),
            ExecuteError::Cancelled => Self::cancelled("the action was cancelled"),
            ExecuteError::Store(error) => error.into(),
            error @ (ExecuteError::Sandbox(_) | ExecuteError::Io { .. }) => Self::internal(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::digest::DigestFunction;

    use super::*;

    #[test]
    fn every_missing_blob_is_a_violation_that_names_it() {
        let digest = DigestFunction::Sha256.digest(b"a");
        let input = MissingInput { digest, role: "the input file `a`".into() };
        let status = Status::from(ExecuteError::MissingInputs(vec![input.clone(), input]));
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_details_precondition_failure().unwrap();
        assert_eq!(details.violations.len(), 2);
        assert_eq!(details.violations[0].r#type, "MISSING");
        assert_eq!(details.violations[0].subject, format!("blobs/{}/1", digest.hex()));
    }

    #[test]
    fn an_invalid_field_is_named() {
        let status = invalid("command.arguments", "is empty");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "command.arguments");
    }
}

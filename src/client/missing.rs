//! Which blobs a server says that it lacks (google.rpc `PreconditionFailure`, as REAPI `Execution.Execute` wants
//! it). Knows nothing of where they are.

use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::digest::{Digest, DigestFunction, parse_hash};
use crate::reapi::rpc;

/// What a FAILED_PRECONDITION is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// These blobs are missing.
    Missing(Vec<Digest>),
    /// It does not say; some servers forget to, when their workers miss blobs.
    Unsaid,
}

/// What `status` says about blobs; nothing if it is about something else.
pub(super) fn precondition(status: &Status) -> Option<Precondition> {
    if status.code() != Code::FailedPrecondition {
        return None;
    }
    let violations =
        status.get_details_precondition_failure().map_or(Vec::new(), |failure| failure.violations);
    if violations.is_empty() {
        return Some(Precondition::Unsaid);
    }
    let missing: Option<Vec<Digest>> = violations
        .iter()
        .map(|violation| if violation.r#type == "MISSING" { digest(&violation.subject) } else { None })
        .collect();
    missing.map(Precondition::Missing)
}

/// `blobs/HASH/SIZE`, perhaps with the digest function after `blobs`.
fn digest(subject: &str) -> Option<Digest> {
    let mut parts = subject.rsplit('/');
    let size_bytes = parts.next()?.parse().ok()?;
    let hash = parse_hash(parts.next()?).ok()?;
    Some(Digest { function: DigestFunction::Sha256, hash, size_bytes })
}

/// The status within a response as if the call itself had ended with it.
pub(super) fn as_status(status: &rpc::Status) -> Status {
    Status::with_details(Code::from(status.code), status.message.clone(), status.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn with_violations(violations: &[(&str, &str)]) -> Status {
        let mut details = ErrorDetails::new();
        for (kind, subject) in violations {
            details.add_precondition_failure_violation(*kind, *subject, "");
        }
        Status::with_error_details(Code::FailedPrecondition, "no", details)
    }

    #[test]
    fn missing_blobs_are_read_in_every_spelling() {
        let digest = DigestFunction::Sha256.digest(b"a");
        for subject in
            [format!("blobs/{digest}"), format!("main/blobs/{digest}"), format!("blobs/sha256/{digest}")]
        {
            let status = with_violations(&[("MISSING", &subject)]);
            assert_eq!(precondition(&status), Some(Precondition::Missing(vec![digest])), "{subject}");
        }
    }

    #[test]
    fn other_failures_are_not_about_blobs() {
        assert_eq!(precondition(&Status::internal("x")), None);
        assert_eq!(precondition(&with_violations(&[("PLATFORM", "Arch=arm64")])), None);
        assert_eq!(precondition(&with_violations(&[("MISSING", "what/ever")])), None);
        assert_eq!(precondition(&Status::failed_precondition("x")), Some(Precondition::Unsaid));
    }

    #[test]
    fn details_within_a_response_are_found() {
        let digest = DigestFunction::Sha256.digest(b"a");
        let subject = format!("blobs/{digest}");
        let outer = with_violations(&[("MISSING", &subject)]);
        let inner = rpc::Status::decode(outer.details()).unwrap();
        assert_eq!(precondition(&as_status(&inner)), Some(Precondition::Missing(vec![digest])));
    }
}

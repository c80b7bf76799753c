//! What each error is on the wire: the one place where gRPC codes and `google.rpc` details are assigned.
//! Knows nothing of how the errors came about.

use std::io;

use prost::Message as _;
use rustix::io::Errno;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::shortage::{RETRY_BUSY_MACHINE, RETRY_FULL_DISK, later, of_io};
use crate::cas::StoreError;
use crate::digest::{Digest, InvalidBlobDigest};
use crate::execute::{Exceeded, ExecuteError, Executed, MissingInput};
use crate::queue::{CancelReason, Outcome, Refusal, Unheard};
use crate::reapi::{DECODE_ERROR_PREFIX, rpc};
use crate::sandbox::{SandboxError, SetUpCause, SetUpFailure, SetUpStep};

/// A request whose `field`, a path like `digests[3].hash`, cannot be what it is.
pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Status {
    let (field, problem) = (field.into(), problem.into());
    let message = format!("{field}: {problem}");
    let details = ErrorDetails::with_bad_request_violation(field, problem);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// A request that is not an encoded message of the type it must be. `message` is that type's name.
pub(crate) fn malformed(message: &str, error: &prost::DecodeError) -> Status {
    let text = error.to_string();
    let problem = text.strip_prefix(DECODE_ERROR_PREFIX).unwrap_or(&text);
    invalid(message, format!("is not a well-formed message: {problem}"))
}

/// The digest in `field` of a request names no blob.
pub(crate) fn invalid_digest(field: &str, problem: &InvalidBlobDigest) -> Status {
    let field = match problem {
        InvalidBlobDigest::Missing => field.to_owned(),
        InvalidBlobDigest::Hash(_) => format!("{field}.hash"),
        InvalidBlobDigest::Size(_) => format!("{field}.size_bytes"),
        InvalidBlobDigest::Function(_) => "digest_function".to_owned(),
    };
    invalid(field, problem.to_string())
}

/// The outcome for one of many things in a response: an encoded `google.rpc.Status`, with its details.
pub(crate) fn encoded_outcome(status: &Status) -> Vec<u8> {
    if !status.details().is_empty() {
        // It has all of it: code, message and details.
        return status.details().to_vec();
    }
    rpc::Status { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() }
        .encode_to_vec()
}

/// Most violations in a status that goes into a message: of half a KiB and a bit each, so that all fit into the 4 MiB
/// that clients take. A client that uploads what is named gets to know of the rest when it asks again.
const VIOLATIONS_IN_MESSAGES: usize = 5_000;

/// Most violations in a status that is sent as trailers, where the details are in base64: many clients take no more
/// than 8 KiB of those.
const VIOLATIONS_IN_TRAILERS: usize = 20;

/// Most bytes of what else is sent as trailers and has something of the client's in it.
const MESSAGE_BYTES: usize = 2 << 10;
const SUBJECT_BYTES: usize = 128;

/// Most bytes of the description of a violation, which has a path in it.
const DESCRIPTION_BYTES: usize = 512;

/// The outputs of an action result that the store lacks, with a violation each, to be sent as trailers.
pub(crate) fn missing_outputs(missing: &[Digest]) -> Status {
    let first = missing.first().map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "{} outputs of the action result are not in the store, the first is {first}; upload outputs first",
        missing.len()
    );
    let blobs = missing.iter().map(|digest| (digest, "an output of the action"));
    missing_blobs(message, blobs, VIOLATIONS_IN_TRAILERS)
}

/// The blobs an action needs and the store lacks, as clients want it to upload them again: one violation of
/// type `MISSING` each, with the subject `blobs/HASH/SIZE` (REAPI `Execution.Execute`). For messages, or of few blobs.
fn missing_inputs(message: String, missing: &[MissingInput]) -> Status {
    let blobs = missing.iter().map(|input| (&input.digest, &*input.role));
    missing_blobs(message, blobs, VIOLATIONS_IN_MESSAGES)
}

fn missing_blobs<'a>(
    mut message: String,
    blobs: impl ExactSizeIterator<Item = (&'a Digest, &'a str)>,
    most: usize,
) -> Status {
    let more = blobs.len().saturating_sub(most);
    if more > 0 {
        message = format!("{message} (the details name {most} and {more} more are missing)");
    }
    let mut details = ErrorDetails::new();
    for (digest, role) in blobs.take(most) {
        details.add_precondition_failure_violation(
            "MISSING",
            subject(digest),
            shortened(role, DESCRIPTION_BYTES),
        );
    }
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

/// Both ends of a long description: what it is, and the file's own name.
fn shortened(description: &str, most: usize) -> String {
    if description.len() <= most {
        return description.to_owned();
    }
    let half = most / 2 - '…'.len_utf8();
    let start = &description[..description.floor_char_boundary(half)];
    let end = &description[description.ceil_char_boundary(description.len() - half)..];
    format!("{start}…{end}")
}

fn subject(digest: &Digest) -> String {
    match digest.function {
        crate::digest::DigestFunction::Sha256 => format!("blobs/{digest}"),
        other => format!("blobs/{}/{digest}", other.name()),
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        (&error).into()
    }
}

impl From<&StoreError> for Status {
    fn from(error: &StoreError) -> Self {
        let code = match error {
            StoreError::NotFound(_) => Code::NotFound,
            StoreError::Mismatch { .. } | StoreError::TooLarge { .. } => Code::InvalidArgument,
            StoreError::NoRoom { passes: true, .. } => {
                let details = ErrorDetails::with_retry_info(Some(RETRY_FULL_DISK));
                return Self::with_error_details(Code::ResourceExhausted, error.to_string(), details);
            }
            StoreError::NoRoom { passes: false, .. } => Code::ResourceExhausted,
            StoreError::Io { source, .. } => {
                tracing::warn!(%error, "the store failed");
                return of_io("use the files of the store", source);
            }
            StoreError::Damaged(_) => Code::DataLoss,
            StoreError::Remote { exhausted: true, .. } => {
                return later(Code::ResourceExhausted, error.to_string());
            }
            StoreError::InUse { .. } | StoreError::Remote { .. } => Code::Unavailable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<&ExecuteError> for Status {
    fn from(error: &ExecuteError) -> Self {
        match error {
            ExecuteError::MissingInputs(missing) => missing_inputs(error.to_string(), missing),
            ExecuteError::Invalid { field, problem } => invalid(field, problem),
            ExecuteError::Refused(problem) => Self::failed_precondition(problem),
            ExecuteError::Cancelled => Self::cancelled("the action was cancelled"),
            ExecuteError::Store(error) => error.into(),
            ExecuteError::Exceeded(exceeded) => quota_exceeded(exceeded, exceeded.to_string()),
            ExecuteError::Sandbox(error) => of_sandbox(error),
            ExecuteError::Io { doing, place, source } => {
                of_io(&format!("{doing}{}", place.for_clients()), source)
            }
        }
    }
}

fn of_sandbox(error: &SandboxError) -> Status {
    match error {
        SandboxError::Control { doing, source } => {
            of_io(&format!("{doing} the sandbox of the action"), source)
        }
        SandboxError::StartInit { source, .. } => of_io("start the sandbox of the action", source),
        SandboxError::SetUp(SetUpFailure { step, cause }) => {
            let doing = match step {
                SetUpStep::ChangeDirectory { .. } => {
                    "change to the working directory of the command".to_owned()
                }
                _ => "set up the sandbox of the action".to_owned(),
            };
            match cause {
                // What is there, or is not, comes from the input root.
                SetUpCause::Errno(number)
                    if matches!(step, SetUpStep::ChangeDirectory { .. })
                        && matches!(
                            Errno::from_raw_os_error(*number),
                            Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP
                        ) =>
                {
                    let error = io::Error::from_raw_os_error(*number);
                    Status::failed_precondition(format!("cannot {doing}: {error}"))
                }
                SetUpCause::Errno(number) => of_io(&doing, &io::Error::from_raw_os_error(*number)),
                _ => Status::internal(format!("cannot {doing}; the log of the worker says why")),
            }
        }
        SandboxError::Program { program, fault } => {
            Status::internal(format!("cannot run {program:?}: {fault}"))
        }
        SandboxError::Unkillable { .. } => later(Code::Unavailable, error.to_string()),
        // Nothing of an action can: it was the kernel, short of memory, or somebody on the machine.
        SandboxError::InitDied { .. } => Status::with_error_details(
            Code::Unavailable,
            "the sandbox of the action ended before it did, as if somebody had killed it; the log of the worker says \
             more",
            ErrorDetails::with_retry_info(Some(RETRY_BUSY_MACHINE)),
        ),
        _ => Status::internal("the action cannot have such a sandbox here; the log of the worker says why"),
    }
}

/// An action that took more than it may have: trying again will not help, so nothing says when to.
fn quota_exceeded(exceeded: &Exceeded, message: String) -> Status {
    let details = ErrorDetails::with_quota_failure_violation(exceeded.limit, exceeded.to_string());
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

impl From<&Refusal> for Status {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Unsatisfiable(unsatisfiable) => {
                let mut details = ErrorDetails::new();
                for (name, value) in unsatisfiable.decisive().iter().take(VIOLATIONS_IN_TRAILERS) {
                    let why = "no pool offers this together with what else is asked for";
                    let subject = shortened(&format!("{name}={value}"), SUBJECT_BYTES);
                    details.add_precondition_failure_violation("PLATFORM", subject, why);
                }
                let message = shortened(&refusal.to_string(), MESSAGE_BYTES);
                Self::with_error_details(Code::FailedPrecondition, message, details)
            }
            Refusal::Timeout { .. } => invalid("action.timeout", refusal.to_string()),
            Refusal::Full { .. } | Refusal::FullBytes { .. } | Refusal::Share { .. } => {
                later(Code::ResourceExhausted, refusal.to_string())
            }
            Refusal::Closing => Self::unavailable(refusal.to_string()),
        }
    }
}

impl From<Unheard> for Status {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Unknown => Self::not_found(unheard.to_string()),
            Unheard::Crowded { .. } => later(Code::ResourceExhausted, unheard.to_string()),
        }
    }
}

impl From<CancelReason> for Status {
    fn from(reason: CancelReason) -> Self {
        let code = match reason {
            CancelReason::Client | CancelReason::Abandoned(_) | CancelReason::MadeRoom => Code::Cancelled,
            // Not what anybody wanted: clients are to try again, which gets them to our successor.
            CancelReason::Closing => Code::Unavailable,
        };
        Self::new(code, reason.to_string())
    }
}

/// What an operation that ended in this way is to say (REAPI `ExecuteResponse.status`): `Ok` if its action ran to
/// its end, however that was.
pub(crate) fn of_outcome(outcome: &Outcome) -> Result<(), Status> {
    match outcome {
        // Its first line says which limit that was.
        Outcome::Executed(executed) if executed.timed_out => Err(Status::deadline_exceeded(format!(
            "{}; what it wrote until then is in the result",
            executed.message.lines().next().unwrap_or("the action's time was over")
        ))),
        Outcome::Executed(Executed { exceeded: Some(exceeded), .. }) => {
            let message = format!("{exceeded}; what it wrote until then is in the result");
            Err(quota_exceeded(exceeded, message))
        }
        Outcome::Cached(_) | Outcome::Executed(_) => Ok(()),
        Outcome::Failed(error) => Err(error.into()),
        Outcome::Refused(refusal) => Err(refusal.into()),
        Outcome::Cancelled(reason) => Err((*reason).into()),
        Outcome::WorkerFailed(why) => Err(Status::internal(format!(
            "the action was not run to its end: {why}; this is a bug in crosswheel, its log says more"
        ))),
    }
}

/// A status inside of a message, with its details.
pub(crate) fn to_message(status: &Status) -> rpc::Status {
    // The details of a status are the whole status again, if there are any.
    match rpc::Status::decode(status.details()) {
        Ok(message) if !status.details().is_empty() => message,
        _ => rpc::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}

/// A request for bytes at an offset, `field`, where there are none.
pub(crate) fn out_of_range(field: &str, problem: impl Into<String>) -> Status {
    Status::out_of_range(format!("{field}: {}", problem.into()))
}

#[cfg(test)]
mod tests {
    use crate::digest::DigestFunction;
    use crate::execute::Place;

    use super::*;

    #[test]
    fn every_missing_blob_is_a_violation_that_names_it() {
        let digest = DigestFunction::Sha256.digest(b"a");
        let input = MissingInput { digest, role: "the input file `a`".into() };
        let status = Status::from(&ExecuteError::MissingInputs(vec![input.clone(), input]));
        assert_eq!(status.code(), Code::FailedPrecondition);
        let details = status.get_details_precondition_failure().unwrap();
        assert_eq!(details.violations.len(), 2);
        assert_eq!(details.violations[0].r#type, "MISSING");
        assert_eq!(details.violations[0].subject, format!("blobs/{}/1", digest.hex()));
    }

    #[test]
    fn the_trouble_of_another_store_may_pass() {
        for (exhausted, code) in [(false, Code::Unavailable), (true, Code::ResourceExhausted)] {
            let (doing, message) = ("take a blob".to_owned(), "not now".to_owned());
            let error = ExecuteError::Store(StoreError::Remote { doing, message, exhausted });
            assert_eq!(Status::from(&error).code(), code);
        }
    }

    #[test]
    fn a_shortage_says_when_to_try_again_and_no_error_tells_a_path_of_this_machine() {
        let error = |errno: Errno| io::Error::from(errno);
        for (number, code, retry) in [
            (Errno::NOSPC, Code::ResourceExhausted, true),
            (Errno::DQUOT, Code::ResourceExhausted, true),
            (Errno::AGAIN, Code::Unavailable, true),
            (Errno::MFILE, Code::Unavailable, true),
            (Errno::NFILE, Code::Unavailable, true),
            (Errno::NOMEM, Code::Unavailable, true),
            (Errno::IO, Code::Internal, false),
        ] {
            let path = std::path::PathBuf::from("/secret/store");
            let named = io::Error::new(error(number).kind(), error(number));
            let of_execute = [
                ExecuteError::Io { doing: "make it", place: Place::Ours(path), source: named },
                ExecuteError::Store(StoreError::Io {
                    doing: "adopt /secret/x".into(),
                    source: error(number),
                }),
                SandboxError::StartInit { executable: "/secret/bin".into(), source: error(number) }.into(),
                SandboxError::SetUp(SetUpFailure {
                    step: SetUpStep::Open { path: std::ffi::OsStr::new("/secret").into() },
                    cause: SetUpCause::from(number),
                })
                .into(),
            ];
            for error in of_execute {
                let status = Status::from(&error);
                assert_eq!(status.code(), code, "{status}");
                assert_eq!(status.get_details_retry_info().is_some(), retry, "{status}");
                assert!(!status.message().contains("secret"), "{status}");
            }
        }
    }

    /// Digests as long as they get.
    fn digests(count: usize) -> Vec<Digest> {
        let digest = |number: usize| {
            let digest = DigestFunction::Blake3.digest(&number.to_le_bytes());
            Digest { size_bytes: i64::MAX as u64, ..digest }
        };
        (0..count).map(digest).collect()
    }

    #[test]
    fn as_many_missing_inputs_are_named_as_a_message_holds() {
        let role = format!("the input file `{}name`", "ü/".repeat(2000));
        let input = |digest| MissingInput { digest, role: role.clone() };
        for (count, named) in [(5_000, 5_000), (5_007, 5_000)] {
            let missing = digests(count).into_iter().map(input).collect();
            let outcome = Outcome::Failed(ExecuteError::MissingInputs(missing));
            let status = of_outcome(&outcome).unwrap_err();
            let violations = status.get_details_precondition_failure().unwrap().violations;
            assert_eq!(violations.len(), named);
            assert!(violations[0].description.starts_with("the input file `ü"));
            assert!(violations[0].description.ends_with("ü/name`"));
            assert_eq!(status.message().contains("and 7 more"), count > named, "{status}");
            assert!(status.message().contains(&format!("{count} blobs")));
            assert!(to_message(&status).encoded_len() < 4 << 20);
        }
    }

    #[test]
    fn a_status_with_many_missing_outputs_fits_into_trailers() {
        for (count, named) in [(20, 20), (100_000, 20)] {
            let status = missing_outputs(&digests(count));
            let details = status.get_details_precondition_failure().unwrap();
            assert_eq!(details.violations.len(), named);
            assert_eq!(status.message().contains("and 99980 more"), count > named, "{status}");
            let mut trailers = http::HeaderMap::new();
            status.add_header(&mut trailers).unwrap();
            let bytes: usize =
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(bytes < 8 << 10, "{bytes}");
        }
    }

    #[test]
    fn an_invalid_field_is_named() {
        let status = invalid("command.arguments", "is empty");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "command.arguments");
    }
}

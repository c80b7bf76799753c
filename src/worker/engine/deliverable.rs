//! What fits into a message of a scheduler. Knows no protocol.
//!
//! A scheduler takes no message that is larger than gRPC's default, and says so before it has looked at it: what is too
//! large would be told for ever, and the slot lost.

use prost::Message;
use tonic::Code;

use crate::reapi::{ActionResult, ExecuteResponse, rpc};

/// What gRPC takes by default, without what is around a response.
const LARGEST: usize = (4 << 20) - (64 << 10);

/// The response as it is, if it fits; without what can be had from the store, if it fits then; or else why there is none.
pub(super) fn deliverable(response: &ExecuteResponse) -> ExecuteResponse {
    let mut response = response.clone();
    if response.encoded_len() <= LARGEST {
        return response;
    }
    if let Some(result) = &mut response.result {
        leave_to_the_store(result);
    }
    let size = response.encoded_len();
    if size <= LARGEST {
        return response;
    }
    let message = match &response.status {
        Some(status) if status.code != 0 => shortened(&status.message).to_owned(),
        _ => format!("the result of the action has {size} bytes, and schedulers take {LARGEST} at most"),
    };
    let code = response.status.map(|status| status.code).filter(|code| *code != 0);
    let code = code.unwrap_or(Code::FailedPrecondition as i32);
    let status = rpc::Status { code, message, details: Vec::new() };
    ExecuteResponse { status: Some(status), ..ExecuteResponse::default() }
}

/// Takes out what is there for convenience.
fn leave_to_the_store(result: &mut ActionResult) {
    if result.stdout_digest.is_some() {
        result.stdout_raw = Vec::new();
    }
    if result.stderr_digest.is_some() {
        result.stderr_raw = Vec::new();
    }
    for file in &mut result.output_files {
        file.contents = Vec::new();
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(2 << 10)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::DigestFunction;
    use crate::reapi::OutputFile;

    #[test]
    fn what_fits_is_left_as_it_is() {
        let result = ActionResult { stdout_raw: vec![0; 1000], ..ActionResult::default() };
        let response = ExecuteResponse { result: Some(result), ..ExecuteResponse::default() };
        assert_eq!(deliverable(&response), response);
    }

    #[test]
    fn what_is_in_the_store_is_left_to_it() {
        let digest = DigestFunction::Sha256.digest(b"").to_message();
        let result = ActionResult {
            exit_code: 3,
            stdout_raw: vec![0; LARGEST],
            stdout_digest: Some(digest),
            ..ActionResult::default()
        };
        let response = ExecuteResponse { result: Some(result), ..ExecuteResponse::default() };
        let result = deliverable(&response).result.unwrap();
        assert_eq!((result.exit_code, result.stdout_raw.len()), (3, 0));
    }

    #[test]
    fn what_does_not_fit_is_told_as_a_failure() {
        let file = OutputFile { path: "x".repeat(1000), ..OutputFile::default() };
        let result = ActionResult { output_files: vec![file; 5000], ..ActionResult::default() };
        let response = ExecuteResponse { result: Some(result), ..ExecuteResponse::default() };
        let delivered = deliverable(&response);
        assert_eq!(
            (delivered.result, delivered.status.unwrap().code),
            (None, Code::FailedPrecondition as i32)
        );
        let status = rpc::Status {
            code: Code::Unavailable as i32,
            message: "é".repeat(5 << 20),
            ..Default::default()
        };
        let delivered = deliverable(&ExecuteResponse { status: Some(status), ..response }).status.unwrap();
        assert_eq!((delivered.code, delivered.message.len()), (Code::Unavailable as i32, 2 << 10));
    }
}

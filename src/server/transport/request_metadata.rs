//! Who asks, and what for: the REAPI `RequestMetadata` that clients attach to every call. Knows nothing of the call.

use prost::Message;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::reapi::RequestMetadata;
use crate::status;

/// The header that holds it.
pub const REQUEST_METADATA_HEADER: &str = "build.bazel.remote.execution.v2.requestmetadata-bin";

/// Most bytes of each text in it that is kept: it is held for each operation, and says whose they are. Invocations are
/// UUIDs, and targets are paths.
pub const KEPT_TEXT_BYTES: usize = 512;

/// What a client says about the call with these headers, each text cut to [`KEPT_TEXT_BYTES`]; `None` if it says nothing.
///
/// # Errors
/// INVALID_ARGUMENT for a header that is no such message.
pub fn request_metadata(headers: &MetadataMap) -> Result<Option<RequestMetadata>, Status> {
    let Some(header) = headers.get_bin(REQUEST_METADATA_HEADER) else {
        return Ok(None);
    };
    let bytes = header
        .to_bytes()
        .map_err(|error| status::invalid(REQUEST_METADATA_HEADER, format!("is not base64: {error}")))?;
    let metadata = RequestMetadata::decode(bytes);
    metadata.map(cut).map(Some).map_err(|error| status::malformed("RequestMetadata", &error))
}

fn cut(mut metadata: RequestMetadata) -> RequestMetadata {
    let RequestMetadata {
        tool_details,
        action_id,
        tool_invocation_id,
        correlated_invocations_id,
        action_mnemonic,
        target_id,
        configuration_id,
    } = &mut metadata;
    let tool = tool_details.iter_mut().flat_map(|tool| [&mut tool.tool_name, &mut tool.tool_version]);
    let texts = [
        action_id,
        tool_invocation_id,
        correlated_invocations_id,
        action_mnemonic,
        target_id,
        configuration_id,
    ];
    for text in texts.into_iter().chain(tool) {
        if text.len() > KEPT_TEXT_BYTES {
            // A piece of its own: what is left of a large one cannot be used for the next large one.
            *text = text[..text.floor_char_boundary(KEPT_TEXT_BYTES)].to_owned();
        }
    }
    metadata
}

/// Writes down that a call was made, by whom and for what, if anybody wants to know (level `debug`).
/// Metadata that cannot be read is no reason to refuse data: it is logged as absent.
pub(crate) fn log_call(method: &str, headers: &http::HeaderMap) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let headers = MetadataMap::from_headers(headers.clone());
    let metadata = request_metadata(&headers).ok().flatten().unwrap_or_default();
    let tool = metadata.tool_details.unwrap_or_default();
    tracing::debug!(
        method,
        tool = tool.tool_name,
        tool_version = tool.tool_version,
        invocation = metadata.tool_invocation_id,
        action = metadata.action_id,
        mnemonic = metadata.action_mnemonic,
        target = metadata.target_id,
        "call"
    );
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic::metadata::MetadataValue;

    use super::*;

    fn headers(value: &[u8]) -> MetadataMap {
        let mut headers = MetadataMap::new();
        headers.insert_bin(REQUEST_METADATA_HEADER, MetadataValue::from_bytes(value));
        headers
    }

    #[test]
    fn what_a_client_says_is_read() {
        let said = RequestMetadata { action_mnemonic: "PySdistBuild".into(), ..Default::default() };
        assert_eq!(request_metadata(&headers(&said.encode_to_vec())).unwrap(), Some(said));
        assert_eq!(request_metadata(&MetadataMap::new()).unwrap(), None);
    }

    #[test]
    fn long_texts_are_cut() {
        let said = RequestMetadata { target_id: "ü".repeat(100_000), ..Default::default() };
        let kept = request_metadata(&headers(&said.encode_to_vec())).unwrap().unwrap();
        assert_eq!(kept.target_id, "ü".repeat(KEPT_TEXT_BYTES / 2));
    }

    #[test]
    fn garbage_is_refused_by_name() {
        let refusal = request_metadata(&headers(&[0xff; 7])).unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains("RequestMetadata"), "{refusal}");
    }
}

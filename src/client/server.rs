//! The stubs of one server, and the calls that are one question and one answer. Knows nothing of jobs.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tonic::{Code, Request, Status};

use super::error::ClientError;
use crate::digest::Digest;
use crate::reapi::action_cache_client::ActionCacheClient;
use crate::reapi::bytestream::ReadRequest;
use crate::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crate::reapi::capabilities_client::CapabilitiesClient;
use crate::reapi::execution_client::ExecutionClient;
use crate::reapi::longrunning::operations_client::OperationsClient;
use crate::reapi::{
    ActionResult, GetActionResultRequest, GetCapabilitiesRequest, RequestMetadata, ServerCapabilities,
};
use crate::remote::{LARGEST_MESSAGE, RemoteChannel, attach};

/// How long a call may take that only asks something (Bazel's own default).
const DEADLINE: Duration = Duration::from_secs(60);

/// A server, by its connection.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub channel: RemoteChannel,
    pub instance_name: String,
}

impl Server {
    pub fn execution(&self) -> ExecutionClient<RemoteChannel> {
        ExecutionClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE)
    }

    pub fn operations(&self) -> OperationsClient<RemoteChannel> {
        OperationsClient::new(self.channel.clone())
    }

    /// What the server can.
    pub async fn capabilities(&self) -> Result<ServerCapabilities, ClientError> {
        let request = GetCapabilitiesRequest { instance_name: self.instance_name.clone() };
        let answer = CapabilitiesClient::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
            .get_capabilities(with_deadline(Request::new(request)))
            .await;
        Ok(answer.map_err(|status| ClientError::call("tell its capabilities", &status))?.into_inner())
    }

    /// The result of an action that was run before. A server without an action cache knows none.
    pub async fn action_result(
        &self,
        action: &Digest,
        metadata: &RequestMetadata,
    ) -> Result<Option<ActionResult>, Status> {
        let request = GetActionResultRequest {
            instance_name: self.instance_name.clone(),
            action_digest: Some(action.to_message()),
            inline_stdout: true,
            digest_function: action.function.to_wire(),
            ..GetActionResultRequest::default()
        };
        let answer = ActionCacheClient::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
            .get_action_result(with_deadline(attach(request, metadata)))
            .await;
        match answer {
            Ok(result) => Ok(Some(result.into_inner())),
            Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// What comes out of the stream `name` from `offset` on, until it ends or breaks.
    pub fn read_stream(&self, name: String, offset: u64) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(16);
        let mut client =
            ByteStreamClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_MESSAGE);
        let read_offset = offset.try_into().unwrap_or(i64::MAX);
        let request = ReadRequest { resource_name: name, read_offset, read_limit: 0 };
        tokio::spawn(async move {
            let Ok(chunks) = client.read(request).await else { return };
            let mut chunks = chunks.into_inner();
            while let Ok(Some(chunk)) = chunks.message().await {
                if sender.send(chunk.data.into()).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

fn with_deadline<T>(mut request: Request<T>) -> Request<T> {
    request.set_timeout(DEADLINE);
    request
}

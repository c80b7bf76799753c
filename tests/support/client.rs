//! A client of the services, as simple as can be.

use std::time::Duration;

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::bytestream::ReadRequest;
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crosswheel::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crosswheel::reapi::execution_client::ExecutionClient;
use crosswheel::reapi::longrunning::{Operation, operation};
use crosswheel::reapi::{
    Action, BatchUpdateBlobsRequest, Command, Digest, Directory, ExecuteRequest, ExecuteResponse, FileNode,
    Platform, batch_update_blobs_request, command::EnvironmentVariable, platform,
};
use prost::Message;
use tonic::Streaming;
use tonic::transport::Channel;

use super::server::Server;
use super::waiting::{DEADLINE, messages, messages_within};

/// A client of everything.
pub struct Client {
    pub channel: Channel,
}

impl Client {
    pub async fn of(server: &Server) -> Self {
        Self { channel: server.channel().await }
    }

    /// Uploads a blob.
    pub async fn put(&self, data: Vec<u8>) -> Digest {
        let digest = DigestFunction::Sha256.digest(&data).to_message();
        let request =
            batch_update_blobs_request::Request { digest: Some(digest.clone()), data, ..Default::default() };
        let request = BatchUpdateBlobsRequest { requests: vec![request], ..Default::default() };
        let mut client = ContentAddressableStorageClient::new(self.channel.clone());
        let response = client.batch_update_blobs(request).await.unwrap().into_inner();
        assert_eq!(response.responses[0].status.as_ref().map_or(0, |status| status.code), 0);
        digest
    }

    /// Uploads an action that runs `script` in a shell with a file `input`.
    pub async fn action(&self, script: &str, properties: &[(&str, &str)]) -> Digest {
        let command = command(&["sh", "-c", script], &[("PATH", "/usr/bin:/bin")], "output");
        self.action_of(command, "input", b"what goes in", properties).await
    }

    /// Uploads an action that runs `command` with one file.
    pub async fn action_of(
        &self,
        command: Command,
        name: &str,
        input: &[u8],
        properties: &[(&str, &str)],
    ) -> Digest {
        let input = self.put(input.to_vec()).await;
        let root = Directory {
            files: vec![FileNode { name: name.into(), digest: Some(input), ..Default::default() }],
            ..Default::default()
        };
        let properties = properties
            .iter()
            .map(|(name, value)| platform::Property { name: (*name).into(), value: (*value).into() })
            .collect();
        let action = Action {
            command_digest: Some(self.put(command.encode_to_vec()).await),
            input_root_digest: Some(self.put(root.encode_to_vec()).await),
            platform: Some(Platform { properties }),
            ..Default::default()
        };
        self.put(action.encode_to_vec()).await
    }

    pub async fn start(&self, action: &Digest) -> Result<Streaming<Operation>, tonic::Status> {
        let request = ExecuteRequest { action_digest: Some(action.clone()), ..Default::default() };
        Ok(ExecutionClient::new(self.channel.clone()).execute(request).await?.into_inner())
    }

    pub async fn read(&self, digest: &Digest) -> Vec<u8> {
        let resource_name = format!("blobs/{}/{}", digest.hash, digest.size_bytes);
        let request = ReadRequest { resource_name, ..Default::default() };
        let stream = ByteStreamClient::new(self.channel.clone()).read(request).await.unwrap().into_inner();
        let pieces = messages("the end of a blob", stream).await.unwrap();
        pieces.into_iter().flat_map(|piece| piece.data).collect()
    }
}

/// The response at the end of an operation.
pub async fn end(updates: Streaming<Operation>) -> ExecuteResponse {
    end_within(DEADLINE, updates).await
}

pub async fn end_within(deadline: Duration, updates: Streaming<Operation>) -> ExecuteResponse {
    let updates = messages_within(deadline, "the end of an operation", updates).await.unwrap();
    match updates.into_iter().last().unwrap().result.unwrap() {
        operation::Result::Response(any) => ExecuteResponse::decode(&*any.value).unwrap(),
        operation::Result::Error(error) => panic!("{error:?}"),
    }
}

/// A command with one output.
pub fn command(arguments: &[&str], environment: &[(&str, &str)], output: &str) -> Command {
    let variable =
        |(name, value): &(&str, &str)| EnvironmentVariable { name: (*name).into(), value: (*value).into() };
    Command {
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        environment_variables: environment.iter().map(variable).collect(),
        output_paths: vec![output.into()],
        ..Default::default()
    }
}

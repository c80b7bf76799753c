//! gRPC reflection, asked as tools ask it.

use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::transport::Channel;
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::server::Server;
use crate::support::waiting::within;

/// What a server answers to one question.
async fn ask(
    channel: Channel,
    request: v1::server_reflection_request::MessageRequest,
) -> v1::server_reflection_response::MessageResponse {
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    within("an answer", answers.message()).await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn reflection_lists_every_service() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let answer = ask(server.channel().await, MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "build.bazel.remote.execution.v2.ActionCache",
            "build.bazel.remote.execution.v2.Capabilities",
            "build.bazel.remote.execution.v2.ContentAddressableStorage",
            "build.bazel.remote.execution.v2.Execution",
            "google.bytestream.ByteStream",
            "google.longrunning.Operations",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ]
    );
}

#[tokio::test]
async fn reflection_describes_messages() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let symbol = "build.bazel.remote.execution.v2.Command";
    let answer = ask(server.channel().await, MessageRequest::FileContainingSymbol(symbol.into())).await;
    let MessageResponse::FileDescriptorResponse(files) = answer else { panic!("{answer:?}") };
    let file = FileDescriptorProto::decode(&*files.file_descriptor_proto[0]).unwrap();
    let command = file.message_type.iter().find(|message| message.name() == "Command").unwrap();
    let output_paths = command.field.iter().find(|field| field.name() == "output_paths").unwrap();
    assert_eq!(output_paths.number(), 7);
}

#[tokio::test]
async fn older_tools_can_ask_too() {
    use v1alpha::server_reflection_request::MessageRequest;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let channel = server.channel().await;
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    assert!(within("an answer", answers.message()).await.unwrap().unwrap().message_response.is_some());
}

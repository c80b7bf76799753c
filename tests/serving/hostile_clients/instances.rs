//! Clients that look for the operations of others, and that would have others get results of their own making.

use crosswheel::digest::DigestFunction;
use crosswheel::reapi::action_cache_client::ActionCacheClient;
use crosswheel::reapi::capabilities_client::CapabilitiesClient;
use crosswheel::reapi::execution_client::ExecutionClient;
use crosswheel::reapi::longrunning::operations_client::OperationsClient;
use crosswheel::reapi::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    WaitOperationRequest,
};
use crosswheel::reapi::{
    ActionResult, ExecuteRequest, GetCapabilitiesRequest, UpdateActionResultRequest, WaitExecutionRequest,
};
use tonic::Code;
use tonic::transport::Channel;

use crate::support::client::Client;
use crate::support::server::Server;
use crate::support::waiting::within;

async fn listed(channel: &Channel, name: &str) -> Vec<String> {
    let request = ListOperationsRequest { name: name.to_owned(), ..Default::default() };
    let page = OperationsClient::new(channel.clone()).list_operations(request).await.unwrap();
    page.into_inner().operations.into_iter().map(|operation| operation.name).collect()
}

#[tokio::test]
async fn nobody_finds_or_ends_the_operations_of_another_instance_or_client() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let action = client.action("sleep 1000", &[]).await;
    let request = ExecuteRequest {
        instance_name: "theirs".to_owned(),
        action_digest: Some(action),
        ..Default::default()
    };
    let mut updates =
        ExecutionClient::new(client.channel.clone()).execute(request).await.unwrap().into_inner();
    let name = within("the operation", updates.message()).await.unwrap().unwrap().name;
    // It has a name that nobody guesses.
    let id = name.strip_prefix("theirs/operations/").unwrap();
    assert_eq!(uuid::Uuid::try_parse(id).unwrap().get_version_num(), 4);

    let other = server.channel_from([127, 0, 0, 2].into()).await;
    assert_eq!(listed(&client.channel, "theirs").await, std::slice::from_ref(&name));
    for (channel, instance) in
        [(&client.channel, ""), (&client.channel, "ours"), (&other, ""), (&other, "ours"), (&other, "theirs")]
    {
        assert_eq!(listed(channel, instance).await, [""; 0], "{instance}");
    }

    for wrong in [id.to_owned(), format!("operations/{id}"), format!("ours/operations/{id}")] {
        let name = wrong.clone();
        let mut operations = OperationsClient::new(other.clone());
        let refusals = [
            operations.get_operation(GetOperationRequest { name: name.clone() }).await.unwrap_err(),
            operations.cancel_operation(CancelOperationRequest { name: name.clone() }).await.unwrap_err(),
            operations.delete_operation(DeleteOperationRequest { name: name.clone() }).await.unwrap_err(),
            operations
                .wait_operation(WaitOperationRequest { name: name.clone(), timeout: None })
                .await
                .unwrap_err(),
            ExecutionClient::new(other.clone())
                .wait_execution(WaitExecutionRequest { name })
                .await
                .unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(refusal.code(), Code::NotFound, "{wrong}: {refusal}");
        }
    }
    // A client that comes back from another address knows the name.
    let request = WaitExecutionRequest { name: name.clone() };
    assert!(ExecutionClient::new(other.clone()).wait_execution(request).await.is_ok());
    OperationsClient::new(other).cancel_operation(CancelOperationRequest { name }).await.unwrap();
}

#[tokio::test]
async fn nobody_decides_what_others_get_from_the_cache_unless_that_is_allowed() {
    for (arguments, allowed) in
        [(&[][..], false), (&["--update-action-result", "off"], false), (&["--update-action-result"], true)]
    {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(directory.path(), arguments);
        let channel = server.channel().await;
        let mut capabilities = CapabilitiesClient::new(channel.clone());
        let answer = capabilities.get_capabilities(GetCapabilitiesRequest::default()).await.unwrap();
        let cache = answer.into_inner().cache_capabilities.unwrap();
        assert_eq!(cache.action_cache_update_capabilities.unwrap().update_enabled, allowed);
        let request = UpdateActionResultRequest {
            action_digest: Some(DigestFunction::Sha256.digest(b"an action").to_message()),
            action_result: Some(ActionResult { stdout_raw: b"poison".to_vec(), ..Default::default() }),
            ..Default::default()
        };
        match ActionCacheClient::new(channel).update_action_result(request).await {
            Ok(_) => assert!(allowed, "{arguments:?}"),
            Err(refusal) => {
                assert!(!allowed, "{arguments:?}: {refusal}");
                assert_eq!(refusal.code(), Code::PermissionDenied);
                assert!(refusal.message().contains("update-action-result"), "{refusal}");
            }
        }
    }
}

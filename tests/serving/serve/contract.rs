//! Actions that run crosswheel, by the contract that they name: what a worker takes, and what it says otherwise.

use crosswheel::contract::{CONTRACT, CONTRACT_VARIABLE, RELEASE, RELEASE_VARIABLE};
use crosswheel::reapi::execution_client::ExecutionClient;
use crosswheel::reapi::{ExecuteRequest, ExecuteResponse, RequestMetadata, ToolDetails};
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::support::client::{Client, command, end};
use crate::support::server::Server;

/// What comes of `crosswheel --version` for a client of release 9.9.9 that sets these variables.
async fn ask(client: &Client, variables: &[(&str, &str)]) -> ExecuteResponse {
    let command = command(&["crosswheel", "--version"], variables, "out");
    let action = client.action_of(command, "input", b"", &[]).await;
    let mut request = Request::new(ExecuteRequest { action_digest: Some(action), ..Default::default() });
    let tool = ToolDetails { tool_name: "crosswheel".into(), tool_version: "9.9.9".into() };
    let metadata = RequestMetadata { tool_details: Some(tool), ..Default::default() }.encode_to_vec();
    let name = "build.bazel.remote.execution.v2.requestmetadata-bin";
    request.metadata_mut().insert_bin(name, MetadataValue::from_bytes(&metadata));
    end(ExecutionClient::new(client.channel.clone()).execute(request).await.unwrap().into_inner()).await
}

/// A fleet and its repositories need not be upgraded together.
#[tokio::test]
async fn whoever_asks_by_a_contract_that_is_known_is_served_whatever_its_release() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let contract = CONTRACT.to_string();
    for variables in [
        vec![(CONTRACT_VARIABLE, contract.as_str())],
        vec![(CONTRACT_VARIABLE, &contract), (RELEASE_VARIABLE, "9.9.9")],
    ] {
        let response = ask(&client, &variables).await;
        assert_eq!(response.status.unwrap_or_default().code, 0, "{variables:?}: {}", response.message);
        let result = response.result.unwrap();
        assert_eq!(String::from_utf8_lossy(&result.stdout_raw), format!("crosswheel {RELEASE}\n"));
    }
}

#[tokio::test]
async fn others_are_told_which_side_to_upgrade() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path(), &[]);
    let client = Client::of(&server).await;
    let (newer, known) =
        ((CONTRACT + 1).to_string(), format!("crosswheel {RELEASE}, takes contracts 1 to {CONTRACT}"));
    let regenerate = "regenerate platforms/ with `crosswheel generate bazel`";
    for (variable, remedy) in [
        ((CONTRACT_VARIABLE, "0"), regenerate),
        // As rules said before contracts had numbers.
        ((RELEASE_VARIABLE, RELEASE), regenerate),
        ((CONTRACT_VARIABLE, newer.as_str()), "upgrade the worker"),
    ] {
        let status = ask(&client, &[variable]).await.status.unwrap();
        assert_eq!(status.code, Code::FailedPrecondition as i32, "{variable:?}: {}", status.message);
        for part in [remedy, &known, variable.1] {
            assert!(status.message.contains(part), "{variable:?}: {}", status.message);
        }
    }
}

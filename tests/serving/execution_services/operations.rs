//! The Operations service.

use crosswheel::queue::{QueueSettings, Retained};
use crosswheel::reapi::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    ListOperationsResponse, WaitOperationRequest,
};
use crosswheel::reapi::{ExecutedActionMetadata, RequestMetadata, protobuf};
use crosswheel::server::ExecutionSettings;
use prost::Message;
use tonic::Code;

use super::scene::{Asking, Scene, Stage, ask, code, end, host_pool, metadata, reach, response};
use crate::support::waiting::within;

pub fn cancelling(name: String) -> CancelOperationRequest {
    CancelOperationRequest { name }
}

async fn list(scene: &Scene, request: ListOperationsRequest) -> ListOperationsResponse {
    scene.operations().list_operations(request).await.unwrap().into_inner()
}

fn for_target(asking: Asking, target_id: &str) -> Asking {
    let metadata = RequestMetadata {
        target_id: target_id.to_owned(),
        action_mnemonic: "PySdistBuild".to_owned(),
        ..Default::default()
    };
    Asking { metadata: Some(metadata), ..asking }
}

fn request_metadata(partial: &ExecutedActionMetadata) -> RequestMetadata {
    let any = &partial.auxiliary_metadata[0];
    assert!(any.type_url.ends_with("v2.RequestMetadata"), "{}", any.type_url);
    RequestMetadata::decode(&any.value[..]).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_says_how_it_goes_and_whose_it_is() {
    let mut scene = Scene::new().await;
    let action = scene.action(&["wait", "x"]);
    let mut updates = scene.execute(for_target(ask(action), "//a:b")).await.unwrap();
    let name = reach(&mut updates, Stage::Executing).await.name;
    let run = scene.next_run().await;
    let get = GetOperationRequest { name: name.clone() };
    let operation = scene.operations().get_operation(get.clone()).await.unwrap().into_inner();
    assert!(!operation.done);
    let metadata = metadata(&operation);
    assert_eq!(metadata.stage(), Stage::Executing);
    assert_eq!(metadata.action_digest, Some(action.to_message()));
    assert_eq!(metadata.digest_function, action.function.to_wire());
    let partial = metadata.partial_execution_metadata.unwrap();
    assert_eq!(partial.worker, "native/0");
    assert!(partial.queued_timestamp.is_some() && partial.worker_start_timestamp.is_some());
    assert!(partial.input_fetch_start_timestamp.is_some() && partial.execution_start_timestamp.is_some());
    assert_eq!(request_metadata(&partial).target_id, "//a:b");
    run.exit(0);
    end(updates).await;
    let operation = scene.operations().get_operation(get).await.unwrap().into_inner();
    assert_eq!(code(&response(&operation)), Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_listed_by_page_and_filter() {
    let settings = QueueSettings::default();
    let scene = Scene::without_workers(vec![host_pool(1)], settings, ExecutionSettings::default()).await;
    let mut waiting = Vec::new();
    for index in 0..8 {
        let instance = if index == 7 { "other" } else { "main" };
        let asking = ask(scene.action(&["wait", &index.to_string()])).instance(instance);
        let mut updates = scene.execute(for_target(asking, &format!("//t:{}", index % 2))).await.unwrap();
        waiting.push((reach(&mut updates, Stage::Queued).await.name, updates));
    }
    let names: Vec<&str> = waiting[..7].iter().map(|(name, _)| name.as_str()).collect();
    let mut listed = Vec::new();
    let mut request = ListOperationsRequest { name: "main".into(), page_size: 3, ..Default::default() };
    let mut pages = Vec::new();
    while pages.len() < names.len() {
        let page = list(&scene, request.clone()).await;
        pages.push(page.operations.len());
        listed.extend(page.operations.into_iter().map(|operation| operation.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert_eq!(listed, names);
    assert_eq!(pages, [3, 3, 1]);
    let count = async |name: &str, filter: &str| {
        let request =
            ListOperationsRequest { name: name.into(), filter: filter.into(), ..Default::default() };
        list(&scene, request).await.operations.len()
    };
    assert_eq!(count("main", "").await, 7);
    assert_eq!(count("main/operations", "").await, 7);
    assert_eq!(count("other", "").await, 1);
    assert_eq!(count("operations", "").await, 0);
    assert_eq!(count("", "").await, 0);
    assert_eq!(count("main", "target_id=//t:1").await, 3);
    assert_eq!(count("main", "target_id=//t:* AND stage=QUEUED pool=native").await, 7);
    assert_eq!(count("main", "action_mnemonic=CppCompile").await, 0);
    assert_eq!(count("main", "done=true").await, 0);
    scene.operations().cancel_operation(cancelling(names[0].to_owned())).await.unwrap();
    assert_eq!(count("main", "done=true stage=COMPLETED").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_listing_is_said() {
    let scene = Scene::new().await;
    let default = ListOperationsRequest::default;
    for (request, field) in [
        (ListOperationsRequest { page_size: -1, ..default() }, "page_size"),
        (ListOperationsRequest { page_token: "x".into(), ..default() }, "page_token"),
        (ListOperationsRequest { filter: "colour=red".into(), ..default() }, "filter"),
    ] {
        let refusal = scene.operations().list_operations(request).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().starts_with(field), "{refusal}");
    }
    let last = ListOperationsRequest { page_token: u64::MAX.to_string(), ..default() };
    assert!(list(&scene, last).await.operations.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_deleted_only_when_it_has_ended() {
    let mut scene = Scene::new().await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"]))).await.unwrap();
    let name = reach(&mut updates, Stage::Executing).await.name;
    let delete = DeleteOperationRequest { name: name.clone() };
    let refusal = scene.operations().delete_operation(delete.clone()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    scene.next_run().await.exit(0);
    end(updates).await;
    scene.operations().delete_operation(delete.clone()).await.unwrap();
    let refusals = [
        scene.operations().delete_operation(delete).await.unwrap_err(),
        scene.operations().get_operation(GetOperationRequest { name: name.clone() }).await.unwrap_err(),
        scene.operations().cancel_operation(cancelling(name)).await.unwrap_err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.code(), Code::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_ends_with_the_operation_or_with_the_time_given() {
    let mut scene = Scene::new().await;
    let mut updates = scene.execute(ask(scene.action(&["wait", "x"]))).await.unwrap();
    let name = reach(&mut updates, Stage::Executing).await.name;
    let run = scene.next_run().await;
    let soon = Some(protobuf::Duration { seconds: 0, nanos: 1_000_000 });
    let request = WaitOperationRequest { name: name.clone(), timeout: soon };
    assert!(!scene.operations().wait_operation(request).await.unwrap().into_inner().done);
    let mut operations = scene.operations();
    let request = WaitOperationRequest { name: name.clone(), timeout: None };
    let waiting = tokio::spawn(async move { operations.wait_operation(request).await });
    run.exit(0);
    assert!(within("the operation that ends", waiting).await.unwrap().unwrap().into_inner().done);
    let never = Some(protobuf::Duration { seconds: -1, nanos: 0 });
    let request = WaitOperationRequest { name, timeout: never };
    assert_eq!(scene.operations().wait_operation(request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_completed_operations_are_kept() {
    let kept = Retained { count: 3, ..QueueSettings::default().completed_operations };
    let settings = QueueSettings { completed_operations: kept, ..QueueSettings::default() };
    let scene = Scene::with(vec![host_pool(1)], settings, ExecutionSettings::default()).await;
    let action = scene.action(&["exit", "0"]);
    for _ in 0..10 {
        assert_eq!(code(&scene.run(ask(action)).await), Code::Ok);
    }
    assert_eq!(list(&scene, ListOperationsRequest::default()).await.operations.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn completed_operations_are_forgotten_after_a_while() {
    let kept = Retained {
        time: std::time::Duration::from_millis(10),
        ..QueueSettings::default().completed_operations
    };
    let settings = QueueSettings { completed_operations: kept, ..QueueSettings::default() };
    let scene = Scene::with(vec![host_pool(1)], settings, ExecutionSettings::default()).await;
    assert_eq!(code(&scene.run(ask(scene.action(&["exit", "0"]))).await), Code::Ok);
    scene.until(|statistics| statistics.operations == 0).await;
}

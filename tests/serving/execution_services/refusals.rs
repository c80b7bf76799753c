//! Requests that are not what they must be.

use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi;
use crosswheel::reapi::{Action, ExecuteRequest, digest_function};
use proptest::prelude::*;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::scene::{Asking, Scene, ask};

fn assert_names(refusal: &Status, field: &str) {
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    let violations = refusal.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations[0].field, field, "{refusal}");
}

fn asking(request: ExecuteRequest) -> Asking {
    Asking { request, metadata: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn digests_that_name_no_blob_are_refused_by_field() {
    let scene = Scene::new().await;
    let digest = |hash: &str, size_bytes| Some(reapi::Digest { hash: hash.to_owned(), size_bytes });
    let hash = "a".repeat(64);
    for (action_digest, field) in [
        (None, "action_digest"),
        (digest("abc", 1), "action_digest.hash"),
        (digest(&"A".repeat(64), 1), "action_digest.hash"),
        (digest(&hash, -1), "action_digest.size_bytes"),
        (digest(&hash, i64::MAX), "action_digest.size_bytes"),
    ] {
        let request = ExecuteRequest { action_digest, ..Default::default() };
        assert_names(&scene.refusal(asking(request)).await, field);
    }
    let mut request = ask(scene.action(&["exit", "0"])).request;
    request.digest_function = digest_function::Value::Sha512 as i32;
    assert_names(&scene.refusal(asking(request)).await, "digest_function");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_action_that_name_no_blob_are_refused_by_field() {
    let scene = Scene::new().await;
    let bad = || Some(reapi::Digest { hash: "xyz".into(), size_bytes: 1 });
    let action = scene.action_with(&["exit", "0"], |wanted| wanted.action.command_digest = bad());
    assert_names(&scene.refusal(ask(action)).await, "action.command_digest.hash");
    let action = scene.action_with(&["exit", "0"], |wanted| wanted.action.input_root_digest = bad());
    assert_names(&scene.refusal(ask(action)).await, "action.input_root_digest.hash");
    let empty = scene.store_message(&Action::default());
    assert_names(&scene.refusal(ask(empty)).await, "action.input_root_digest");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_or_command_that_is_no_message_is_refused() {
    let scene = Scene::new().await;
    let garbage = scene.store_bytes(&[0xff; 40]);
    assert_names(&scene.refusal(ask(garbage)).await, "action");
    let action =
        scene.action_with(&["exit", "0"], |wanted| wanted.action.command_digest = Some(garbage.to_message()));
    assert_names(&scene.refusal(ask(action)).await, "command");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_or_command_that_is_not_there_is_named_as_missing() {
    let scene = Scene::new().await;
    let gone = DigestFunction::Sha256.digest(b"never stored");
    let of_command =
        scene.action_with(&["exit", "0"], |wanted| wanted.action.command_digest = Some(gone.to_message()));
    for action in [gone, of_command] {
        let refusal = scene.refusal(ask(action)).await;
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        let violations = refusal.get_details_precondition_failure().unwrap().violations;
        assert_eq!(violations[0].r#type, "MISSING");
        assert_eq!(violations[0].subject, format!("blobs/{gone}"));
    }
}

/// Whatever a client stores as an action: it is answered, and the server goes on.
#[test]
fn no_bytes_stored_as_an_action_bring_the_server_down() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let scene = runtime.block_on(Scene::new());
    proptest!(ProptestConfig::with_cases(200), |(bytes in proptest::collection::vec(any::<u8>(), 0..60))| {
        let action: Digest = scene.store_bytes(&bytes);
        let refusal = runtime.block_on(scene.refusal(ask(action)));
        prop_assert_eq!(refusal.code(), Code::InvalidArgument);
    });
    let response = runtime.block_on(scene.run(ask(scene.action(&["exit", "0"]))));
    assert_eq!(response.result.unwrap().exit_code, 0);
}

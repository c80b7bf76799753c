//! The ActionCache service.

use crosswheel::cas::{ActionCache, BlobStore, MAX_DIRECTORY_BYTES, MAX_TREE_BYTES};
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::{
    ActionResult, Directory, DirectoryNode, FileNode, GetActionResultRequest, OutputDirectory, OutputFile,
    Tree, UpdateActionResultRequest,
};
use crosswheel::server::StorageSettings;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::endpoint::{Endpoint, noise};

fn action(name: &str) -> Digest {
    DigestFunction::Sha256.digest(name.as_bytes())
}

fn request(name: &str) -> GetActionResultRequest {
    GetActionResultRequest { action_digest: Some(action(name).to_message()), ..Default::default() }
}

async fn get(endpoint: &Endpoint, request: GetActionResultRequest) -> Result<ActionResult, Status> {
    Ok(endpoint.action_cache().get_action_result(request).await?.into_inner())
}

async fn update(endpoint: &Endpoint, name: &str, result: ActionResult) -> Result<ActionResult, Status> {
    let request = UpdateActionResultRequest {
        action_digest: Some(action(name).to_message()),
        action_result: Some(result),
        ..Default::default()
    };
    Ok(endpoint.action_cache().update_action_result(request).await?.into_inner())
}

fn file(path: &str, digest: &Digest) -> OutputFile {
    OutputFile { path: path.to_owned(), digest: Some(digest.to_message()), ..Default::default() }
}

fn node(name: &str, digest: &Digest) -> FileNode {
    FileNode { name: name.to_owned(), digest: Some(digest.to_message()), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_is_got_by_the_same_instance_and_function_only() {
    let endpoint = Endpoint::start().await;
    assert_eq!(get(&endpoint, request("a")).await.unwrap_err().code(), Code::NotFound);
    let output = endpoint.put(b"output");
    let result =
        ActionResult { output_files: vec![file("out", &output)], exit_code: 0, ..Default::default() };
    assert_eq!(update(&endpoint, "a", result.clone()).await.unwrap(), result);
    for _ in 0..3 {
        assert_eq!(get(&endpoint, request("a")).await.unwrap(), result);
    }
    let other = GetActionResultRequest { instance_name: "other".into(), ..request("a") };
    assert_eq!(get(&endpoint, other).await.unwrap_err().code(), Code::NotFound);
    let other = GetActionResultRequest { digest_function: DigestFunction::Blake3.to_wire(), ..request("a") };
    assert_eq!(get(&endpoint, other).await.unwrap_err().code(), Code::NotFound);
    // A new result takes the place of the old one.
    let output = endpoint.put(b"new output");
    let result = ActionResult { output_files: vec![file("out", &output)], ..Default::default() };
    update(&endpoint, "a", result.clone()).await.unwrap();
    assert_eq!(get(&endpoint, request("a")).await.unwrap(), result);
}

/// A file of every kind in which a result names blobs.
struct Outputs {
    result: ActionResult,
    blobs: Vec<Digest>,
}

fn outputs() -> (Outputs, Vec<Vec<u8>>) {
    let contents: Vec<Vec<u8>> = (0..6).map(|seed| noise(100, seed)).collect();
    let digest = |index: usize| DigestFunction::Sha256.digest(&contents[index]);
    let child = Directory { files: vec![node("deep", &digest(1))], ..Default::default() };
    let child_bytes = child.encode_to_vec();
    let child_digest = DigestFunction::Sha256.digest(&child_bytes);
    let root = Directory {
        files: vec![node("file", &digest(2))],
        directories: vec![DirectoryNode { name: "child".into(), digest: Some(child_digest.to_message()) }],
        ..Default::default()
    };
    let root_bytes = root.encode_to_vec();
    let tree = Tree { root: Some(root), children: vec![child] }.encode_to_vec();
    let other_root = Directory { files: vec![node("f", &digest(3))], ..Default::default() }.encode_to_vec();
    let result = ActionResult {
        output_files: vec![file("out", &digest(0))],
        output_directories: vec![
            OutputDirectory {
                path: "tree".into(),
                tree_digest: Some(DigestFunction::Sha256.digest(&tree).to_message()),
                root_directory_digest: Some(DigestFunction::Sha256.digest(&root_bytes).to_message()),
                ..Default::default()
            },
            OutputDirectory {
                path: String::new(),
                root_directory_digest: Some(DigestFunction::Sha256.digest(&other_root).to_message()),
                ..Default::default()
            },
        ],
        stdout_digest: Some(digest(4).to_message()),
        stderr_digest: Some(digest(5).to_message()),
        ..Default::default()
    };
    let mut blobs = contents;
    blobs.extend([child_bytes, root_bytes, tree, other_root]);
    let digests = blobs.iter().map(|bytes| DigestFunction::Sha256.digest(bytes)).collect();
    (Outputs { result, blobs: digests }, blobs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_is_a_hit_only_while_all_of_its_outputs_are_there() {
    let (outputs, blobs) = outputs();
    for absent in 0..=blobs.len() {
        let endpoint = Endpoint::start().await;
        for (_, blob) in blobs.iter().enumerate().filter(|(index, _)| *index != absent) {
            endpoint.put(blob);
        }
        // Straight into the store, as a server before a restart may have left it.
        endpoint.store.put("", &action("a"), &outputs.result).unwrap();
        let result = get(&endpoint, request("a")).await;
        if absent == blobs.len() {
            assert_eq!(result.unwrap(), outputs.result);
        } else {
            assert_eq!(result.unwrap_err().code(), Code::NotFound, "{absent}");
            let refusal = update(&endpoint, "b", outputs.result.clone()).await.unwrap_err();
            assert_eq!(refusal.code(), Code::FailedPrecondition);
            let details = refusal.get_details_precondition_failure().unwrap();
            assert_eq!(details.violations[0].r#type, "MISSING");
            assert_eq!(details.violations[0].subject, format!("blobs/{}", outputs.blobs[absent]));
            // It becomes one when the blob comes.
            endpoint.put(&blobs[absent]);
            assert_eq!(get(&endpoint, request("a")).await.unwrap(), outputs.result);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_are_inlined_where_the_client_asks_and_they_fit() {
    let endpoint = Endpoint::start().await;
    let large = noise(5_000_000, 1);
    let (out, log, stdout, stderr) =
        (endpoint.put(b"the output"), endpoint.put(&large), endpoint.put(b"said"), endpoint.put(b"warned"));
    let result = ActionResult {
        output_files: vec![file("out", &out), file("large", &log), file("other", &out)],
        stdout_digest: Some(stdout.to_message()),
        stderr_digest: Some(stderr.to_message()),
        ..Default::default()
    };
    update(&endpoint, "a", result.clone()).await.unwrap();
    assert_eq!(get(&endpoint, request("a")).await.unwrap(), result);
    let wanted = GetActionResultRequest {
        inline_stdout: true,
        inline_output_files: vec!["out".into(), "large".into(), "nonsense".into()],
        ..request("a")
    };
    let got = get(&endpoint, wanted).await.unwrap();
    assert_eq!((&got.stdout_raw[..], &got.stderr_raw[..]), (&b"said"[..], &b""[..]));
    let contents: Vec<&[u8]> = got.output_files.iter().map(|file| &file.contents[..]).collect();
    assert_eq!(contents, [&b"the output"[..], b"", b""]);
    let got = get(&endpoint, GetActionResultRequest { inline_stderr: true, ..request("a") }).await.unwrap();
    assert_eq!(got, ActionResult { stderr_raw: b"warned".to_vec(), ..result });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_that_clients_send_go_into_the_store() {
    let endpoint = Endpoint::start().await;
    let output = DigestFunction::Sha256.digest(b"contents");
    let inlined = OutputFile { contents: b"contents".to_vec(), ..file("out", &output) };
    let result =
        ActionResult { output_files: vec![inlined], stdout_raw: b"said".to_vec(), ..Default::default() };
    let stored = update(&endpoint, "a", result.clone()).await.unwrap();
    let stdout = DigestFunction::Sha256.digest(b"said");
    let expected = ActionResult {
        output_files: vec![file("out", &output)],
        stdout_digest: Some(stdout.to_message()),
        ..Default::default()
    };
    assert_eq!(stored, expected);
    assert!(endpoint.has(&output) && endpoint.has(&stdout));
    assert_eq!(get(&endpoint, request("a")).await.unwrap(), expected);

    let mut wrong = result;
    wrong.output_files[0].contents = b"other contents".to_vec();
    let refusal = update(&endpoint, "a", wrong).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert!(refusal.message().contains("output_files[0].contents"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn results_that_cannot_be_are_refused_by_field() {
    let endpoint = Endpoint::start().await;
    let output = endpoint.put(b"output");
    let no_tree = endpoint.put(b"\xff is no tree");
    let directory = |path: &str, digest: Option<&Digest>| ActionResult {
        output_directories: vec![OutputDirectory {
            path: path.to_owned(),
            tree_digest: digest.map(Digest::to_message),
            ..Default::default()
        }],
        ..Default::default()
    };
    let files = |file: OutputFile| ActionResult { output_files: vec![file], ..Default::default() };
    for (result, field) in [
        (files(file("/out", &output)), "output_files[0].path"),
        (files(file("", &output)), "output_files[0].path"),
        (files(OutputFile { digest: None, ..file("out", &output) }), "output_files[0].digest"),
        (directory("/out", Some(&no_tree)), "output_directories[0].path"),
        (directory("out", None), "output_directories[0].tree_digest"),
        (directory("out", Some(&no_tree)), "tree"),
    ] {
        let refusal = update(&endpoint, "a", result).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
        assert!(refusal.message().contains(field), "{field}: {refusal}");
    }
    let refusal = endpoint.action_cache().update_action_result(UpdateActionResultRequest::default()).await;
    assert!(refusal.unwrap_err().message().contains("action_digest"));
    let refusal = get(&endpoint, GetActionResultRequest::default()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(get(&endpoint, request("a")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_can_be_switched_off() {
    let settings = StorageSettings::default();
    let endpoint = Endpoint::start_with(settings).await;
    let refusal =
        update(&endpoint, "a", ActionResult { exit_code: 0, ..Default::default() }).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PermissionDenied);
    // Blobs are another matter.
    assert!(endpoint.store.write(&action("a"), b"a".to_vec().into()).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_claims_to_be_huge_is_refused_by_name() {
    let endpoint = Endpoint::start().await;
    let huge = |size_bytes| Digest { size_bytes, ..DigestFunction::Sha256.digest(b"huge") };
    let tree = huge(MAX_TREE_BYTES + 1);
    let root = huge(MAX_DIRECTORY_BYTES + 1);
    for (digest, directory) in [
        (tree, OutputDirectory { tree_digest: Some(tree.to_message()), ..Default::default() }),
        (root, OutputDirectory { root_directory_digest: Some(root.to_message()), ..Default::default() }),
    ] {
        let result = ActionResult { output_directories: vec![directory], ..Default::default() };
        let refused = update(&endpoint, "a", result).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.message().contains(&digest.to_string()), "{refused}");
    }
}

/// recc wants to have compiler errors back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_a_client_set_are_got() {
    let endpoint = Endpoint::start().await;
    let result = ActionResult { exit_code: 1, ..Default::default() };
    update(&endpoint, "a", result.clone()).await.unwrap();
    assert_eq!(get(&endpoint, request("a")).await.unwrap(), result);
}

//! A bit that flips on the disk while nobody looks.

use std::time::Duration;

use crosswheel::reapi::action_cache_client::ActionCacheClient;
use crosswheel::reapi::{Action, Command, Digest, Directory, FileNode, GetActionResultRequest};
use prost::Message;
use tonic::Code;

use super::scene::{Scene, flip, place};
use crate::support::client::{command, end};
use crate::support::waiting::{eventually, pause};

/// Enough in an input root for it to be kept.
static KEPT: [u8; 500_000] = [1; 500_000];

const SIZES: [usize; 3] = [1000, 100_000, 3_000_000];

#[tokio::test]
async fn a_flipped_bit_is_served_to_nobody_and_the_right_bytes_mend_it() {
    for size in SIZES {
        let scene = Scene::start(&[]).await;
        let mut digests = Vec::new();
        for number in 0..4 {
            digests.push(scene.client.put(vec![number; size]).await);
        }
        let scene = scene
            .restarted(|store| digests.iter().for_each(|digest| flip(&place(store, digest), size / 2)))
            .await;
        let refused = scene.read("blobs", &digests[0], 0).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
        let refused = scene.read("blobs", &digests[1], size as i64 - 10).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "a part that is right in itself: {refused}");
        let refused = scene.read("compressed-blobs/zstd", &digests[2], 0).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{refused}");
        assert_eq!(scene.batch_read(&digests[3]).await, Err(Code::NotFound));
        assert_eq!(scene.missing(&digests).await, digests, "so that clients send them again");

        let quarantine = scene.directory.path().join("store/quarantine");
        assert_eq!(fs_err::read_dir(quarantine).unwrap().count(), 4, "somebody may want to look at them");
        let metrics = scene.server.get("/metrics").1;
        assert!(metrics.contains("crosswheel_store_damaged_total 4"), "{metrics}");
        for (number, digest) in digests.iter().enumerate() {
            scene.client.put(vec![number as u8; size]).await;
            assert!(scene.client.read(digest).await == vec![number as u8; size]);
        }
    }
}

#[tokio::test]
async fn the_right_bytes_mend_a_flipped_bit_that_nobody_has_met() {
    for size in SIZES {
        let scene = Scene::start(&[]).await;
        let digest = scene.client.put(vec![1; size]).await;
        let scene = scene.restarted(|store| flip(&place(store, &digest), 7)).await;
        scene.client.put(vec![1; size]).await;
        assert!(scene.client.read(&digest).await == vec![1; size]);
        // Who comes back to an upload is told of no blob that is none.
        let scene = scene.restarted(|store| flip(&place(store, &digest), 7)).await;
        assert!(!scene.is_complete(&digest).await);
        scene.client.put(vec![1; size]).await;
        assert!(scene.client.read(&digest).await == vec![1; size]);
    }
}

/// An action, and what it is made of.
async fn action(scene: &Scene, script: &str, input: &[u8], unrelated: &[u8]) -> (Digest, Command, Directory) {
    let mut files = Vec::new();
    for (name, bytes) in [("input", input), ("unrelated", unrelated)] {
        let digest = Some(scene.client.put(bytes.to_vec()).await);
        files.push(FileNode { name: name.into(), digest, ..Default::default() });
    }
    let root = Directory { files, ..Default::default() };
    let command = command(&["sh", "-c", script], &[("PATH", "/usr/bin:/bin")], "output");
    let action = Action {
        command_digest: Some(scene.client.put(command.encode_to_vec()).await),
        input_root_digest: Some(scene.client.put(root.encode_to_vec()).await),
        ..Default::default()
    };
    (scene.client.put(action.encode_to_vec()).await, command, root)
}

#[tokio::test]
async fn an_input_with_a_flipped_bit_is_a_missing_one_and_no_result_is_made_of_it() {
    let scene = Scene::start(&[]).await;
    let input = vec![b'x'; 50_000];
    let (action, command, root) = action(&scene, "cat input > output", &input, b"as it was").await;
    let rotten = [
        root.files[0].digest.clone().unwrap(),
        scene.client.put(command.encode_to_vec()).await,
        scene.client.put(root.encode_to_vec()).await,
    ];
    let mut scene = scene;
    for digest in rotten {
        scene = scene.restarted(|store| flip(&place(store, &digest), 20)).await;
        let (code, details) = scene.outcome(&action).await;
        assert_eq!(code, Code::FailedPrecondition, "{details}");
        let subject = format!("blobs/{}/{}", digest.hash, digest.size_bytes);
        assert!(details.contains(&subject), "{details}");
        for bytes in [input.clone(), command.encode_to_vec(), root.encode_to_vec()] {
            scene.client.put(bytes).await;
        }
    }
    let response = end(scene.client.start(&action).await.unwrap()).await;
    let result = response.result.unwrap();
    assert_eq!(result.exit_code, 0, "{}", response.message);
    assert!(scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await == input);
}

/// Of whatever bit: of what the result says, of its checksum, and of what says that there is one.
#[tokio::test]
async fn a_flipped_bit_in_an_action_result_is_no_hit() {
    let scene = Scene::start(&[]).await;
    let (action, ..) = action(&scene, "cat input > output", b"abc", b"").await;
    let response = end(scene.client.start(&action).await.unwrap()).await;
    let right = response.result.unwrap();
    let file = |store: &std::path::Path| store.join("ac").join(&action.hash[..2]).join(&action.hash);
    let sealed = fs_err::read(file(&scene.directory.path().join("store"))).unwrap();
    let request = GetActionResultRequest { action_digest: Some(action.clone()), ..Default::default() };
    let mut scene = scene;
    for at in [0, 1, 2, 5, 25, sealed.len() / 2, sealed.len() - 1] {
        scene = scene
            .restarted(|store| {
                fs_err::write(file(store), &sealed).unwrap();
                flip(&file(store), at);
            })
            .await;
        let answer = ActionCacheClient::new(scene.channel()).get_action_result(request.clone()).await;
        assert_eq!(answer.unwrap_err().code(), Code::NotFound, "a bit of byte {at}");
    }
    let response = end(scene.client.start(&action).await.unwrap()).await;
    assert!(!response.cached_result);
    assert_eq!(response.result.unwrap().output_files, right.output_files);
}

/// The bytes that the action makes are those of a blob that is there already, and is not what it was.
#[tokio::test]
async fn an_output_mends_the_blob_that_it_is() {
    let scene = Scene::start(&[]).await;
    let (action, ..) = action(&scene, "tr a b < input > output", &[b'a'; 9000], b"").await;
    let output = scene.client.put(vec![b'b'; 9000]).await;
    let scene = scene.restarted(|store| flip(&place(store, &output), 4000)).await;
    let response = end(scene.client.start(&action).await.unwrap()).await;
    assert_eq!(response.result.unwrap().output_files[0].digest, Some(output.clone()));
    assert!(scene.client.read(&output).await == vec![b'b'; 9000]);
}

/// Proofs are of a time: what was right at the start is looked at again.
#[tokio::test]
async fn a_bit_that_flips_under_a_running_server_is_found_once_the_proof_is_old() {
    let scene = Scene::start(&["--reverify", "1s"]).await;
    let digest = scene.client.put(vec![5; 100_000]).await;
    assert!(scene.client.read(&digest).await == vec![5; 100_000]);
    flip(&scene.place(&digest), 50_000);
    eventually("the proof to be old", async || {
        scene.read("blobs", &digest, 0).await.is_err_and(|refused| refused.code() == Code::NotFound)
    })
    .await;
    scene.client.put(vec![5; 100_000]).await;
    assert!(scene.client.read(&digest).await == vec![5; 100_000]);
}

/// The input root of the second action is that of the first, and is there.
#[tokio::test]
async fn an_input_root_that_is_kept_is_made_anew_once_its_proof_is_old() {
    let scene = Scene::start(&["--reverify", "1s"]).await;
    let (first, _, root) = action(&scene, "cat input > output", &[7; 5000], &KEPT).await;
    let (second, ..) = action(&scene, "cat input input > output", &[7; 5000], &KEPT).await;
    end(scene.client.start(&first).await.unwrap()).await;
    flip(&scene.place(root.files[0].digest.as_ref().unwrap()), 99);
    pause(Duration::from_millis(2100));
    let (code, details) = scene.outcome(&second).await;
    assert_eq!(code, Code::FailedPrecondition, "{details}");
    scene.client.put(vec![7; 5000]).await;
    let response = end(scene.client.start(&second).await.unwrap()).await;
    let result = response.result.unwrap();
    let output = scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await;
    assert!(output == [7; 10_000]);
}

#[tokio::test]
async fn an_input_root_that_is_kept_is_not_used_once_a_blob_was_found_damaged() {
    let scene = Scene::start(&[]).await;
    let input = [7; 50_000];
    let (first, _, root) = action(&scene, "cat input > output", &input, &KEPT).await;
    end(scene.client.start(&first).await.unwrap()).await;
    let (second, ..) = action(&scene, "cat input input > output", &input, &KEPT).await;
    let digest = root.files[0].digest.clone().unwrap();
    // Somebody writes to it, and a client notices.
    pause(Duration::from_millis(50));
    flip(&scene.place(&digest), 99);
    let changed = fs_err::File::open(scene.place(&digest)).unwrap();
    changed.file().set_modified(std::time::SystemTime::now()).unwrap();
    assert_eq!(scene.read("blobs", &digest, 0).await.unwrap_err().code(), Code::NotFound);
    let (code, details) = scene.outcome(&second).await;
    assert_eq!(code, Code::FailedPrecondition, "{details}");
    scene.client.put(input.to_vec()).await;
    let response = end(scene.client.start(&second).await.unwrap()).await;
    let result = response.result.unwrap();
    let output = scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await;
    assert!(output == [input, input].concat());
}

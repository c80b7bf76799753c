//! Sizes that clients claim, and bytes that they never send.

use super::scene::{Scene, claim};
use crate::support::waiting::eventually;

const SMALL_STORE: [&str; 4] = ["--max-bytes", "20MiB", "--min-free-bytes", "0"];

#[tokio::test]
async fn one_byte_of_a_blob_that_claims_to_fill_the_store_evicts_nothing_and_blocks_nobody() {
    let scene = Scene::start(&[&SMALL_STORE[..], &["--keep-after-use", "0s"]].concat()).await;
    let there = scene.fill(5).await;
    let mut held = Vec::new();
    // Several at a time, so that not even small shares of what they claim may count.
    for number in 0..8 {
        held.push(scene.begin("blobs", &claim(number, 19 << 20), vec![number], 1).await);
        assert_eq!(scene.missing(&there).await, []);
    }
    for number in 0..5 {
        scene.client.put(vec![100 + number; 100_000]).await;
    }
    assert_eq!(scene.missing(&there).await, []);
    drop(held);
}

#[tokio::test]
async fn a_compressed_byte_of_a_blob_that_claims_to_fill_the_store_evicts_nothing() {
    let scene = Scene::start(&[&SMALL_STORE[..], &["--keep-after-use", "0s"]].concat()).await;
    let there = scene.fill(5).await;
    let byte = zstd::encode_all(&b"a"[..], 1).unwrap();
    let mut held = Vec::new();
    for number in 0..8 {
        held.push(scene.begin("compressed-blobs/zstd", &claim(number, 19 << 20), byte.clone(), 1).await);
        assert_eq!(scene.missing(&there).await, []);
    }
    drop(held);
}

/// Nothing may be evicted here, so all the room there is has to come from them.
#[tokio::test]
async fn uploads_whose_clients_are_gone_hold_no_room_that_others_need() {
    let scene = Scene::start(&[&SMALL_STORE[..], &["--keep-after-use", "1h"]].concat()).await;
    for number in 0..2 {
        let held = scene.begin("blobs", &claim(number, 19 << 20), vec![number; 8 << 20], 8 << 20).await;
        held.abandon();
    }
    for number in 0..6 {
        let data = vec![number; 3_000_000];
        eventually("room", async || scene.try_put(data.clone()).await.is_ok()).await;
    }
}

#[tokio::test]
async fn an_upload_that_stalls_holds_no_room_that_others_need() {
    let idle = ["--keep-after-use", "1h", "--upload-idle-timeout", "40s"];
    let scene = Scene::start(&[&SMALL_STORE[..], &idle].concat()).await;
    let held = scene.begin("blobs", &claim(0, 19 << 20), vec![0; 16 << 20], 16 << 20).await;
    for number in 0..6 {
        let data = vec![number; 3_000_000];
        eventually("room", async || scene.try_put(data.clone()).await.is_ok()).await;
    }
    let refusal = held.refusal().await;
    assert!(refusal.message().contains("room"), "{refusal}");
}

#[tokio::test]
async fn what_can_never_fit_is_refused_with_its_first_byte() {
    let scene = Scene::start(&[&SMALL_STORE[..], &["--keep-after-use", "0s"]].concat()).await;
    let there = scene.fill(5).await;
    let resource_name = format!("uploads/u/blobs/{}/{}", claim(0, 0).hash, 21 << 20);
    let message =
        crosswheel::reapi::bytestream::WriteRequest { resource_name, data: vec![1], ..Default::default() };
    let mut client =
        crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient::new(scene.channel());
    let refusal = client.write(tokio_stream::iter([message])).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::ResourceExhausted, "{refusal}");
    assert!(refusal.message().contains("max-bytes"), "{refusal}");
    assert_eq!(scene.missing(&there).await, []);
}

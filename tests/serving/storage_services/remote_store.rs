//! The store that reaches others over the wire, with our own server at the other end.

use bytes::Bytes;
use crosswheel::cas::{ActionCache, BlobStore, RemoteStore, StoreError};
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::{ActionResult, GetCapabilitiesRequest};
use crosswheel::remote::in_process;
use tokio::runtime::Handle;

use super::endpoint::Endpoint;
use crate::support::waiting::within;

/// Of all sizes, some that shrink and some that do not.
fn blobs() -> Vec<(Digest, Bytes)> {
    let sizes = (0..200).map(|number| number * 50).chain([1 << 20, (4 << 20) + 1, 9_000_000]);
    let blobs = sizes.enumerate().map(|(number, size): (usize, usize)| {
        let mut state = number as u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if number % 2 == 0 { (state >> 33) as u8 } else { b'a' }
        };
        let bytes: Bytes = std::iter::repeat_with(next).take(size).collect();
        (DigestFunction::ALL[number % 3 % 2].digest(&bytes), bytes)
    });
    blobs.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_and_results_go_there_and_back() {
    let endpoint = Endpoint::start().await;
    let capabilities = endpoint
        .capabilities()
        .get_capabilities(GetCapabilitiesRequest::default())
        .await
        .unwrap()
        .into_inner();
    let channel = in_process(endpoint.another_channel().await);
    let store = RemoteStore::new(Handle::current(), channel, "", &capabilities);
    let use_it = move || {
        let blobs = blobs();
        let digests: Vec<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
        assert_eq!(store.find_missing(&digests).unwrap().len(), blobs.len() - 1, "all but the empty one");
        store.write_many(&blobs).into_iter().for_each(Result::unwrap);
        assert_eq!(store.find_missing(&digests).unwrap(), []);
        for (read, (_, bytes)) in store.read_many(&digests).into_iter().zip(&blobs) {
            assert_eq!(read.unwrap(), bytes);
        }
        let (largest, bytes) = blobs.last().unwrap();
        store.write_from(largest, &mut &bytes[..]).unwrap();
        let mut tail = Vec::new();
        store.open(largest, 8_999_990).unwrap().read_to_end(&mut tail).unwrap();
        assert_eq!(tail, bytes[8_999_990..]);

        let missing = DigestFunction::Sha256.digest(b"missing");
        let large = DigestFunction::Blake3.digest(&vec![1; 5 << 20]);
        for digest in [missing, large] {
            assert!(matches!(store.read(&digest), Err(StoreError::NotFound(found)) if found == digest));
        }
        let wrong = store.write_from(&large, &mut &vec![2; 5 << 20][..]).unwrap_err();
        assert!(matches!(wrong, StoreError::Mismatch { .. }));

        let result = ActionResult { exit_code: 0, stdout_raw: b"hello".to_vec(), ..ActionResult::default() };
        assert_eq!(store.get("", &missing).unwrap(), None);
        store.put("", &missing, &result).unwrap();
        assert_eq!(store.get("", &missing).unwrap().map(|found| found.exit_code), Some(0));
    };
    within("the remote store", tokio::task::spawn_blocking(use_it)).await.unwrap();
    assert!(endpoint.has(&blobs()[100].0));
}

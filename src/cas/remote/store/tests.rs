//! The remote store against a server that misbehaves.

use tokio::runtime::Runtime;
use tonic::Status;

use super::*;
use crate::cas::remote::test_server::{State, TestServer};
use crate::cas::traits::ActionCache;
use crate::digest::DigestFunction;
use crate::reapi::{ActionResult, CacheCapabilities, compressor};

struct Scene {
    store: RemoteStore,
    server: TestServer,
    _runtime: Runtime,
}

fn scene(zstd: bool) -> Scene {
    let runtime = Runtime::new().unwrap();
    let server = TestServer::default();
    let channel = server.start(&runtime);
    let compressors = if zstd { vec![compressor::Value::Zstd as i32] } else { vec![] };
    let capabilities = ServerCapabilities {
        cache_capabilities: Some(CacheCapabilities {
            supported_compressors: compressors.clone(),
            supported_batch_update_compressors: compressors,
            max_batch_total_size_bytes: 100_000,
            ..CacheCapabilities::default()
        }),
        ..ServerCapabilities::default()
    };
    let store = RemoteStore::new(runtime.handle().clone(), channel, "some/instance", &capabilities);
    Scene { store, server, _runtime: runtime }
}

impl Scene {
    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.server.state.lock()
    }

    fn calls(&self, name: &str) -> usize {
        self.state().calls.iter().filter(|call| call.split(' ').next() == Some(name)).count()
    }

    fn has(&self, function: DigestFunction, bytes: &[u8]) -> Digest {
        let digest = function.digest(bytes);
        self.state().blobs.insert(digest, bytes.to_vec());
        digest
    }
}

/// Bytes that hardly shrink.
fn noise(length: usize) -> Bytes {
    let mut state = 7_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn many_blobs_of_all_sizes_go_there_and_back() {
    for zstd in [false, true] {
        let scene = scene(zstd);
        let blobs: Vec<(Digest, Bytes)> = (0..300_usize)
            .map(|number| {
                let bytes = noise(300_000).slice(..number * number * 3);
                (DigestFunction::ALL[number % 2].digest(&bytes), bytes)
            })
            .collect();
        let digests: Vec<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
        let empty = |digest: &Digest| digest.size_bytes == 0;
        let missing = scene.store.find_missing(&digests).unwrap();
        assert_eq!(missing, digests.iter().filter(|digest| !empty(digest)).copied().collect::<Vec<_>>());
        for written in scene.store.write_many(&blobs) {
            written.unwrap();
        }
        assert_eq!(scene.store.find_missing(&digests).unwrap(), []);
        for (read, (_, bytes)) in scene.store.read_many(&digests).into_iter().zip(&blobs) {
            assert_eq!(read.unwrap(), bytes);
        }
        assert!(scene.state().largest_batch <= 100_000);
        assert!(scene.calls("BatchUpdateBlobs") > 10 && scene.calls("BatchReadBlobs") > 10);
        assert!(scene.calls("Write") > 10 && scene.calls("Read") > 10);
        let names = scene.state().calls.iter().filter(|call| call.contains("compressed-blobs/zstd/")).count();
        assert_eq!(names > 0, zstd);
    }
}

#[test]
fn each_blob_has_its_own_outcome() {
    let scene = scene(false);
    let there = scene.has(DigestFunction::Sha256, b"there");
    let corrupt = scene.has(DigestFunction::Sha256, b"corrupt");
    scene.state().corrupt.push(corrupt);
    let missing = DigestFunction::Sha256.digest(b"missing");
    let outcomes = scene.store.read_many(&[there, missing, corrupt, missing, there]);
    assert_eq!(outcomes[0].as_ref().unwrap(), &b"there"[..]);
    assert!(matches!(outcomes[1], Err(StoreError::NotFound(digest)) if digest == missing));
    assert!(matches!(outcomes[2], Err(StoreError::Damaged(_))), "{:?}", outcomes[2]);
    assert!(matches!(outcomes[3], Err(StoreError::NotFound(_))));
    assert!(outcomes[4].is_ok());

    let right = DigestFunction::Sha256.digest(b"right");
    let written = scene.store.write_many(&[(right, "wrong".into()), (right, "right".into())]);
    assert!(matches!(written[0], Err(StoreError::Mismatch { .. })));
    assert!(written[1].is_ok());
    let large = noise(500_000);
    let digest = DigestFunction::Sha256.digest(&large);
    let error = scene.store.write_from(&digest, &mut &large[1..]).unwrap_err();
    assert!(matches!(error, StoreError::Mismatch { .. }), "{error}");
    let mut longer = (&large[..]).chain(&b"!"[..]);
    assert!(matches!(scene.store.write_from(&digest, &mut longer), Err(StoreError::Mismatch { .. })));
    assert!(!scene.state().blobs.contains_key(&digest));
}

#[test]
fn what_fails_for_a_moment_is_tried_again() {
    let scene = scene(false);
    let blob = scene.has(DigestFunction::Sha256, b"blob");
    scene.state().unavailable = 2;
    assert_eq!(scene.store.find_missing(&[blob]).unwrap(), []);
    assert_eq!(scene.calls("FindMissingBlobs"), 3);
    scene.state().unavailable_blobs = 1;
    assert_eq!(scene.store.read(&blob).unwrap(), &b"blob"[..]);
    assert_eq!(scene.calls("BatchReadBlobs"), 2);
    scene.state().unavailable_blobs = 1;
    scene.store.write(&blob, "blob".into()).unwrap();
    assert_eq!(scene.calls("BatchUpdateBlobs"), 2);
}

#[test]
fn patience_ends() {
    let scene = scene(false);
    let store = scene.store.clone().with_patience(Duration::ZERO);
    let blob = scene.has(DigestFunction::Sha256, b"blob");
    scene.state().unavailable = usize::MAX;
    let error = store.find_missing(&[blob]).unwrap_err();
    assert!(error.to_string().contains("try again"), "{error}");
    assert!(matches!(store.read(&blob), Err(StoreError::Remote { .. })));
    assert!(matches!(store.write(&blob, "blob".into()), Err(StoreError::Remote { .. })));
    let large = noise(200_000);
    let digest = DigestFunction::Sha256.digest(&large);
    assert!(matches!(store.write(&digest, large), Err(StoreError::Remote { .. })));
    assert!(matches!(store.read(&digest), Err(StoreError::Remote { .. })));
}

#[test]
fn what_the_server_decided_is_not_asked_again() {
    let scene = scene(false);
    let digest = DigestFunction::Sha256.digest(b"blob");
    scene.state().refusal = Some(Status::permission_denied("not yours"));
    let error = scene.store.write(&digest, "blob".into()).unwrap_err();
    assert!(error.to_string().contains("not yours"), "{error}");
    assert_eq!(scene.calls("BatchUpdateBlobs"), 1);
    let large = noise(200_000);
    let error = scene.store.write(&DigestFunction::Sha256.digest(&large), large).unwrap_err();
    assert!(error.to_string().contains("not yours"), "{error}");
    assert_eq!(scene.calls("Write"), 1);
}

#[test]
fn a_broken_download_goes_on_where_it_was() {
    for zstd in [false, true] {
        let scene = scene(zstd);
        let bytes = noise(2_000_000);
        let digest = scene.has(DigestFunction::Blake3, &bytes);
        scene.state().break_after.extend([700_000, 500_000]);
        assert_eq!(scene.store.read(&digest).unwrap(), bytes);
        let starts: Vec<u64> = scene
            .state()
            .calls
            .iter()
            .filter(|call| call.starts_with("Read "))
            .map(|call| call.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert!(starts.len() == 3 && starts[0] == 0 && starts[1] < starts[2], "{starts:?}");
        assert!(starts[1] > 300_000, "{starts:?}");

        let mut tail = Vec::new();
        scene.store.open(&digest, 1_999_000).unwrap().read_to_end(&mut tail).unwrap();
        assert_eq!(tail, bytes[1_999_000..]);
    }
}

#[test]
fn wrong_bytes_of_a_stream_are_an_error() {
    let scene = scene(false);
    let bytes = noise(200_000);
    let digest = scene.has(DigestFunction::Sha256, &bytes);
    scene.state().corrupt.push(digest);
    let error = scene.store.read(&digest).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    let missing = DigestFunction::Sha256.digest(&noise(300_000));
    assert!(matches!(scene.store.read(&missing), Err(StoreError::NotFound(digest)) if digest == missing));
    assert!(matches!(scene.store.open(&missing, 5), Err(StoreError::NotFound(_))));
    assert!(scene.store.open(&digest, 200_001).is_err());
}

/// Names of uploads and where they start, in order.
fn uploads(scene: &Scene) -> Vec<(String, u64)> {
    let calls = scene.state().calls.clone();
    let uploads = calls.iter().filter_map(|call| call.strip_prefix("Write ")?.rsplit_once(' '));
    uploads.map(|(name, offset)| (name.to_owned(), offset.parse().unwrap())).collect()
}

#[test]
fn a_broken_upload_goes_on_where_it_was() {
    let scene = scene(false);
    let bytes = noise(5_000_000);
    let digest = DigestFunction::Sha256.digest(&bytes);
    scene.state().break_after.extend([1_500_000, 1_000_000]);
    scene.store.write_from(&digest, &mut &bytes[..]).unwrap();
    assert_eq!(scene.state().blobs[&digest], bytes);
    let uploads = uploads(&scene);
    assert!(uploads.len() == 3 && uploads[0].1 == 0 && uploads[1].1 >= 1_500_000, "{uploads:?}");
    assert!(uploads[2].1 >= uploads[1].1 + 1_000_000, "{uploads:?}");
    assert!(uploads[0].0 == uploads[1].0 && uploads[1].0 == uploads[2].0, "{uploads:?}");
}

/// How far the server says it is in the blob says nothing of how far it is in what was sent.
#[test]
fn a_broken_upload_of_compressed_bytes_starts_again_under_another_name() {
    let scene = scene(true);
    // Shrinks to a half or so, so that the two are far apart.
    let bytes = Bytes::from(noise(5_000_000).iter().flat_map(|byte| [*byte, 0]).collect::<Vec<u8>>());
    let digest = DigestFunction::Sha256.digest(&bytes);
    scene.state().break_after.extend([1_500_000, 2_000_000]);
    scene.store.write_from(&digest, &mut &bytes[..]).unwrap();
    assert_eq!(scene.state().blobs[&digest], bytes);
    let uploads = uploads(&scene);
    assert!(uploads.len() == 3 && uploads.iter().all(|(_, offset)| *offset == 0), "{uploads:?}");
    assert!(uploads[0].0 != uploads[1].0 && uploads[1].0 != uploads[2].0, "{uploads:?}");
}

#[test]
fn an_upload_that_the_server_forgot_starts_again_while_its_bytes_are_at_hand() {
    let scene = scene(false);
    scene.state().forgetful = true;
    let bytes = noise(3_000_000);
    let digest = DigestFunction::Sha256.digest(&bytes);
    scene.state().break_after.push_back(1_000_000);
    scene.store.write_from(&digest, &mut &bytes[..]).unwrap();
    assert_eq!(scene.state().blobs[&digest], bytes);

    let bytes = noise(1 << 20).repeat(40);
    let digest = DigestFunction::Sha256.digest(&bytes);
    scene.state().break_after.push_back(38 << 20);
    let error = scene.store.write_from(&digest, &mut &bytes[..]).unwrap_err();
    assert!(matches!(error, StoreError::Remote { .. }), "{error}");
    // Those that can be had again are sent again.
    scene.state().break_after.push_back(38 << 20);
    let mut opened = 0;
    let mut open = || -> io::Result<Box<dyn Read>> {
        opened += 1;
        Ok(Box::new(io::Cursor::new(bytes.clone())))
    };
    scene.store.write_reopening(&digest, &mut open).unwrap();
    assert_eq!(opened, 2);
    assert_eq!(scene.state().blobs[&digest], bytes);
}

#[test]
fn an_early_answer_ends_an_upload() {
    for zstd in [false, true] {
        let scene = scene(zstd);
        let bytes = Bytes::from(noise(1 << 20).repeat(20));
        let digest = DigestFunction::Sha256.digest(&bytes);
        scene.state().answer_early = Some(600_000);
        let mut source = io::Cursor::new(&bytes);
        scene.store.write_from(&digest, &mut source).unwrap();
        assert!(source.position() < 15_000_000, "{}", source.position());
    }
}

#[test]
fn results_are_kept_by_instance() {
    let scene = scene(false);
    let action = DigestFunction::Sha256.digest(b"action");
    let result = ActionResult { exit_code: 3, ..ActionResult::default() };
    assert_eq!(scene.store.get("a", &action).unwrap(), None);
    scene.store.put("a", &action, &result).unwrap();
    assert_eq!(scene.store.get("a", &action).unwrap(), Some(result));
    assert_eq!(scene.store.get("b", &action).unwrap(), None);
}

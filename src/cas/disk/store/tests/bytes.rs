//! Bytes in and out.

use std::io::Read;

use super::*;
use crate::reapi::{ActionResult, OutputFile};
use crate::waiting::{scope, wait_until};

#[test]
fn what_is_written_is_read_whichever_way() {
    let scene = Scene::new();
    let store = &scene.store;
    for function in DigestFunction::ALL {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let digest = function.digest(&bytes);
        assert_eq!(store.find_missing(&[digest]).unwrap(), [digest]);
        store.write_from(&digest, &mut &bytes[..]).unwrap();
        assert!(store.contains(&digest).unwrap());
        assert_eq!(store.read(&digest).unwrap(), bytes);
        let mut tail = Vec::new();
        BlobStore::open(store, &digest, 399_990).unwrap().read_to_end(&mut tail).unwrap();
        assert_eq!(tail, bytes[399_990..]);
        assert_eq!(store.file(&digest).unwrap().metadata().unwrap().len(), 400_000);
    }
    assert_eq!(store.usage().blobs, 2);
}

#[test]
fn a_batch_has_an_outcome_per_blob_in_order() {
    let scene = Scene::new();
    let mut blobs: Vec<(Digest, Bytes)> = (0..500_u32)
        .map(|number| Bytes::copy_from_slice(&number.to_le_bytes()))
        .map(|bytes| (DigestFunction::Sha256.digest(&bytes), bytes))
        .collect();
    blobs[77].1 = Bytes::from_static(b"something else");
    let outcomes = scene.store.write_many(&blobs);
    for (number, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), number != 77, "{number}: {outcome:?}");
    }
    assert!(matches!(outcomes[77], Err(StoreError::Mismatch { .. })));
    let digests: Vec<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
    for (number, read) in scene.store.read_many(&digests).into_iter().enumerate() {
        match read {
            Ok(bytes) => assert_eq!(bytes, blobs[number].1),
            Err(error) => assert!(number == 77 && matches!(error, StoreError::NotFound(_))),
        }
    }
    assert_eq!(scene.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn wrong_bytes_are_refused_and_leave_nothing() {
    let scene = Scene::new();
    let digest = DigestFunction::Sha256.digest(b"right");
    for wrong in [&b"wrong"[..], b"right and more", b"rig", b""] {
        let error = scene.store.write_from(&digest, &mut &wrong[..]).unwrap_err();
        assert!(matches!(error, StoreError::Mismatch { expected, .. } if expected == digest));
        let error = scene.store.write(&digest, Bytes::copy_from_slice(wrong)).unwrap_err();
        assert!(matches!(error, StoreError::Mismatch { .. }));
    }
    assert!(!scene.is_there(&digest));
    assert_eq!(scene.temporary_files(), Vec::<PathBuf>::new());
    assert_eq!(scene.store.usage().disk_bytes, 0);
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let scene = Scene::new();
    let digest = DigestFunction::Sha256.digest(&[7; 5000]);
    let mut upload = scene.store.upload(&digest).unwrap();
    upload.write(&[7; 3000]).unwrap();
    assert_eq!(upload.committed_bytes(), 3000);
    assert_eq!(scene.temporary_files().len(), 1);
    drop(upload);
    assert_eq!(scene.temporary_files(), Vec::<PathBuf>::new());
    assert!(!scene.is_there(&digest));
}

#[test]
fn the_empty_blob_is_always_there_and_no_other_is_empty() {
    let scene = Scene::new();
    for function in DigestFunction::ALL {
        let empty = Digest::empty(function);
        assert!(scene.is_there(&empty));
        assert_eq!(scene.store.read(&empty).unwrap(), Bytes::new());
        assert_eq!(scene.store.file(&empty).unwrap().metadata().unwrap().len(), 0);
        scene.store.write(&empty, Bytes::new()).unwrap();
        scene.store.upload(&empty).unwrap().finish().unwrap();
        let _pins = scene.store.pin(&[empty]).unwrap();
        let place = scene.directory.path().join(function.name());
        scene.store.link(&empty, FileMode::Plain, &place).unwrap();
        assert_eq!(fs_err::read(place).unwrap(), b"");

        let other = Digest { size_bytes: 0, ..function.digest(b"a") };
        assert!(!scene.is_there(&other));
        assert!(matches!(scene.store.read(&other), Err(StoreError::NotFound(_))));
        assert!(matches!(scene.store.file(&other), Err(StoreError::NotFound(_))));
        assert!(matches!(scene.store.write(&other, Bytes::new()), Err(StoreError::Mismatch { .. })));
        assert_eq!(scene.store.pin(&[other]).unwrap_err(), [other]);
    }
    assert_eq!(scene.store.usage().blobs, 0);
}

#[test]
fn many_who_write_one_blob_all_succeed_and_it_is_there_once() {
    let scene = Scene::new();
    let bytes = Bytes::from(vec![3; 20_000]);
    let digest = DigestFunction::Sha256.digest(&bytes);
    scope("writers of one blob", |scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut upload = scene.store.upload(&digest).unwrap();
                upload.write(&bytes).unwrap();
                upload.finish().unwrap();
                scene.store.write(&digest, bytes.clone()).unwrap();
            });
        }
    });
    assert_eq!(scene.store.usage().blobs, 1);
    assert_eq!(scene.store.usage().blob_bytes, 20_000);
    assert_eq!(scene.temporary_files(), Vec::<PathBuf>::new());
}

#[test]
fn a_wrong_size_under_a_right_hash_is_not_found_and_harms_nothing() {
    let scene = Scene::new();
    let digest = scene.add(b"some bytes");
    let scene = scene.reopened(|_| {});
    let longer = Digest { size_bytes: 11, ..digest };
    assert!(!scene.is_there(&longer));
    assert!(matches!(scene.store.read(&longer), Err(StoreError::NotFound(_))));
    assert!(matches!(scene.store.file(&longer), Err(StoreError::NotFound(_))));
    assert_eq!(scene.store.read(&digest).unwrap(), &b"some bytes"[..]);
}

#[test]
fn results_survive_a_restart_and_instances_are_kept_apart() {
    let scene = Scene::new();
    let action = DigestFunction::Blake3.digest(b"an action");
    let result = |path: &str| ActionResult {
        output_files: vec![OutputFile { path: path.into(), ..OutputFile::default() }],
        ..ActionResult::default()
    };
    assert_eq!(scene.store.get("", &action).unwrap(), None);
    scene.store.put("", &action, &result("a")).unwrap();
    scene.store.put("other", &action, &result("b")).unwrap();
    scene.store.put("", &action, &result("c")).unwrap();
    assert_eq!(scene.store.get("", &action).unwrap(), Some(result("c")));
    let scene = scene.reopened(|_| {});
    assert_eq!(scene.store.get("", &action).unwrap(), Some(result("c")));
    assert_eq!(scene.store.get("other", &action).unwrap(), Some(result("b")));
    assert_eq!(scene.store.get("third", &action).unwrap(), None);
    wait_until("all to be listed", || scene.store.usage().listed);
    assert_eq!(scene.store.usage().results, 2);
}

#[test]
fn a_damaged_result_is_none() {
    let scene = Scene::new();
    let action = DigestFunction::Sha256.digest(b"an action");
    let place = Key::result("", &action).name().below(scene.directory.path());
    scene.store.put("", &action, &ActionResult { exit_code: 4, ..ActionResult::default() }).unwrap();
    let scene = scene.reopened(|_| {
        let bytes = fs_err::read(&place).unwrap();
        fs_err::remove_file(&place).unwrap();
        fs_err::write(&place, &bytes[..bytes.len() - 1]).unwrap();
    });
    assert_eq!(scene.store.get("", &action).unwrap(), None);
    assert!(!place.exists());
}

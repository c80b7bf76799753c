//! What becomes of files whose bytes are not what they were.

use super::*;
use crate::cas::disk::proofs::Settled;
use crate::waiting::scope;

/// Overwrites one byte of a file as a disk does that forgets: neither its times show it, nor whoever watches its directory.
fn rot(path: &std::path::Path) {
    use std::os::unix::fs::{FileExt, PermissionsExt};
    let metadata = fs_err::metadata(path).unwrap();
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    fs_err::hard_link(path, &link).unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(&link).unwrap();
    file.file().write_all_at(&[0xff], metadata.len() / 2).unwrap();
    file.file().set_modified(metadata.modified().unwrap()).unwrap();
    fs_err::set_permissions(path, metadata.permissions()).unwrap();
}

fn quarantined(scene: &Scene) -> Vec<u64> {
    let Ok(files) = fs_err::read_dir(scene.directory.path().join("quarantine")) else { return Vec::new() };
    files.map(|file| file.unwrap().metadata().unwrap().len()).collect()
}

#[test]
fn what_this_process_wrote_is_not_hashed_again() {
    let scene = Scene::new();
    let digests = [scene.add(b"small"), scene.add(&[1; 100_000])];
    let output = scene.store.work_directory().join("output");
    fs_err::write(&output, [2; 50_000]).unwrap();
    let adopted = DigestFunction::Sha256.digest(&[2; 50_000]);
    scene.store.adopt(&adopted, &output).unwrap();
    for (number, digest) in digests.into_iter().chain([adopted]).enumerate() {
        scene.store.read(&digest).unwrap();
        scene.store.file(&digest).unwrap();
        let place = scene.store.trees_directory().join(number.to_string());
        scene.store.link(&digest, FileMode::Plain, &place).unwrap();
        assert_eq!(scene.store.find_unsound(&[digest]).unwrap(), []);
    }
    assert_eq!((scene.store.usage().proven, scene.store.usage().damaged), (0, 0));
}

#[test]
fn many_who_use_a_blob_for_the_first_time_hash_it_once() {
    let scene = Scene::new();
    let digest = scene.add(&[7; 3_000_000]);
    let scene = scene.reopened(|_| {});
    scope("readers", |scope| {
        for _ in 0..8 {
            scope.spawn(|| scene.store.file(&digest).unwrap());
        }
    });
    assert_eq!((scene.store.usage().proven, scene.store.usage().proven_bytes), (1, 3_000_000));
}

#[test]
fn a_proof_is_good_for_as_long_as_it_is_said_to_be_and_second_inodes_go_with_it() {
    let scene = Scene::with(|settings| settings.reverify = Duration::from_secs(100));
    let digest = scene.add(&[3; 50_000]);
    let place = |name: &str| scene.store.trees_directory().join(name);
    scene.store.link(&digest, FileMode::Plain, &place("a")).unwrap();
    scene.store.link(&digest, FileMode::Executable, &place("b")).unwrap();
    rot(&Key::blob(&digest).variant().below(scene.directory.path()));
    scene.later(99);
    scene.store.file(&digest).unwrap();
    assert_eq!(scene.store.usage().proven, 0);
    scene.later(1);
    scene.store.link(&digest, FileMode::Executable, &place("c")).unwrap();
    assert_eq!(fs_err::read(place("c")).unwrap(), [3; 50_000]);
    assert_eq!(scene.store.usage().proven, 1);
    assert_eq!(scene.store.usage().disk_bytes, 2 * 13 * 4096);
    rot(&scene.path(&digest));
    scene.store.file(&digest).unwrap();
    scene.later(100);
    assert!(matches!(scene.store.file(&digest), Err(StoreError::NotFound(_))));
    assert_eq!((quarantined(&scene), scene.store.usage().damaged), (vec![50_000], 1));
}

/// Somebody has hashed a broken file, and before it is moved away there is a right one in its place.
#[test]
fn an_upload_is_not_taken_for_the_broken_file_it_has_replaced() {
    let scene = Scene::new();
    let bytes = vec![1; 20_000];
    let digest = scene.add(&bytes);
    let path = scene.path(&digest);
    let scene = scene.reopened(|_| rot(&path));
    let files = &scene.store.core.files;
    let broken = rustix::fs::stat(&path).unwrap();
    let replacement = scene.directory.path().join("replacement");
    fs_err::write(&replacement, &bytes).unwrap();
    fs_err::rename(&replacement, &path).unwrap();
    let settled = files.settle(&Key::blob(&digest), &broken, Some("its bytes are wrong")).unwrap();
    assert_eq!(settled, Settled::Replaced);
    assert_eq!(scene.store.read(&digest).unwrap(), bytes);
    assert_eq!(scene.store.usage().damaged, 0);
}

#[test]
fn the_quarantine_does_not_grow_without_end() {
    let scene = Scene::with(|settings| {
        settings.max_bytes = Some(256 << 20);
        settings.keep_after_use = Duration::ZERO;
    });
    let large = scene.add(&vec![1; 20 << 20]);
    let small: Vec<Digest> = (0..100_u32).map(|number| scene.add(&number.to_le_bytes().repeat(50))).collect();
    let medium: Vec<Digest> = (0..5_u8).map(|number| scene.add(&vec![number; 5 << 20])).collect();
    let all: Vec<Digest> = small.iter().chain(&medium).chain([&large]).copied().collect();
    let paths: Vec<PathBuf> = all.iter().map(|digest| scene.path(digest)).collect();
    let scene = scene.reopened(|_| paths.iter().for_each(|path| rot(path)));
    for digest in small.iter().chain([&large]) {
        assert_eq!(scene.store.find_unsound(&[*digest]).unwrap(), [*digest]);
    }
    // The largest is too large, and of the others as many are kept as may be, of this process and of the next.
    assert_eq!(quarantined(&scene), [200; 32]);
    let scene = scene.reopened(|_| {});
    assert_eq!(quarantined(&scene).len(), 32);
    assert_eq!(scene.store.core.files.quarantine.space(), 32 * 4096);
    assert_eq!(scene.store.find_unsound(&medium).unwrap().len(), medium.len());
    let kept: u64 = quarantined(&scene).iter().sum();
    assert!(kept <= 16 << 20, "{kept}");
    assert!(scene.store.core.files.quarantine.space() <= 16 << 20);
    assert_eq!(scene.store.usage().blobs, 0);
}

#[test]
fn an_action_result_with_a_flipped_bit_is_none_and_is_set_again() {
    let scene = Scene::new();
    let action = DigestFunction::Sha256.digest(b"action");
    let result = ActionResult { exit_code: 3, ..ActionResult::default() };
    scene.store.put("", &action, &result).unwrap();
    let path = Key::result("", &action).name().below(scene.directory.path());
    let scene = scene.reopened(|_| rot(&path));
    assert_eq!(scene.store.get("", &action).unwrap(), None);
    assert_eq!((quarantined(&scene).len(), scene.store.usage().damaged), (1, 1));
    scene.store.put("", &action, &result).unwrap();
    let scene = scene.reopened(|_| {});
    assert_eq!(scene.store.get("", &action).unwrap(), Some(result));
}

#[test]
fn a_blob_is_mended_whichever_way_its_bytes_come() {
    let bytes = Bytes::from(vec![5; 40_000]);
    let digest = DigestFunction::Sha256.digest(&bytes);
    let mends: [fn(&DiskStore, &Digest, &Bytes); 4] = [
        |store, digest, bytes| store.write(digest, bytes.clone()).unwrap(),
        |store, digest, bytes| store.write_from(digest, &mut &bytes[..]).unwrap(),
        |store, digest, bytes| {
            let mut upload = store.upload(digest).unwrap();
            upload.write(bytes).unwrap();
            upload.finish().unwrap();
        },
        |store, digest, bytes| {
            let output = store.work_directory().join("output");
            fs_err::write(&output, bytes).unwrap();
            store.adopt(digest, &output).unwrap();
        },
    ];
    for mend in mends {
        let scene = Scene::new();
        scene.add(&bytes);
        let path = scene.path(&digest);
        let scene = scene.reopened(|_| rot(&path));
        mend(&scene.store, &digest, &bytes);
        assert_eq!(fs_err::read(&path).unwrap(), bytes);
        assert_eq!(scene.store.read(&digest).unwrap(), bytes);
    }
}

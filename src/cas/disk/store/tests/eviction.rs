//! What goes, and what stays.

use std::sync::atomic::{AtomicBool, AtomicU64};

use super::*;
use crate::reapi::ActionResult;
use crate::waiting::{scope, wait_until};

/// A store for `blocks` blobs of a block each.
fn small(blocks: u64) -> Scene {
    Scene::with(|settings| {
        settings.max_bytes = Some(blocks * 4096);
        settings.high_water_percent = 100;
        settings.low_water_percent = 50;
        settings.keep_after_use = Duration::from_secs(60);
    })
}

#[test]
fn what_was_used_least_recently_goes_first() {
    let scene = small(10);
    let mut digests = Vec::new();
    for number in 0..10_u8 {
        digests.push(scene.add(&[number; 100]));
        scene.later(10);
    }
    assert!(scene.is_there(&digests[0]));
    scene.later(1000);
    let new = scene.add(b"one too many");
    let left: Vec<bool> = digests.iter().map(|digest| scene.is_there(digest)).collect();
    assert!(scene.is_there(&new));
    assert_eq!(left, [true, false, false, false, false, false, false, true, true, true]);
    assert!(!scene.path(&digests[1]).exists());
    assert_eq!(scene.store.usage().evicted, 6);
    assert_eq!(scene.store.usage().disk_bytes, 5 * 4096);
}

#[test]
fn what_was_just_used_is_kept_and_writes_are_refused_instead() {
    let scene = small(10);
    let digests: Vec<Digest> = (0..10_u8).map(|number| scene.add(&[number; 100])).collect();
    let more = Bytes::from_static(b"more");
    let digest = DigestFunction::Sha256.digest(&more);
    let refused = scene.store.write(&digest, more.clone()).unwrap_err();
    assert!(
        matches!(&refused, StoreError::NoRoom { reason, .. } if reason.contains("max-bytes")),
        "{refused}"
    );
    assert!(matches!(scene.store.upload(&digest), Err(StoreError::NoRoom { .. })));
    assert_eq!(scene.store.find_missing(&digests).unwrap(), []);
    assert_eq!(scene.temporary_files(), Vec::<PathBuf>::new());
    scene.later(61);
    scene.store.find_missing(&digests[..8]).unwrap();
    scene.store.write(&digest, more).unwrap();
    assert_eq!(scene.store.find_missing(&digests).unwrap(), digests[8..]);
}

#[test]
fn pinned_blobs_stay_whatever_happens() {
    let scene = small(10);
    let digests: Vec<Digest> = (0..10_u8).map(|number| scene.add(&[number; 100])).collect();
    let pins = scene.store.pin(&digests[..9]).unwrap();
    let again = scene.store.pin(&digests[..1]).unwrap();
    scene.later(1000);
    scene.add(b"one");
    assert_eq!(scene.store.core.files.index.total(Kind::Blob).files.load(Relaxed), 10);
    assert_eq!(scene.store.read_many(&digests[..9]).into_iter().filter(Result::is_ok).count(), 9);
    scene.later(1000);
    drop(pins);
    scene.later(1000);
    scene.add(b"two");
    scene.add(b"three");
    assert!(scene.is_there(&digests[0]), "pinned twice");
    assert!(digests[1..].iter().any(|digest| !scene.is_there(digest)));
    drop(again);
}

#[test]
fn pins_are_for_all_or_none() {
    let scene = small(10);
    let there = scene.add(b"there");
    let missing = DigestFunction::Sha256.digest(b"missing");
    let wrong = Digest { size_bytes: 1, ..there };
    assert_eq!(scene.store.pin(&[there, missing, wrong]).unwrap_err(), [missing, wrong]);
    scene.later(1000);
    for number in 0..10_u8 {
        scene.add(&[number; 100]);
    }
    assert!(!scene.is_there(&there), "it must not have stayed pinned");
}

#[test]
fn a_blob_larger_than_the_store_is_refused() {
    let scene = small(2);
    let digest = DigestFunction::Sha256.digest(&[0; 9000]);
    assert!(matches!(scene.store.upload(&digest), Err(StoreError::NoRoom { .. })));
}

/// The size is only what a client says, so it must not cost anybody anything.
#[test]
fn a_claimed_size_that_can_never_fit_evicts_nothing() {
    for claimed in [11 * 4096, 1 << 50, i64::MAX as u64, u64::MAX] {
        let scene = small(10);
        let digests: Vec<Digest> = (0..10_u8).map(|number| scene.add(&[number; 100])).collect();
        scene.later(1000);
        let digest = Digest { size_bytes: claimed, ..DigestFunction::Sha256.digest(b"claimed") };
        for _ in 0..3 {
            let refused = scene.store.upload(&digest).unwrap_err();
            assert!(
                matches!(&refused, StoreError::NoRoom { reason, .. } if reason.contains("max-bytes")),
                "{refused}"
            );
        }
        assert_eq!(scene.store.find_missing(&digests).unwrap(), [], "{claimed} bytes");
        assert_eq!(scene.store.usage().evicted, 0);
        scene.later(1000);
        scene.add(b"there is room for what fits");
    }
}

#[test]
fn a_claimed_size_larger_than_the_disk_evicts_nothing() {
    let scene = Scene::with(|settings| {
        settings.max_bytes = None;
        settings.keep_after_use = Duration::ZERO;
    });
    let there = scene.add(b"there");
    scene.later(1000);
    for claimed in [1 << 60, i64::MAX as u64, u64::MAX] {
        let digest = Digest { size_bytes: claimed, ..DigestFunction::Sha256.digest(b"claimed") };
        for _ in 0..3 {
            let refused = scene.store.upload(&digest).unwrap_err();
            assert!(
                matches!(&refused, StoreError::NoRoom { reason, .. } if reason.contains("larger disk")),
                "{refused}"
            );
        }
    }
    assert!(scene.is_there(&there));
    scene.add(b"there is room for what fits");
}

#[test]
fn nothing_goes_for_a_write_that_would_not_fit_even_then() {
    let scene = small(10);
    let old: Vec<Digest> = (0..5_u8).map(|number| scene.add(&[number; 100])).collect();
    scene.later(1000);
    let used: Vec<Digest> = (5..10_u8).map(|number| scene.add(&[number; 100])).collect();
    let six_blocks = Bytes::from(vec![0; 6 * 4096]);
    let digest = DigestFunction::Sha256.digest(&six_blocks);
    assert!(matches!(scene.store.upload(&digest), Err(StoreError::NoRoom { .. })));
    assert_eq!(scene.store.usage().evicted, 0);
    assert_eq!(scene.store.find_missing(&old).unwrap(), []);
    scene.later(1000);
    scene.store.find_missing(&old[..4]).unwrap();
    scene.store.write(&digest, six_blocks).unwrap();
    assert!(!scene.is_there(&used[0]));
}

#[test]
fn an_upload_takes_room_for_bytes_that_have_come_and_for_no_others() {
    let scene = small(10);
    let digests: Vec<Digest> = (0..8_u8).map(|number| scene.add(&[number; 100])).collect();
    scene.later(1000);
    let claimed = Digest { size_bytes: 10 * 4096, ..DigestFunction::Sha256.digest(b"claimed") };
    let reserved = || scene.store.core.quota.reserved();
    let mut uploads: Vec<_> = (0..4).map(|_| scene.store.upload(&claimed).unwrap()).collect();
    assert_eq!(reserved(), 0);
    for upload in &mut uploads[..2] {
        upload.write(b"a").unwrap();
        upload.write(b"b").unwrap();
    }
    assert_eq!((reserved(), scene.store.usage().evicted), (2 * 4096, 0));
    drop(uploads.pop());
    uploads.swap_remove(0).write(&[0; 50_000]).unwrap_err();
    assert_eq!(reserved(), 4096);
    uploads[1].write(&[0; 4096]).unwrap();
    assert_eq!(scene.store.usage().evicted, 0);
    uploads[1].write(&[0; 4096]).unwrap();
    assert!(scene.store.usage().evicted > 0, "these bytes are here");
    drop(uploads);
    assert_eq!(reserved(), 0);
    assert!(digests.iter().any(|digest| scene.is_there(digest)));
}

/// Where the disk is short, what others link to frees nothing and is not counted as if it did.
#[test]
fn linked_files_are_no_candidates_when_the_disk_is_short() {
    let scene = Scene::with(|settings| {
        settings.max_bytes = None;
        settings.keep_after_use = Duration::ZERO;
    });
    let linked = scene.add(&[1; 5000]);
    scene.store.link(&linked, FileMode::Plain, &scene.store.trees_directory().join("a")).unwrap();
    scene.later(10);
    let alone = scene.add(&[2; 5000]);
    scene.later(10);
    let core = &scene.store.core;
    let goal = |least, target| crate::cas::disk::eviction::Goal { least, target, disk: true };
    core.quota.evict(&core.files, goal(3 * 4096, 3 * 4096)).unwrap();
    assert_eq!(scene.store.usage().evicted, 0, "only two blocks can be freed");
    core.quota.evict(&core.files, goal(4096, 8192)).unwrap();
    assert!(scene.is_there(&linked));
    assert!(!scene.is_there(&alone));
}

#[test]
fn the_high_water_mark_starts_and_the_low_one_ends_eviction_in_the_background() {
    let scene = Scene::with(|settings| {
        settings.max_bytes = Some(100 * 4096);
        settings.high_water_percent = 80;
        settings.low_water_percent = 40;
        settings.keep_after_use = Duration::ZERO;
    });
    for number in 0..90_u8 {
        scene.add(&[number; 100]);
        if number == 80 {
            wait_until("enough to be evicted", || scene.store.usage().disk_bytes <= 41 * 4096);
        }
    }
    assert!(scene.store.usage().disk_bytes >= 40 * 4096);
}

#[test]
fn results_and_second_inodes_count_and_go_too() {
    let scene = small(10);
    let digest = scene.add(b"both");
    for (name, mode) in [("a", FileMode::Plain), ("b", FileMode::Executable)] {
        scene.store.link(&digest, mode, &scene.store.trees_directory().join(name)).unwrap();
    }
    let action = DigestFunction::Sha256.digest(b"action");
    scene.store.put("", &action, &ActionResult::default()).unwrap();
    assert_eq!(scene.store.usage().disk_bytes, 3 * 4096);
    scene.later(1000);
    for number in 0..8_u8 {
        scene.add(&[number; 100]);
    }
    assert_eq!(scene.store.get("", &action).unwrap(), None);
    assert!(!scene.is_there(&digest));
    assert!(!Key::blob(&digest).variant().below(scene.directory.path()).exists());
    assert_eq!(scene.store.usage().disk_bytes, 8 * 4096);
}

#[test]
fn the_disk_is_not_filled_up() {
    let scene = Scene::with(|settings| settings.min_free_bytes = u64::MAX / 2);
    let bytes = Bytes::from_static(b"no");
    let refused = scene.store.write(&DigestFunction::Sha256.digest(&bytes), bytes).unwrap_err();
    assert!(matches!(&refused, StoreError::NoRoom { reason, .. } if reason.contains("min-free-bytes")));
}

/// Readers, writers and eviction at once: whoever is told that a blob is there and pins it can read it, and no
/// upload that succeeded is lost to an eviction of its predecessor.
#[test]
fn eviction_takes_nothing_from_under_those_who_hold_it() {
    let scene = Scene::with(|settings| {
        settings.max_bytes = Some(64 * 4096);
        settings.high_water_percent = 70;
        settings.low_water_percent = 30;
        settings.keep_after_use = Duration::ZERO;
    });
    let stop = AtomicBool::new(false);
    let pinned = AtomicU64::new(0);
    scope("readers and writers", |scope| {
        for seed in 0..4_u32 {
            let (scene, stop, pinned) = (&scene, &stop, &pinned);
            scope.spawn(move || {
                for round in 0..3000_u32 {
                    let number = (round.wrapping_mul(2_654_435_761) ^ seed) % 97;
                    let bytes = Bytes::from(vec![number as u8; 1000]);
                    let digest = DigestFunction::Sha256.digest(&bytes);
                    match scene.store.write(&digest, bytes.clone()) {
                        Ok(()) | Err(StoreError::NoRoom { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    if let Ok(_pins) = scene.store.pin(&[digest]) {
                        pinned.fetch_add(1, Relaxed);
                        std::thread::yield_now();
                        assert_eq!(scene.store.read(&digest).unwrap(), bytes);
                        assert_eq!(fs_err::read(scene.path(&digest)).unwrap(), bytes);
                    }
                }
                stop.store(true, Relaxed);
            });
        }
    });
    assert!(pinned.load(Relaxed) > 100 && scene.store.usage().evicted > 100);
    // What the index says and what is there are the same.
    let all: Vec<Digest> =
        (0..97_u8).map(|number| DigestFunction::Sha256.digest(&vec![number; 1000])).collect();
    for digest in &all {
        assert_eq!(scene.is_there(digest), scene.path(digest).exists());
    }
    assert!(scene.store.usage().disk_bytes <= 64 * 4096);
}

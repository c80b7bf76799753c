//! Files made of blobs.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::*;
use crate::waiting::scope;

fn mode(path: &Path) -> u32 {
    fs_err::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_first_use_decides_the_mode_and_the_other_mode_is_a_second_inode() {
    for first in [FileMode::Plain, FileMode::Executable] {
        let scene = Scene::new();
        let digest = scene.add(b"a program");
        let second = if first == FileMode::Plain { FileMode::Executable } else { FileMode::Plain };
        let place = |name: &str| scene.store.trees_directory().join(name);
        for (name, mode) in [("a", first), ("b", second), ("c", first), ("d", second)] {
            scene.store.link(&digest, mode, &place(name)).unwrap();
        }
        let bits = |mode| if mode == FileMode::Plain { 0o444 } else { 0o555 };
        assert_eq!(
            ["a", "b", "c", "d"].map(|name| mode(&place(name))),
            [bits(first), bits(second), bits(first), bits(second)]
        );
        let inode = |name: &str| fs_err::metadata(place(name)).unwrap().ino();
        assert_eq!(inode("a"), fs_err::metadata(scene.path(&digest)).unwrap().ino());
        assert_eq!(inode("a"), inode("c"));
        assert_eq!(inode("b"), inode("d"));
        assert!(["a", "b"].iter().all(|name| fs_err::read(place(name)).unwrap() == b"a program"));
        assert_eq!(scene.store.usage().disk_bytes, 2 * 4096);

        // Whatever is left of it, the next process sees what modes there are.
        let scene = scene.reopened(|_| {});
        let place = |name: &str| scene.store.trees_directory().join(name);
        scene.store.link(&digest, second, &place("e")).unwrap();
        scene.store.link(&digest, first, &place("f")).unwrap();
        assert_eq!((mode(&place("e")), mode(&place("a"))), (bits(second), bits(first)));
        assert_eq!(mode(&place("f")), bits(first));
    }
}

#[test]
fn many_links_at_once_each_have_their_outcome() {
    let scene = Scene::new();
    let digests: Vec<Digest> = (0..200_u32).map(|number| scene.add(&number.to_le_bytes())).collect();
    let mut links: Vec<(Digest, FileMode, PathBuf)> = digests
        .iter()
        .enumerate()
        .map(|(number, digest)| {
            let mode = if number % 2 == 0 { FileMode::Plain } else { FileMode::Executable };
            (*digest, mode, scene.store.trees_directory().join(number.to_string()))
        })
        .collect();
    links[50].0 = DigestFunction::Sha256.digest(b"not there");
    for (number, outcome) in scene.store.link_many(&links).into_iter().enumerate() {
        match outcome {
            Ok(()) => assert_eq!(mode(&links[number].2), if number % 2 == 0 { 0o444 } else { 0o555 }),
            Err(error) => assert!(number == 50 && matches!(error, StoreError::NotFound(_)), "{error}"),
        }
    }
}

#[test]
fn both_modes_at_once_from_many_threads_are_both_right() {
    let scene = Scene::new();
    for round in 0..50_u32 {
        let digest = scene.add(&round.to_le_bytes());
        scope("links from many threads", |scope| {
            for thread in 0..4 {
                let scene = &scene;
                scope.spawn(move || {
                    let mode = if thread % 2 == 0 { FileMode::Plain } else { FileMode::Executable };
                    let place = scene.store.trees_directory().join(format!("{round}-{thread}"));
                    scene.store.link(&digest, mode, &place).unwrap();
                });
            }
        });
        for thread in 0..4 {
            let place = scene.store.trees_directory().join(format!("{round}-{thread}"));
            assert_eq!(mode(&place), if thread % 2 == 0 { 0o444 } else { 0o555 });
        }
    }
}

/// ext4 has 65,000 links to an inode (buildfarm#568).
#[test]
fn there_may_be_more_links_than_an_inode_can_have() {
    let scene = Scene::new();
    let digest = scene.add(b"popular");
    let links: Vec<_> = (0..65_100)
        .map(|number| (digest, FileMode::Executable, scene.store.trees_directory().join(number.to_string())))
        .collect();
    let failed = scene.store.link_many(&links).into_iter().filter_map(Result::err).count();
    assert_eq!(failed, 0);
    for number in [0, 64_000, 65_099] {
        let place = &links[number].2;
        assert_eq!((fs_err::read(place).unwrap(), mode(place)), (b"popular".to_vec(), 0o555));
    }
}

#[test]
fn another_file_system_gets_a_copy() {
    let scene = Scene::new();
    let digest = scene.add(b"far away");
    // The link and the copy must be told apart whether or not this is another file system.
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    let place = elsewhere.path().join("a");
    scene.store.link(&digest, FileMode::Executable, &place).unwrap();
    assert_eq!((fs_err::read(&place).unwrap(), mode(&place)), (b"far away".to_vec(), 0o555));
}

#[test]
fn a_copy_shares_nothing_with_the_store() {
    let scene = Scene::new();
    let digest = scene.add(b"mine");
    let place = scene.directory.path().join("copy");
    scene.store.copy_to(&digest, FileMode::Plain, &place).unwrap();
    assert_eq!(mode(&place), 0o444);
    fs_err::set_permissions(&place, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs_err::write(&place, "scribbled").unwrap();
    assert_eq!(fs_err::read(scene.path(&digest)).unwrap(), b"mine");
    assert!(scene.store.copy_to(&digest, FileMode::Plain, &place).is_err(), "something is there");
    let missing = DigestFunction::Sha256.digest(b"missing");
    let place = scene.directory.path().join("none");
    assert!(matches!(scene.store.copy_to(&missing, FileMode::Plain, &place), Err(StoreError::NotFound(_))));
    assert!(!place.exists());
}

#[test]
fn an_adopted_file_is_the_blob() {
    let scene = Scene::new();
    let digest = DigestFunction::Sha256.digest(b"an output");
    for _ in 0..2 {
        let output = scene.store.work_directory().join("output");
        fs_err::write(&output, "an output").unwrap();
        fs_err::set_permissions(&output, std::fs::Permissions::from_mode(0o700)).unwrap();
        scene.store.adopt(&digest, &output).unwrap();
        assert!(!output.exists());
        assert_eq!(scene.store.read(&digest).unwrap(), &b"an output"[..]);
        assert_eq!(mode(&scene.path(&digest)), 0o444);
    }
    assert_eq!(scene.store.usage().blobs, 1);
    let short = scene.store.work_directory().join("short");
    fs_err::write(&short, "an").unwrap();
    let other = DigestFunction::Sha256.digest(b"another output");
    assert!(matches!(scene.store.adopt(&other, &short), Err(StoreError::Mismatch { .. })));
}

//! The directory, and what others do in it.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::waiting::wait_until;

fn set_length(path: &std::path::Path, length: u64) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

fn set_times(path: &std::path::Path, time: std::time::SystemTime) {
    let times = std::fs::FileTimes::new().set_modified(time).set_accessed(time);
    fs_err::File::open(path).unwrap().file().set_times(times).unwrap();
}

#[test]
fn a_file_of_the_wrong_length_is_never_served() {
    for length in [0, 5, 4000] {
        // Cut while the store is open; while it is closed; large enough not to be read at once.
        for size in [10, 100_000] {
            let scene = Scene::new();
            let digest = scene.add(&vec![1; size]);
            set_length(&scene.path(&digest), length);
            assert!(matches!(scene.store.read(&digest), Err(StoreError::NotFound(_))));
            assert!(!scene.is_there(&digest), "noticed, so clients upload it again");

            let digest = scene.add(&vec![2; size]);
            set_length(&scene.path(&digest), length);
            assert!(matches!(scene.store.file(&digest), Err(StoreError::NotFound(_))));

            let digest = scene.add(&vec![3; size]);
            set_length(&scene.path(&digest), length);
            let place = scene.directory.path().join("linked");
            let linked = scene.store.link(&digest, FileMode::Plain, &place);
            assert!(matches!(linked, Err(StoreError::NotFound(_))), "{linked:?}");

            let digest = scene.add(&vec![4; size]);
            let path = scene.path(&digest);
            let scene = scene.reopened(|_| set_length(&path, length));
            assert!(!scene.is_there(&digest));
            assert!(matches!(scene.store.read(&digest), Err(StoreError::NotFound(_))));
            assert!(!path.exists(), "what has not the bytes of its name is removed");
            scene.add(&vec![4; size]);
            assert_eq!(scene.store.read(&digest).unwrap(), vec![4; size]);
        }
    }
}

#[test]
fn files_that_others_remove_are_soon_missing() {
    let scene = Scene::new();
    let digest = scene.add(b"one");
    fs_err::remove_file(scene.path(&digest)).unwrap();
    wait_until("the loss to be noticed", || !scene.is_there(&digest));
    scene.add(b"one");
    assert!(scene.is_there(&digest));

    let moved = scene.add(b"two");
    fs_err::rename(scene.path(&moved), scene.directory.path().join("elsewhere")).unwrap();
    wait_until("the loss to be noticed", || !scene.is_there(&moved));

    crate::scratch::removal::remove(scene.directory.path().join("cas")).unwrap();
    wait_until("the loss to be noticed", || !scene.is_there(&digest));
    assert_eq!(scene.store.usage().blobs, 0);
    scene.add(b"one");
    assert_eq!(scene.store.read(&digest).unwrap(), &b"one"[..]);
    fs_err::remove_file(scene.path(&digest)).unwrap();
    wait_until("the loss in the new directory to be noticed", || !scene.is_there(&digest));
}

#[test]
fn opening_a_file_that_others_removed_says_not_found_at_once() {
    let scene = Scene::new();
    let digest = scene.add(&[9; 100_000]);
    fs_err::remove_file(scene.path(&digest)).unwrap();
    assert!(matches!(scene.store.file(&digest), Err(StoreError::NotFound(_))));
    assert!(!scene.is_there(&digest));
}

#[test]
fn a_disk_cache_of_bazel_is_adopted_and_foreign_files_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let digest = DigestFunction::Sha256.digest(b"from Bazel");
    let blake3 = DigestFunction::Blake3.digest(b"from Bazel");
    let foreign = ["cas/aa/tmp.123", "cas/gc", "gc/lock", "tmp/1f2e-bazel", "ac/00/notes", "readme"];
    for name in foreign {
        fs_err::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs_err::write(root.join(name), "theirs").unwrap();
    }
    for digest in [digest, blake3] {
        let place = Key::blob(&digest).name().below(root);
        fs_err::create_dir_all(place.parent().unwrap()).unwrap();
        fs_err::write(&place, "from Bazel").unwrap();
    }
    let settings = StoreSettings { directory: root.to_owned(), ..StoreSettings::default() };
    let store = DiskStore::open(&settings).unwrap();
    assert_eq!(store.find_missing(&[digest, blake3]).unwrap(), []);
    assert_eq!(store.read(&blake3).unwrap(), &b"from Bazel"[..]);
    store.link(&digest, FileMode::Executable, &store.trees_directory().join("a")).unwrap();
    wait_until("all to be listed", || store.usage().listed);
    assert_eq!(store.usage().blobs, 2);
    drop(store);
    assert!(foreign.iter().all(|name| fs_err::read(root.join(name)).unwrap() == b"theirs"));
}

#[test]
fn one_process_at_a_time() {
    let scene = Scene::new();
    let error = DiskStore::open(&scene.settings).unwrap_err();
    assert!(
        matches!(&error, StoreError::InUse { holder, .. } if holder.contains(&std::process::id().to_string()))
    );
    let scene = scene.reopened(|_| {});
    scene.add(b"works");
}

#[test]
fn leftovers_are_swept_and_finished_trees_stay() {
    let scene = Scene::new().reopened(|root| {
        fs_err::create_dir_all(root.join("work/action/deep")).unwrap();
        fs_err::write(root.join("work/action/deep/file"), "x").unwrap();
        fs_err::set_permissions(root.join("work/action/deep"), std::fs::Permissions::from_mode(0o000))
            .unwrap();
        fs_err::create_dir_all(root.join("trees/.unfinished")).unwrap();
        fs_err::create_dir_all(root.join("trees/finished")).unwrap();
        fs_err::write(root.join("tmp/crosswheel/0/half"), "x").unwrap();
    });
    let root = scene.directory.path();
    assert_eq!(fs_err::read_dir(scene.store.work_directory()).unwrap().count(), 0);
    assert_eq!(scene.temporary_files(), Vec::<PathBuf>::new());
    assert!(root.join("trees/finished").exists() && !root.join("trees/.unfinished").exists());
    wait_until("leftovers to be swept", || {
        fs_err::read_dir(root.join("tmp")).unwrap().all(|entry| entry.unwrap().file_name() == "crosswheel")
    });
}

#[test]
fn last_uses_survive_a_restart() {
    let scene = Scene::new();
    let (old, used, linked) = (scene.add(b"old"), scene.add(b"used"), scene.add(b"linked"));
    scene.store.link(&linked, FileMode::Plain, &scene.store.trees_directory().join("a")).unwrap();
    let paths = [&old, &used, &linked].map(|digest| scene.path(digest));
    let scene = scene.reopened(|_| {
        let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(5000);
        paths.iter().for_each(|path| set_times(path, long_ago));
    });
    let modified = |digest: &Digest| fs_err::metadata(scene.path(digest)).unwrap().modified().unwrap();
    let before = modified(&linked);
    let now = scene.store.core.files.clock.now();
    assert!(scene.is_there(&used) && scene.is_there(&linked));
    let scene = scene.reopened(|_| {});
    let last_use = |digest: &Digest| {
        scene.store.core.files.table(&Key::blob(digest)).unwrap().get(&digest.hash).unwrap().last_use()
    };
    assert!(last_use(&old) <= now - 4990);
    assert!(last_use(&used) + 1 >= now);
    assert!(last_use(&linked) + 1 >= now);
    let modified = fs_err::metadata(scene.path(&linked)).unwrap().modified().unwrap();
    assert_eq!(modified, before, "actions would see that time change");
}

#[test]
fn a_use_that_is_yet_to_come_tells_nothing() {
    let scene = Scene::new();
    let digests = [scene.add(b"both"), scene.add(b"modified"), scene.add(b"neither")];
    let paths = digests.map(|digest| scene.path(&digest));
    let now = std::time::SystemTime::now();
    let day = std::time::Duration::from_secs(24 * 3600);
    let scene = scene.reopened(|_| {
        for (path, modified, accessed) in [
            (&paths[0], now + 1000 * day, now + 2000 * day),
            (&paths[1], now + 1000 * day, now - day),
            (&paths[2], now - day, now - 2 * day),
        ] {
            let times = std::fs::FileTimes::new().set_modified(modified).set_accessed(accessed);
            fs_err::File::open(path).unwrap().file().set_times(times).unwrap();
        }
    });
    let files = &scene.store.core.files;
    let age = |digest: &Digest| {
        let table = files.table(&Key::blob(digest)).unwrap();
        files.clock.now() - table.get(&digest.hash).unwrap().last_use()
    };
    assert!(age(&digests[0]) < 100);
    assert!((86_390..86_500).contains(&age(&digests[1])));
    assert!((86_390..86_500).contains(&age(&digests[2])));
    // From then on, the file says when it was used.
    let _scene = scene.reopened(|_| {
        assert!(fs_err::metadata(&paths[0]).unwrap().modified().unwrap() < now + day);
    });
}

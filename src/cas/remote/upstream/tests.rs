//! What is kept here of a server that misbehaves.

use bytes::Bytes;
use prost::Message;
use tokio::runtime::Runtime;

use super::*;
use crate::cancellation::Kill;
use crate::cas::disk::{DiskStore, StoreSettings};
use crate::cas::error::StoreError;
use crate::cas::fetching::{FetchingStore, Unpinned};
use crate::cas::remote::test_server::{State, TestServer};
use crate::cas::transfers::Transfers;
use crate::digest::{Digest, DigestFunction};
use crate::reapi::{Directory, SymlinkNode};
use crate::waiting::{scope, wait_until};

struct Scene {
    upstream: RemoteUpstream,
    fetching: FetchingStore,
    hang_up: HangUp,
    server: TestServer,
    _directory: tempfile::TempDir,
    _runtime: Runtime,
}

fn scene() -> Scene {
    let runtime = Runtime::new().unwrap();
    let server = TestServer::default();
    let channel = server.start(&runtime);
    let upstream = RemoteUpstream::new(runtime.handle().clone(), channel, &ServerCapabilities::default());
    let directory = tempfile::tempdir().unwrap();
    let settings = StoreSettings { directory: directory.path().to_owned(), ..StoreSettings::default() };
    let local = DiskStore::open(&settings).unwrap();
    let hang_up = HangUp::default();
    let remote = upstream.of_instance_until("some/instance", &hang_up);
    let fetching = FetchingStore::new(local, remote, Transfers::default()).until(hang_up.clone());
    Scene { upstream, fetching, hang_up, server, _directory: directory, _runtime: runtime }
}

impl Scene {
    fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.server.state.lock()
    }

    fn calls(&self, name: &str) -> usize {
        self.state().calls.iter().filter(|call| call.split(' ').next() == Some(name)).count()
    }

    fn has(&self, bytes: &[u8]) -> Digest {
        let digest = DigestFunction::Sha256.digest(bytes);
        self.state().blobs.insert(digest, bytes.to_vec());
        digest
    }

    fn lacks_here(&self, digest: &Digest) -> bool {
        !self.fetching.local().contains(digest).unwrap()
    }
}

fn directory(name: &str) -> Directory {
    let link = SymlinkNode { name: name.into(), target: "somewhere".into(), node_properties: None };
    Directory { symlinks: vec![link], ..Directory::default() }
}

fn digest_of(directory: &Directory) -> Digest {
    DigestFunction::Sha256.digest(&directory.encode_to_vec())
}

#[test]
fn bytes_that_were_changed_on_the_way_are_not_kept() {
    let scene = scene();
    for size in [1_000, 3 << 20] {
        let digest = scene.has(&vec![7; size]);
        scene.state().corrupt = vec![digest];
        let failed = scene.fetching.pin(&[digest]).unwrap_err();
        assert!(matches!(failed, Unpinned::Failed(StoreError::Remote { .. })), "{failed:?}");
        assert!(scene.lacks_here(&digest));
        scene.state().corrupt.clear();
        drop(scene.fetching.pin(&[digest]).unwrap());
    }
}

#[test]
fn directories_of_a_tree_are_kept_under_their_own_digests_only() {
    let scene = scene();
    let (asked, unasked) = (directory("asked for"), directory("not asked for"));
    scene.state().trees = Some(vec![unasked.clone()]);
    scene.fetching.fetch_directories(&digest_of(&asked)).unwrap();
    assert!(scene.lacks_here(&digest_of(&asked)));
    assert_eq!(scene.fetching.local().read(&digest_of(&unasked)).unwrap(), unasked.encode_to_vec());
    scene.state().trees = Some(vec![unasked, asked.clone()]);
    scene.fetching.fetch_directories(&digest_of(&asked)).unwrap();
    assert_eq!(scene.fetching.local().read(&digest_of(&asked)).unwrap(), asked.encode_to_vec());
}

#[test]
fn a_server_without_trees_is_asked_for_one_once() {
    let scene = scene();
    let root = digest_of(&directory("a"));
    for instance in ["one", "another", "one"] {
        let store = scene.upstream.of_instance(instance);
        assert!(!store.read_directories(&root, &mut |_| panic!("there is none")).unwrap());
    }
    assert_eq!(scene.calls("GetTree"), 1);
}

#[test]
fn each_instance_is_asked_under_its_own_name() {
    let scene = scene();
    let digest = scene.has(b"blob");
    for (instance, name) in [("", format!("blobs/{digest}")), ("a/b", format!("a/b/blobs/{digest}"))] {
        drop(scene.upstream.of_instance(instance).open(&digest, 0).unwrap());
        assert_eq!(scene.state().calls.pop().unwrap(), format!("Read {name} 0"));
    }
}

/// As Buildbarn, whose limit is a matter of its configuration.
#[test]
fn a_server_that_names_no_limit_is_sent_and_asked_for_less_once_it_has_refused_more() {
    let scene = scene();
    scene.state().most_batch = Some(600_000);
    let store = scene.upstream.store("");
    let blobs: Vec<(Digest, Bytes)> = (0..40_u8)
        .map(|number| vec![number; 50_000 + usize::from(number == 7) * 650_000])
        .map(|bytes| (DigestFunction::Sha256.digest(&bytes), bytes.into()))
        .collect();
    let digests: Vec<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
    store.write_many(&blobs).into_iter().for_each(Result::unwrap);
    for (read, (_, bytes)) in store.read_many(&digests).into_iter().zip(&blobs) {
        assert_eq!(read.unwrap(), bytes);
    }
    let before = scene.calls("BatchReadBlobs");
    scene.upstream.store("another").read_many(&digests).into_iter().for_each(|read| drop(read.unwrap()));
    let calls = scene.calls("BatchReadBlobs") - before;
    assert!(calls <= 10, "{calls}");
    assert_eq!(scene.calls("Write") / 2, 1, "the large one, and only that");

    scene.state().refusal = Some(tonic::Status::invalid_argument("nothing pleases it"));
    let before = scene.state().calls.len();
    assert!(store.read_many(&digests[..6]).iter().all(Result::is_err));
    let calls = scene.state().calls.len() - before;
    assert!(calls <= 8, "{calls}");
}

#[test]
fn what_is_there_already_is_not_sent() {
    let scene = scene();
    let there = scene.has(b"there");
    let large = vec![3; 2 << 20];
    let blobs: Vec<Digest> = [&b"there"[..], b"small", &large]
        .into_iter()
        .map(|bytes| {
            let digest = DigestFunction::Sha256.digest(bytes);
            scene.fetching.local().write(&digest, bytes.to_vec().into()).unwrap();
            digest
        })
        .collect();
    assert_eq!(blobs[0], there);
    scene.fetching.send(&blobs).unwrap();
    assert_eq!((scene.calls("BatchUpdateBlobs"), scene.state().blobs.len()), (1, 3));
    let before = scene.state().calls.len();
    scene.fetching.send(&blobs).unwrap();
    assert_eq!(scene.state().calls[before..], ["FindMissingBlobs"]);
    scene.fetching.send(&[]).unwrap();
    assert_eq!(scene.state().calls.len(), before + 1);
    let gone = DigestFunction::Sha256.digest(b"gone");
    assert!(matches!(scene.fetching.send(&[gone]), Err(StoreError::Damaged(_))));
}

#[test]
fn a_server_that_is_short_of_something_says_so_through_us() {
    let scene = scene();
    let upstream = scene.upstream.clone().with_patience(Duration::ZERO);
    scene.state().refusal = Some(tonic::Status::resource_exhausted("too many of you"));
    let digest = DigestFunction::Sha256.digest(b"blob");
    let error = upstream.store("").find_missing(&[digest]).unwrap_err();
    assert!(matches!(error, StoreError::Remote { exhausted: true, .. }), "{error:?}");
}

#[test]
fn whoever_hangs_up_waits_no_longer() {
    let scene = scene();
    scene.state().silent = true;
    let digest = DigestFunction::Sha256.digest(b"blob");
    scope("a call without an answer", |scope| {
        let sending = scope.spawn(|| scene.fetching.send(&[digest]).unwrap_err());
        wait_until("the call", || scene.calls("FindMissingBlobs") == 1);
        scene.hang_up.kill();
        assert!(matches!(sending.join().unwrap(), StoreError::Remote { .. }));
    });
}

//! `crosswheel store`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use bytes::Bytes;
use crosswheel::cas::{BlobStore, DiskStore, StoreSettings};
use crosswheel::digest::{Digest, DigestFunction};
use serde_json::Value;

use crate::support::waiting::InTime;

fn open(directory: &Path) -> DiskStore {
    DiskStore::open(&StoreSettings { directory: directory.to_owned(), ..StoreSettings::default() }).unwrap()
}

fn filled(directory: &Path) -> (DiskStore, Vec<Digest>) {
    let store = open(directory);
    let digests = (0..10_u8)
        .map(|number| {
            let bytes = Bytes::from(vec![number; 5000]);
            let digest = DigestFunction::Sha256.digest(&bytes);
            store.write(&digest, bytes).unwrap();
            digest
        })
        .collect();
    (store, digests)
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crosswheel"))
        .arg("store")
        .args(arguments)
        .arg("--store")
        .arg(directory)
        .output_in_time()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn verify_says_what_is_damaged_and_repairs_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, digests) = filled(directory.path());
    let sound = run(directory.path(), &["verify"]);
    assert!(sound.status.success(), "{sound:?}");
    let hex = digests[4].hex();
    let place = directory.path().join("cas").join(&hex[..2]).join(&hex);
    fs_err::set_permissions(&place, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs_err::write(&place, vec![99; 5000]).unwrap();

    let damaged = run(directory.path(), &["verify", "--json"]);
    assert_eq!(damaged.status.code(), Some(3));
    let document = json(&damaged);
    assert_eq!(document["files"], 10);
    assert_eq!(document["damaged"][0]["file"], format!("cas/{}/{hex}", &hex[..2]));

    let in_use = run(directory.path(), &["verify", "--repair"]);
    assert_eq!(in_use.status.code(), Some(1));
    let message = String::from_utf8_lossy(&in_use.stderr).into_owned();
    assert!(message.contains("is in use by another crosswheel"), "{message}");

    drop(store);
    let repaired = run(directory.path(), &["verify", "--repair"]);
    assert!(repaired.status.success(), "{repaired:?}");
    assert!(!place.exists());
    assert_eq!(open(directory.path()).find_missing(&digests).unwrap(), [digests[4]]);
}

#[test]
fn prune_keeps_what_fits() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _) = filled(directory.path());
    assert_eq!(run(directory.path(), &["prune", "--max-bytes", "1M"]).status.code(), Some(1), "in use");
    drop(store);
    let pruned = run(directory.path(), &["prune", "--max-bytes", "32K", "--json"]);
    assert!(pruned.status.success(), "{pruned:?}");
    let document = json(&pruned);
    assert_eq!((&document["evicted"], &document["blobs"]), (&Value::from(6), &Value::from(4)));
    assert_eq!(document["disk_bytes"], 32 << 10);
}

#[test]
fn stats_count_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (_store, _) = filled(directory.path());
    let document = json(&run(directory.path(), &["stats", "--json"]));
    assert_eq!(document["blobs"]["files"], 10);
    assert_eq!(document["blobs"]["bytes"], 50_000);
    let text = run(directory.path(), &["stats"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("10 blobs"), "{text:?}");
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    let none = directory.path().join("none");
    for arguments in [&["stats"][..], &["verify"], &["prune", "--max-bytes", "1"]] {
        assert_eq!(run(&none, arguments).status.code(), Some(2));
    }
    assert!(!none.exists());
}

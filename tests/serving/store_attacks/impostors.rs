//! What somebody with access to the directory puts where a blob was.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crosswheel::reapi::Digest;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tonic::Code;

use super::scene::{Scene, place};
use crate::support::client::end;
use crate::support::waiting::pause;

const SIZE: usize = 100_000;

type Impostor = (&'static str, fn(&Path));

/// What they put there, by name.
const IMPOSTORS: [Impostor; 6] = [
    ("a symlink", |path| {
        fs_err::remove_file(path).unwrap();
        // As long as the blob where it leads to.
        fs_err::write(path.with_extension("target"), vec![0; SIZE]).unwrap();
        std::os::unix::fs::symlink(path.with_extension("target"), path).unwrap();
    }),
    ("a directory", |path| {
        fs_err::remove_file(path).unwrap();
        fs_err::create_dir(path).unwrap();
        fs_err::write(path.join("file"), "x").unwrap();
    }),
    ("a FIFO", |path| {
        fs_err::remove_file(path).unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    }),
    ("nothing but its name", |path| {
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
        fs_err::write(path, "").unwrap();
    }),
    ("a file that may not be read", |path| {
        overwrite(path);
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o000)).unwrap();
    }),
    ("other bytes, written in place", |path| {
        overwrite(path);
    }),
];

fn overwrite(path: &Path) {
    // Times of files go on in steps of some milliseconds.
    pause(Duration::from_millis(50));
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    fs_err::write(path, vec![99; SIZE]).unwrap();
}

async fn assert_not_served(scene: &Scene, digest: &Digest, what: &str) {
    let refused = scene.read("blobs", digest, 0).await;
    assert_eq!(refused.expect_err(what).code(), Code::NotFound, "{what}");
    assert_eq!(scene.missing(std::slice::from_ref(digest)).await, std::slice::from_ref(digest), "{what}");
}

#[tokio::test]
async fn what_others_put_in_the_place_of_a_blob_is_not_served_and_gives_way_to_the_right_bytes() {
    let mut scene = Scene::start(&[]).await;
    for (number, (what, put)) in (0..).zip(IMPOSTORS) {
        for stopped in [true, false] {
            let bytes = vec![2 * number + u8::from(stopped); SIZE];
            let digest = scene.client.put(bytes.clone()).await;
            if stopped {
                scene = scene.restarted(|store| put(&place(store, &digest))).await;
            } else {
                put(&scene.place(&digest));
            }
            assert_not_served(&scene, &digest, what).await;
            scene.client.put(bytes.clone()).await;
            assert!(scene.client.read(&digest).await == bytes, "{what}");
        }
    }
}

#[tokio::test]
async fn what_others_put_in_the_place_of_an_input_is_a_missing_input() {
    let scene = Scene::start(&[]).await;
    for (number, (what, put)) in (0..).zip(IMPOSTORS) {
        let input = vec![100 + number; SIZE];
        let digest = scene.client.put(input.clone()).await;
        let command = crate::support::client::command(
            &["sh", "-c", "cat input > output"],
            &[("PATH", "/usr/bin:/bin")],
            "output",
        );
        let action = scene.client.action_of(command, "input", &input, &[]).await;
        put(&scene.place(&digest));
        let (code, details) = scene.outcome(&action).await;
        assert_eq!(code, Code::FailedPrecondition, "{what}: {details}");
        scene.client.put(input.clone()).await;
        let response = end(scene.client.start(&action).await.unwrap()).await;
        let result = response.result.unwrap();
        assert!(scene.client.read(result.output_files[0].digest.as_ref().unwrap()).await == input, "{what}");
    }
}

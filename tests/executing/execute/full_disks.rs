//! A disk that is full, by bytes or by inodes: a small one of the test's own, in namespaces of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use crosswheel::cancellation::Cancellation;
use crosswheel::cas::{StoreError, StoreSettings};
use crosswheel::contract::SandboxMode;
use crosswheel::execute::{ActionLimits, ExecuteError};
use crosswheel::shortage::Shortage;

use super::scene::{Root, Scene, Watcher, sh};
use crate::support::waiting::{InTime, scope, wait_until};

const MIB: u64 = 1 << 20;

/// Where the small disk is, for who runs in the namespaces that have it.
const DISK: &str = "CROSSWHEEL_TEST_SMALL_DISK";

/// Runs the test of this name again, where there is a small disk, of which the store is to leave `min_free` bytes.
fn with_a_small_disk(test: &str, options: &str, min_free: u64, run: impl FnOnce(&Path, &Scene)) {
    if let Some(disk) = std::env::var_os(DISK) {
        let disk = Path::new(&disk);
        let settings = StoreSettings {
            directory: disk.join("store"),
            min_free_bytes: min_free,
            ..StoreSettings::default()
        };
        return run(disk, &Scene::at(SandboxMode::Off, ActionLimits::default(), &settings));
    }
    let place = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o \"$1\" none \"$2\" && shift 2 && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-euc", script, "sh", options])
        .arg(place.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("execute::full_disks::{test}"), "--nocapture"])
        .env(DISK, place.path())
        .stdin(Stdio::null())
        .output_in_time();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{output:?}");
}

/// A full disk is this machine's trouble, which passes: no fault of anybody.
fn check_full(error: &ExecuteError) {
    match error {
        ExecuteError::Io { source, .. } => assert_eq!(Shortage::of(source), Some(Shortage::Disk), "{error}"),
        ExecuteError::Store(StoreError::NoRoom { .. }) => {}
        ExecuteError::Store(StoreError::Io { source, .. }) => {
            assert_eq!(Shortage::of(source), Some(Shortage::Disk), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// Ends with the hog, not with whoever wants room when there is none.
#[test]
fn who_fills_up_the_disk_has_to_go_and_nobody_else() {
    let test = "who_fills_up_the_disk_has_to_go_and_nobody_else";
    with_a_small_disk(test, "size=96m", 48 * MIB, |disk, scene| {
        let go_on = disk.join("go-on");
        let innocent =
            format!("echo on; echo x > out; while ! test -e {}; do sleep 0.01; done", go_on.display());
        let hog = "while :; do head -c 1000000 /dev/zero >> f || :; sleep 0.005; done";
        let root = scene.upload(&Root::default());
        scope("a hog and an innocent", |threads| {
            let innocent = scene.work(root, sh(&innocent, &["out"]));
            let innocent = threads.spawn(move || scene.execute(&innocent));
            wait_until("the innocent to run", || scene.scratch() > 0);
            let watcher = Watcher::default();
            let hog = scene.work(root, sh(hog, &["f"]));
            let executed = scene.execute_watched(&hog, &watcher, &Cancellation::default()).unwrap();
            let exceeded = executed.exceeded.as_ref().unwrap_or_else(|| panic!("{executed:?}"));
            assert_eq!(exceeded.limit, "min-free-bytes");
            assert!(executed.message.contains("48.0 MiB was left there"), "{}", executed.message);
            assert!(!executed.message.contains(disk.to_str().unwrap()), "{}", executed.message);
            wait_until("what the hog had to be removed", || scene.scratch() == 1);
            fs_err::write(&go_on, "").unwrap();
            let executed = innocent.join().unwrap().unwrap();
            assert_eq!((executed.result.exit_code, &executed.exceeded), (0, &None), "{}", executed.message);
        });
    });
}

#[test]
fn who_takes_all_inodes_has_to_go() {
    with_a_small_disk("who_takes_all_inodes_has_to_go", "size=64m,nr_inodes=3000", 0, |_, scene| {
        let hog = "python3 -c '
import os, time
number = 0
while True:
    number += 1
    try: os.mknod(str(number))
    except OSError: time.sleep(0.01)'";
        let executed = scene.run(&Root::default(), sh(hog, &[]));
        let exceeded = executed.exceeded.as_ref().unwrap_or_else(|| panic!("{executed:?}"));
        assert_eq!(exceeded.limit, "inodes");
        wait_until("what it had to be removed", || scene.scratch() == 0);
        // Others go on.
        assert_eq!(scene.run(&Root::default(), sh("echo x > out", &["out"])).result.exit_code, 0);
    });
}

/// While logging, while collecting, and before anything runs.
#[test]
fn a_disk_that_is_full_already_is_nobodys_fault() {
    let test = "a_disk_that_is_full_already_is_nobodys_fault";
    with_a_small_disk(test, "size=16m,nr_inodes=3000", 0, |disk, scene| {
        let filling = disk.join("filling");
        let fill = || {
            let mut file = fs_err::File::create(&filling).unwrap();
            std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
        };
        let root = scene.upload(&Root::default());
        let logging = scene.work(root, sh("trap '' PIPE; head -c 5000000 /dev/zero; sleep 1000", &[]));
        let fill_and_collect = format!("head -c 100000 /dev/zero > out; yes > {} || :", filling.display());
        let collecting = scene.work(root, sh(&fill_and_collect, &["out"]));
        let idle = scene.work(root, sh("true", &[]));
        fill();
        check_full(&scene.execute(&logging).unwrap_err());
        fs_err::remove_file(&filling).unwrap();
        check_full(&scene.execute(&collecting).unwrap_err());
        fs_err::remove_file(&filling).unwrap();

        let inodes = disk.join("inodes");
        fs_err::create_dir(&inodes).unwrap();
        while fs_err::create_dir(inodes.join(fastrand::u64(..).to_string())).is_ok() {}
        check_full(&scene.execute(&idle).unwrap_err());
        crosswheel::scratch::removal::remove(&inodes).unwrap();
        assert_eq!(scene.run(&Root::default(), sh("true", &[])).result.exit_code, 0);
    });
}

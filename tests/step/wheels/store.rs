//! Wheels are unpacked once, whole or not at all, and checked on the way.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crosswheel::digest::Sha256;
use crosswheel::step::helper::Helpers;
use crosswheel::step::venv::wheel_store::WheelStore;

use super::builder::{PYTHON, WheelBuilder};
use crate::support::waiting::scope;

const NAME: &str = "pkg-1.0-py3-none-any.whl";

struct Fixture {
    root: tempfile::TempDir,
    store: WheelStore,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let store = WheelStore::open(root.path().join("store"), Helpers::default());
        Self { root, store }
    }

    fn refusal(&self, wheel: &WheelBuilder) -> String {
        let path = wheel.write(self.root.path());
        self.store.unpacked(&path, None, &PYTHON).unwrap_err().to_string()
    }

    fn temporary(&self) -> PathBuf {
        self.root.path().join("store/tmp")
    }

    /// What is in the store besides its directory for temporary ones, which must be empty.
    fn entries(&self) -> Vec<PathBuf> {
        assert_eq!(fs_err::read_dir(self.temporary()).unwrap().count(), 0);
        let entries = fs_err::read_dir(self.root.path().join("store")).unwrap();
        entries.map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("tmp")).collect()
    }
}

fn wheel() -> WheelBuilder {
    WheelBuilder::new(NAME)
        .file("pkg/__init__.py", "x = {'a', 'b', 'c'}\n")
        .file("pkg/template.py", "print 'two'\n")
        .executable("pkg/tool.sh", "#!/bin/sh\n")
        .file("pkg-1.0.data/scripts/s", "#!python\n")
}

fn files_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs_err::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                files.push((name, fs_err::read(path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn a_wheel_is_unpacked_once_and_then_found_by_its_digest_alone() {
    let fixture = Fixture::new();
    let path = wheel().requires("six").write(fixture.root.path());
    let (digest, _) = Sha256::of_file(&path).unwrap();
    let first = fixture.store.unpacked(&path, None, &PYTHON).unwrap();
    fs_err::remove_file(&path).unwrap();
    let again = fixture.store.unpacked(&path, Some(digest), &PYTHON).unwrap();
    assert_eq!(first.directory(), again.directory());
    assert_eq!((again.name().as_ref(), again.version().to_string()), ("pkg", "1.0".to_owned()));
    assert_eq!((again.sha256(), again.file_name().to_string()), (digest, NAME.to_owned()));
    assert_eq!(again.requires_dist(true).count(), 1);
    assert_eq!(fixture.entries().len(), 1);
}

#[test]
fn unpacked_files_are_read_only_of_fixed_age_and_compiled() {
    let fixture = Fixture::new();
    let path = wheel().write(fixture.root.path());
    let unpacked = fixture.store.unpacked(&path, None, &PYTHON).unwrap();
    let compiled = format!("site/pkg/__pycache__/__init__.{}.pyc", PYTHON.cache_tag);
    for (file, mode) in [
        ("site/pkg/__init__.py", 0o444),
        ("site/pkg/tool.sh", 0o555),
        ("scripts/s", 0o555),
        ("site/pkg-1.0.dist-info/INSTALLER", 0o444),
        (&compiled, 0o444),
    ] {
        let metadata = fs_err::metadata(unpacked.directory().join(file)).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.mtime()), (mode, 315_532_800), "{file}");
    }
    let names = files_below(unpacked.directory());
    assert!(!names.iter().any(|(name, _)| name.contains("template.cpython")), "it is not Python 3");
}

/// Everything below a digest is a function of that digest, also for processes that race.
#[test]
fn two_stores_hold_the_same_bytes() {
    let (first, second) = (Fixture::new(), Fixture::new());
    let unpack = |fixture: &Fixture| {
        let path = wheel().write(fixture.root.path());
        files_below(fixture.store.unpacked(&path, None, &PYTHON).unwrap().directory())
    };
    assert_eq!(unpack(&first), unpack(&second));
}

#[test]
fn racing_processes_agree_on_one_result() {
    let fixture = Fixture::new();
    let path = wheel().write(fixture.root.path());
    let directories: Vec<PathBuf> = scope("threads that unpack side by side", |scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| fixture.store.unpacked(&path, None, &PYTHON).unwrap().directory().to_owned())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(directories.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(fixture.entries().len(), 1);
}

#[test]
fn a_wheel_that_is_not_as_its_record_has_it_leaves_nothing_behind() {
    let fixture = Fixture::new();
    let changed = wheel().record(|record| record.replacen("sha256=", "sha256=x", 1));
    assert!(
        fixture
            .refusal(&changed)
            .contains("`pkg/__init__.py` in `pkg-1.0-py3-none-any.whl` is not as RECORD has it")
    );
    let unlisted = wheel().record(|record| record.lines().skip(1).map(|line| format!("{line}\n")).collect());
    assert!(fixture.refusal(&unlisted).contains("RECORD does not list it"));
    assert!(fixture.entries().is_empty());
}

#[test]
fn a_wheel_is_not_unpacked_under_another_digest() {
    let fixture = Fixture::new();
    let path = wheel().write(fixture.root.path());
    let error = fixture.store.unpacked(&path, Some(Sha256::of(b"other")), &PYTHON).unwrap_err();
    assert!(error.to_string().contains("was asked for"), "{error}");
}

#[test]
fn data_members_no_installer_can_place_are_refused() {
    let fixture = Fixture::new();
    for (member, message) in [
        ("pkg-1.0.data/unknown/x", "under a key no installer knows"),
        ("pkg-1.0.data/purelib", "is a file where the `.data` directory has directories"),
        ("pkg-1.0.data/scripts/sub/x", "is a script in a directory"),
    ] {
        let refusal = fixture.refusal(&wheel().file(member, ""));
        assert!(refusal.contains(message), "{refusal}");
    }
}

#[test]
fn what_a_crash_left_behind_is_swept_but_not_what_is_in_use() {
    let fixture = Fixture::new();
    let place = |name: &str| fixture.temporary().join(format!("staging-{name}"));
    let make = |name: &str| {
        fs_err::create_dir_all(place(name).join("site")).unwrap();
        fs_err::File::create(place(name).with_extension("lock")).unwrap()
    };
    drop(make("crashed"));
    let in_use = make("in-use");
    in_use.file().lock().unwrap();
    let path = wheel().write(fixture.root.path());
    fixture.store.unpacked(&path, None, &PYTHON).unwrap();
    assert_eq!(["crashed", "in-use"].map(|name| place(name).exists()), [false, true]);
}

#[test]
fn a_broken_entry_is_replaced() {
    let fixture = Fixture::new();
    let path = wheel().write(fixture.root.path());
    let unpacked = fixture.store.unpacked(&path, None, &PYTHON).unwrap();
    fs_err::write(unpacked.directory().join("manifest.json"), "{").unwrap();
    let again = fixture.store.unpacked(&path, None, &PYTHON).unwrap();
    assert_eq!(again.name(), unpacked.name());
    assert_eq!(fixture.entries().len(), 1);
}

//! What a store is after `kill -9`.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use crosswheel::cas::{ActionCache, BlobStore, DiskStore, StoreSettings, verify_store};
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::{ActionResult, OutputFile};

use crate::support::waiting::InTime;

const WRITER_DIRECTORY: &str = "CROSSWHEEL_TEST_WRITER_DIRECTORY";

fn open(directory: &Path) -> DiskStore {
    DiskStore::open(&StoreSettings { directory: directory.to_owned(), ..StoreSettings::default() }).unwrap()
}

/// The bytes of this number: mostly small ones, some of megabytes.
fn bytes(number: u64) -> Bytes {
    let length = if number.is_multiple_of(50) { 3 << 20 } else { 8 + number % 5000 };
    let length = usize::try_from(length).unwrap();
    let mut bytes = number.to_le_bytes().repeat(length.div_ceil(8));
    bytes.truncate(length);
    bytes.into()
}

fn digest(number: u64) -> Digest {
    DigestFunction::ALL[usize::from(number % 2 == 1)].digest(&bytes(number))
}

fn result(number: u64) -> ActionResult {
    let file = OutputFile { digest: Some(digest(number).to_message()), ..OutputFile::default() };
    ActionResult { output_files: vec![file; 5], ..ActionResult::default() }
}

/// Writes in every way there is, and says after each round how far it has come.
fn write(directory: &Path, numbers: impl Iterator<Item = u64>) {
    let store = open(directory);
    for first in numbers {
        let batch: Vec<(Digest, Bytes)> =
            (first..first + 100).map(|number| (digest(number), bytes(number))).collect();
        store.write_many(&batch).into_iter().for_each(Result::unwrap);
        for number in first + 100..first + 110 {
            store.write_from(&digest(number), &mut &bytes(number)[..]).unwrap();
        }
        let scratch = store.work_directory().join("output");
        fs_err::write(&scratch, bytes(first + 111)).unwrap();
        store.adopt(&digest(first + 111), &scratch).unwrap();
        store.put("", &digest(first), &result(first)).unwrap();
        let mut stdout = std::io::stdout();
        writeln!(stdout, "done {first}").and_then(|()| stdout.flush()).unwrap();
    }
}

/// Run by itself, a short one; run by the test below, it goes on until it is killed.
#[test]
fn a_writer_leaves_a_sound_store() {
    if let Some(directory) = std::env::var_os(WRITER_DIRECTORY) {
        write(Path::new(&directory), (0..).step_by(1000));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), (0..3000).step_by(1000));
    let found = verify_store(directory.path(), false, &|_, _| {}).unwrap();
    assert_eq!((found.files, found.damaged.len()), (3 * 112, 0));
}

#[test]
fn a_killed_writer_leaves_nothing_wrong_and_loses_nothing_it_was_done_with() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    for kill_after in [1, 2, 3, 5, 8] {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::crashes::a_writer_leaves_a_sound_store", "--nocapture"])
            .env(WRITER_DIRECTORY, place)
            .stdout(Stdio::piped())
            .start();
        let mut done: Vec<u64> = Vec::new();
        let mut lines = writer.stdout();
        while done.len() < kill_after {
            let line = lines.next().expect("the writer goes on until it is killed");
            // The harness prints before the first.
            done.extend(line.split_once("done ").and_then(|(_, number)| number.parse::<u64>().ok()));
        }
        writer.kill();

        // Nothing was repaired or swept yet: what has a name is whole.
        let found = verify_store(place, false, &|_, _| {}).unwrap();
        assert_eq!(found.damaged, []);

        let store = open(place);
        for first in done {
            let written: Vec<Digest> = (first..first + 110).chain([first + 111]).map(digest).collect();
            assert_eq!(store.find_missing(&written).unwrap(), []);
            assert_eq!(store.read(&digest(first + 7)).unwrap(), bytes(first + 7));
            assert_eq!(store.get("", &digest(first)).unwrap(), Some(result(first)));
        }
        assert_eq!(fs_err::read_dir(store.work_directory()).unwrap().count(), 0);
        let half_written = fs_err::read_dir(place.join("tmp/crosswheel")).unwrap();
        for directory in half_written {
            assert_eq!(fs_err::read_dir(directory.unwrap().path()).unwrap().count(), 0);
        }
    }
}

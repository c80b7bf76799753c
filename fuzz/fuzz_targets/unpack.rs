//! Fuzzes `unpack` and `read_top_level_files`: whatever the bytes, no panic, nothing outside the tree changes,
//! nothing is left after a refusal, no link of the result leads out of it. Bound the memory with
//! `-rss_limit_mb`, and keep the many small trees off the disk with TMPDIR=/dev/shm:
//!
//! ```text
//! TMPDIR=/dev/shm cargo +nightly fuzz run unpack -- -rss_limit_mb=512
//! ```
//! or, without cargo-fuzz and with a stable toolchain (the code under test has nothing for a sanitizer):
//! ```text
//! RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
//!   -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
//!   -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing" \
//!   cargo build --target x86_64-unknown-linux-gnu
//! TMPDIR=/dev/shm target/x86_64-unknown-linux-gnu/debug/unpack -rss_limit_mb=512 corpus
//! ```
#![no_main]

#[path = "../../tests/step/hostile_archives/scene.rs"]
#[allow(dead_code)]
mod scene;
#[path = "../../tests/step/hostile_archives/tarball.rs"]
#[allow(dead_code)]
mod tarball;
#[path = "../../tests/step/hostile_archives/zipfile.rs"]
#[allow(dead_code)]
mod zipfile;

use std::path::Path;

use crosswheel::contract::ArchiveLimits;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use scene::Scene;

fuzz_target!(|data: &[u8]| {
    let Some((&mode, data)) = data.split_first() else { return };
    let mut choices = Unstructured::new(data);
    let archive = match mode % 6 {
        0 => Ok(data.to_vec()),
        1 => Ok(sealed(data.to_vec())),
        2 => Ok(tarball::gzip(&sealed(data.to_vec()))),
        3 => tar_members(&mut choices).map(|members| tarball::tar(&members)),
        4 => zip_entries(&mut choices).map(|entries| zipfile::zip(&entries)),
        _ => zip_entries(&mut choices).and_then(|entries| {
            let mut archive = zipfile::with_zip64_end(&zipfile::zip(&entries));
            for _ in 0..choices.int_in_range(0..=4)? {
                let at = choices.choose_index(archive.len())?;
                archive[at] = choices.arbitrary()?;
            }
            Ok(archive)
        }),
    };
    if let Ok(archive) = archive {
        check(&archive);
    }
});

fn check(archive: &[u8]) {
    let limits = ArchiveLimits { bytes: 4 << 20, members: 2_000, ..ArchiveLimits::default() };
    let scene = Scene::new(archive);
    let unpacked = scene.unpack(&limits);
    if let Ok(tree) = &unpacked {
        stays_inside(&tree.root, &fs_err::canonicalize(&tree.root).unwrap());
    }
    let read = scene.read(&["PKG-INFO", "pyproject.toml"], &limits);
    match (unpacked, read) {
        (Ok(tree), Ok(files)) => assert_eq!((tree.top_level, tree.sha256), (files.top_level, files.sha256)),
        (Err(unpacked), Err(read)) => {
            assert!(unpacked.is_refusal(), "{unpacked}");
            assert_eq!(unpacked.to_string(), read.to_string());
        }
        (unpacked, read) => panic!("unpack: {unpacked:?}, read: {read:?}"),
    }
}

fn stays_inside(directory: &Path, root: &Path) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            stays_inside(&entry.path(), root);
        } else if let Ok(real) = fs_err::canonicalize(entry.path()) {
            assert!(real.starts_with(root), "{} leads to {}", entry.path().display(), real.display());
        }
    }
}

/// Puts right checksums into what looks like tar headers, which no fuzzer would guess.
fn sealed(mut archive: Vec<u8>) -> Vec<u8> {
    for (index, block) in archive.chunks_exact_mut(tarball::BLOCK).enumerate() {
        if index == 0 || block[257..262] == *b"ustar" {
            tarball::seal(block);
        }
    }
    archive
}

/// A path of few letters, so that members meet each other.
fn path(choices: &mut Unstructured<'_>) -> Result<String> {
    const PARTS: [&str; 12] = ["a", "b", "c", "d", "..", ".", "", "canary", "\u{e9}", "a\0", "x\\y", "C:"];
    let mut path = String::from(*choices.choose(&["pkg", "pkg", "pkg", "pkg", "", "..", "./pkg", "other"])?);
    for _ in 0..choices.int_in_range(0..=5)? {
        path.push('/');
        path.push_str(choices.choose(&PARTS)?);
    }
    Ok(path)
}

fn target(choices: &mut Unstructured<'_>) -> Result<String> {
    let mut parts = Vec::new();
    for _ in 0..choices.int_in_range(0..=6)? {
        parts.push(*choices.choose(&["a", "b", "c", "d", "..", ".", "", "pkg", "canary"])?);
    }
    Ok(parts.join("/"))
}

fn tar_members(choices: &mut Unstructured<'_>) -> Result<Vec<tarball::Entry>> {
    let mut members = Vec::new();
    while !choices.is_empty() && members.len() < 60 {
        let name = path(choices)?;
        members.push(match choices.int_in_range(0..=9)? {
            0 | 1 => tarball::file(name, choices.arbitrary::<&[u8]>()?),
            2 => tarball::directory(name),
            3..=5 => tarball::symlink(name, target(choices)?),
            6 => tarball::hardlink(name, path(choices)?),
            7 => tarball::gnu_long(*choices.choose(b"LK")?, name),
            8 => tarball::pax(
                *choices.choose(b"xg")?,
                &[(choices.choose(&["path", "linkpath", "size", "mtime", "comment"])?, name.as_bytes())],
            ),
            _ => tarball::Entry {
                mode: choices.arbitrary()?,
                mtime: choices.arbitrary()?,
                size: choices.arbitrary()?,
                ..tarball::entry(choices.arbitrary()?, name)
            },
        });
    }
    Ok(members)
}

fn zip_entries(choices: &mut Unstructured<'_>) -> Result<Vec<zipfile::Entry>> {
    let mut entries = Vec::new();
    for _ in 0..choices.int_in_range(0..=8)? {
        let name = path(choices)?;
        entries.push(match choices.int_in_range(0..=5)? {
            0 => zipfile::directory(name + "/"),
            1 | 2 => zipfile::symlink(name, target(choices)?),
            3 => zipfile::file(name, choices.arbitrary::<&[u8]>()?),
            _ => zipfile::Entry {
                deflate: choices.arbitrary()?,
                made_by: *choices.choose(&[zipfile::UNIX, zipfile::DOS])?,
                mode: choices.arbitrary::<u32>()? & 0o177_777,
                flags: *choices.choose(&[0, 1, zipfile::DESCRIPTOR, zipfile::UTF8])?,
                zip64: choices.arbitrary()?,
                local_size: choices.arbitrary()?,
                size: choices.arbitrary()?,
                ..zipfile::file(name, choices.arbitrary::<&[u8]>()?)
            },
        });
    }
    Ok(entries)
}

//! What real sdists look like besides the textbook.

use std::os::unix::fs::MetadataExt as _;

use crosswheel::archive::unpack;
use crosswheel::contract::ArchiveLimits;

use super::scene::{Scene, accepted, at};
use super::tarball::{Entry, GNU, V7, directory, entry, file, gzip, hardlink, pax, tar};
use crate::support::waiting::InTime;

#[test]
fn an_old_style_nul_type_is_a_file_or_with_a_slash_a_directory() {
    let old = |entry: Entry| Entry { kind: 0, magic: V7, ..entry };
    let (_, seen) = accepted(&tar(&[
        old(directory("pkg-1.0/empty/")),
        old(file("pkg-1.0/src/lib.rs", "fn main() {}")),
        Entry { kind: b'7', ..file("pkg-1.0/contiguous", "c") },
        Entry { kind: b'0', ..file("pkg-1.0/slash/", "") },
    ]));
    assert_eq!(at(&seen, "empty").0, 0o040755);
    assert_eq!(at(&seen, "slash").0, 0o040755);
    assert_eq!(at(&seen, "src/lib.rs").2, "fn main() {}");
    assert_eq!(at(&seen, "contiguous").2, "c");
}

#[test]
fn directories_need_no_member() {
    let (_, seen) = accepted(&tar(&[file("pkg/a/b/c", "c")]));
    assert_eq!(at(&seen, "a"), (0o040755, 315_532_800, ""));
}

#[test]
fn a_directory_may_come_after_what_is_in_it() {
    let (_, seen) =
        accepted(&tar(&[file("pkg/d/a", "a"), Entry { mtime: 1_300_000_000, ..directory("pkg/d") }]));
    assert_eq!(at(&seen, "d").1, 1_300_000_000);
}

#[test]
fn the_global_header_of_git_archive_is_no_member() {
    let (tree, _) = accepted(&tar(&[
        pax(b'g', &[("comment", b"8d1fbb3f8ae1e5d0e9c2")]),
        directory("pkg-1.0/"),
        file("pkg-1.0/a", "a"),
    ]));
    assert_eq!((tree.top_level.as_str(), tree.members), ("pkg-1.0", 2));
}

#[test]
fn gnu_headers_have_no_prefix() {
    let mut archive = tar(&[Entry { magic: GNU, ..file("pkg/a", "a") }]);
    // GNU keeps access and change times there.
    archive[345..369].copy_from_slice(b"14532130624\x0014532130624\0");
    super::tarball::seal(&mut archive);
    let (_, seen) = accepted(&archive);
    assert_eq!(at(&seen, "a").2, "a");
}

#[test]
fn native_sources_are_noticed() {
    for (name, native) in [("pkg/a.pyx", true), ("pkg/A.C", true), ("pkg/a.h", false), ("pkg/c", false)] {
        let (tree, _) = accepted(&tar(&[file(name, "")]));
        assert_eq!(tree.has_native_sources, native, "{name}");
    }
    let (tree, _) = accepted(&tar(&[directory("pkg/module.c"), file("pkg/module.c/a.py", "")]));
    assert!(!tree.has_native_sources);
}

#[test]
fn files_larger_than_any_buffer_arrive_whole() {
    let contents: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let scene = Scene::new(&gzip(&tar(&[file("pkg/big", &contents)])));
    let tree = scene.unpack(&ArchiveLimits::default()).unwrap();
    assert!(fs_err::read(tree.root.join("big")).unwrap() == contents);
}

#[test]
fn top_level_files_are_read_without_unpacking() {
    let archive = tar(&[
        file("pkg-1.0/PKG-INFO", "old"),
        file("pkg-1.0/sub/PKG-INFO", "another"),
        file("pkg-1.0/setup.py", "not asked for"),
        directory("pkg-1.0/setup.cfg"),
        file("pkg-1.0/PKG-INFO", "Name: pkg\n"),
    ]);
    let scene = Scene::new(&gzip(&archive));
    let found = scene
        .read(&["PKG-INFO", "pyproject.toml", "setup.cfg", "sub/PKG-INFO"], &ArchiveLimits::default())
        .unwrap();
    assert_eq!(found.top_level, "pkg-1.0");
    assert_eq!(found.files["PKG-INFO"], b"Name: pkg\n");
    assert_eq!(found.files.keys().collect::<Vec<_>>(), ["PKG-INFO", "sub/PKG-INFO"]);

    let linked = Scene::new(&tar(&[
        file("pkg/PKG-INFO", "info"),
        file("pkg/other", "other"),
        file("pkg/setup.py", "stale"),
        file("pkg/setup.cfg", "stale"),
        hardlink("pkg/setup.py", "pkg/PKG-INFO"),
        hardlink("pkg/setup.cfg", "pkg/other"),
    ]));
    let found = linked.read(&["PKG-INFO", "setup.py", "setup.cfg"], &ArchiveLimits::default()).unwrap();
    assert_eq!(found.files["setup.py"], b"info");
    assert_eq!(found.files.keys().collect::<Vec<_>>(), ["PKG-INFO", "setup.py"]);

    let large = Scene::new(&gzip(&tar(&[file("pkg/PKG-INFO", vec![b'x'; (4 << 20) + 1])])));
    let error = large.read(&["PKG-INFO"], &ArchiveLimits::default()).unwrap_err();
    assert!(error.to_string().contains("member `pkg/PKG-INFO` is larger than the 4194304 bytes"), "{error}");
    large.read(&["setup.py"], &ArchiveLimits::default()).unwrap();
}

/// The umask is shared by all threads of a process, so this test runs itself in another one, with these set.
const UMASK_ARCHIVE: &str = "CROSSWHEEL_TEST_UMASK_ARCHIVE";
const UMASK_DESTINATION: &str = "CROSSWHEEL_TEST_UMASK_DESTINATION";

#[test]
fn the_umask_has_no_say() {
    if let (Some(archive), Some(destination)) =
        (std::env::var_os(UMASK_ARCHIVE), std::env::var_os(UMASK_DESTINATION))
    {
        unpack(archive.as_ref(), destination.as_ref(), &ArchiveLimits::default()).unwrap();
        return;
    }
    let scene = Scene::new(&tar(&[Entry { mode: 0o755, ..file("pkg/d/a", "a") }]));
    let status = std::process::Command::new("sh")
        .args(["-c", "umask 077 && exec \"$0\" --exact hostile_archives::oddities::the_umask_has_no_say"])
        .arg(std::env::current_exe().unwrap())
        .env(UMASK_ARCHIVE, scene.archive())
        .env(UMASK_DESTINATION, scene.destination())
        .status_in_time();
    assert!(status.success());
    let mode = |path: &str| fs_err::metadata(scene.destination().join(path)).unwrap().mode();
    assert_eq!((mode("pkg"), mode("pkg/d"), mode("pkg/d/a")), (0o040755, 0o040755, 0o100755));
}

#[test]
fn errors_of_the_machine_are_no_refusals() {
    let scene = Scene::new(&tar(&[file("pkg/a", "a"), entry(b'2', "pkg/l").with_target("a")]));
    // The destination is a file, its parent is missing, or the tree is there already.
    let occupied = scene.archive();
    let orphan = scene.destination().join("no/parent");
    fs_err::create_dir(scene.destination().join("pkg")).unwrap();
    for destination in [occupied, orphan, scene.destination()] {
        let before = scene.snapshot();
        let error = unpack(&scene.archive(), &destination, &ArchiveLimits::default()).unwrap_err();
        assert!(!error.is_refusal(), "{error}");
        assert!(error.to_string().contains(destination.to_str().unwrap()), "{error}");
        assert_eq!(before, scene.snapshot());
    }
    let missing =
        unpack(&scene.destination().join("no.tar"), &scene.destination(), &ArchiveLimits::default());
    assert!(!missing.unwrap_err().is_refusal());
}

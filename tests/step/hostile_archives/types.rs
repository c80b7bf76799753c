//! Types of members: which are refused, and what becomes of modes, owners and times.

use super::scene::{accepted, at, refused};
use super::tarball::{Entry, directory, entry, file, hardlink, pax, symlink, tar};

#[test]
fn devices_and_fifos_are_refused() {
    for (kind, title) in [(b'3', "character device"), (b'4', "block device"), (b'6', "FIFO")] {
        refused(&tar(&[file("pkg/a", ""), entry(kind, "pkg/x")]), &format!("member `pkg/x` is a {title}"));
    }
}

#[test]
fn sparse_files_are_refused() {
    refused(&tar(&[entry(b'S', "pkg/x")]), "member `pkg/x` is a sparse file");
    for key in ["GNU.sparse.map", "GNU.sparse.major", "GNU.sparse.realsize", "SCHILY.realsize"] {
        let archive = tar(&[pax(b'x', &[(key, b"1")]), file("pkg/x", "")]);
        refused(&archive, "member `pkg/x` is a sparse file");
    }
}

#[test]
fn unknown_types_are_refused() {
    for kind in [b'D', b'M', b'V', b'Z', b'8', 0xff] {
        let shown = kind.escape_ascii();
        refused(&tar(&[entry(kind, "pkg/x")]), &format!("member `pkg/x` has the unknown type `{shown}`"));
    }
}

#[test]
fn a_duplicate_that_changes_type_is_refused() {
    let kinds =
        [("file", file("pkg/x", "")), ("directory", directory("pkg/x")), ("symlink", symlink("pkg/x", "y"))];
    for (earlier, first) in &kinds {
        for (now, second) in &kinds {
            if earlier != now {
                refused(
                    &tar(&[first.clone(), second.clone()]),
                    &format!("member `pkg/x` is a {now}, but an earlier member made it a {earlier}"),
                );
            }
        }
    }
    refused(
        &tar(&[file("pkg/a", ""), directory("pkg/x"), hardlink("pkg/x", "pkg/a")]),
        "member `pkg/x` is a file, but an earlier member made it a directory",
    );
    refused(
        &tar(&[file("pkg/x/y", ""), file("pkg/x", "")]),
        "is a file, but an earlier member made it a directory",
    );
    refused(
        &tar(&[file("pkg/x", ""), file("pkg/x/y", "")]),
        "member `pkg/x/y` lies below `pkg/x`, which is a file",
    );
}

#[test]
fn of_duplicates_of_one_type_the_last_wins() {
    let (tree, seen) = accepted(&tar(&[
        file("pkg/a", "a longer first version"),
        hardlink("pkg/b", "pkg/a"),
        Entry { mode: 0o755, ..file("pkg/a", "second") },
        symlink("pkg/s", "a"),
        symlink("pkg/s", "b"),
        Entry { mtime: 1_600_000_000, ..directory("pkg/d") },
        Entry { mtime: 1_650_000_000, ..directory("pkg/d") },
    ]));
    assert_eq!((at(&seen, "a").0, at(&seen, "a").2), (0o100755, "second"));
    assert_eq!(at(&seen, "b").2, "a longer first version");
    assert_eq!(at(&seen, "s").2, "b");
    assert_eq!(at(&seen, "d").1, 1_650_000_000);
    assert_eq!(tree.members, 7);
}

#[test]
fn modes_follow_the_data_filter() {
    let (_, seen) = accepted(&tar(&[
        Entry { mode: 0o6777, ..file("pkg/setuid", "") },
        Entry { mode: 0o1666, ..file("pkg/sticky", "") },
        Entry { mode: 0o000, ..file("pkg/nothing", "") },
        Entry { mode: 0o611, ..file("pkg/others-execute", "") },
        Entry { mode: 0o7000, ..directory("pkg/directory") },
        file("pkg/implied/file", ""),
    ]));
    for (path, mode) in [
        ("setuid", 0o100755),
        ("sticky", 0o100644),
        ("nothing", 0o100600),
        ("others-execute", 0o100600),
        ("directory", 0o040755),
        ("implied", 0o040755),
    ] {
        assert_eq!(format!("{:o}", at(&seen, path).0), format!("{mode:o}"), "{path}");
    }
}

#[test]
fn times_are_the_members_own_but_not_before_1980() {
    let (_, seen) = accepted(&tar(&[
        Entry { mtime: 1_234_567_890, ..directory("pkg/d") },
        Entry { mtime: 1_500_000_000, ..file("pkg/d/new", "") },
        Entry { mtime: 0, ..file("pkg/d/old", "") },
        Entry { mtime: -1_000, ..file("pkg/d/negative", "") },
        Entry { mtime: 1 << 40, ..file("pkg/d/far", "") },
        pax(b'x', &[("mtime", b"1600000000.987654321")]),
        file("pkg/pax/fraction", ""),
        pax(b'x', &[("mtime", b"-1.5")]),
        file("pkg/pax/negative", ""),
        Entry { mtime: 1_550_000_000, ..symlink("pkg/link", "d") },
    ]));
    for (path, mtime) in [
        ("d", 1_234_567_890),
        ("d/new", 1_500_000_000),
        ("d/old", 315_532_800),
        ("d/negative", 315_532_800),
        ("d/far", 4_354_819_198),
        ("pax", 315_532_800),
        ("pax/fraction", 1_600_000_000),
        ("pax/negative", 315_532_800),
        ("link", 1_550_000_000),
    ] {
        assert_eq!(at(&seen, path).1, mtime, "{path}");
    }
}

#[test]
fn links_with_contents_are_refused_and_sizes_of_directories_passed_over() {
    refused(
        &tar(&[file("pkg/a", ""), Entry { contents: b"x".to_vec(), ..hardlink("pkg/b", "pkg/a") }]),
        "member `pkg/b` is a hard link that carries data",
    );
    refused(&tar(&[file("pkg/a/", "x")]), "member `pkg/a/` is a directory that carries data");
    let (_, seen) = accepted(&tar(&[Entry { size: Some(4096), ..directory("pkg/d") }, file("pkg/d/a", "a")]));
    assert_eq!(at(&seen, "d/a").2, "a");
}

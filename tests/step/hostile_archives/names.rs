//! Names that lead elsewhere, or that are not names.

use super::scene::{accepted, at, refused};
use super::tarball::{directory, entry, file, gnu_long, pax, tar, unended};

#[test]
fn an_absolute_name_is_refused() {
    refused(&tar(&[file("/etc/cron.d/x", "")]), "member `/etc/cron.d/x` has an absolute name");
    refused(&tar(&[directory("pkg/"), file("/pkg/x", "")]), "member `/pkg/x` has an absolute name");
    refused(
        &tar(&[pax(b'x', &[("path", b"/etc/passwd")]), file("pkg/a", "")]),
        "member `/etc/passwd` has an absolute name",
    );
}

#[test]
fn a_name_with_dot_dot_is_refused() {
    for name in ["../x", "pkg/../../x", "pkg/..", "pkg/a/../b", "./../x", ".."] {
        refused(&tar(&[file(name, "")]), &format!("member `{name}` has `..` in its name"));
        refused(&tar(&[directory("pkg"), directory(name)]), &format!("member `{name}` has `..` in its name"));
    }
    refused(
        &tar(&[gnu_long(b'L', "pkg/../../x"), file("pkg/a", "")]),
        "member `pkg/../../x` has `..` in its name",
    );
}

#[test]
fn a_nul_in_a_name_is_refused() {
    let archive = tar(&[pax(b'x', &[("path", b"pkg/a\0/../../b")]), file("pkg/a", "")]);
    refused(&archive, "member `pkg/a\\0/../../b` has a NUL in its name");
    refused(&tar(&[gnu_long(b'L', "pkg/a\0b"), file("pkg/a", "")]), "has a NUL in its name");
}

#[test]
fn a_name_that_is_not_utf_8_is_refused() {
    refused(
        &tar(&[file(b"pkg/\xe9t\xe9.py", "")]),
        "member `pkg/\u{fffd}t\u{fffd}.py` has a name that is not UTF-8",
    );
}

#[test]
fn an_empty_name_is_refused() {
    refused(&tar(&[file("", "")]), "member `` has an empty name");
    refused(&tar(&[file("./", "x")]), "member `./` is a directory that carries data");
    refused(&tar(&[entry(b'2', ".").with_target("pkg")]), "member `.` has an empty name");
}

#[test]
fn a_name_no_file_system_takes_is_refused() {
    let name = format!("pkg/{}", "x".repeat(256));
    refused(&tar(&[gnu_long(b'L', &name), file("pkg/a", "")]), "has a name of more than 4095 bytes");
}

#[test]
fn control_characters_in_a_name_do_not_reach_the_terminal() {
    refused(&tar(&[file("pkg/../\x1b[2J\n", "")]), "member `pkg/../\\u{1b}[2J\\n` has `..` in its name");
}

#[test]
fn several_top_level_directories_are_refused() {
    refused(
        &tar(&[file("pkg-1.0/a", ""), file("other/b", "")]),
        "member `other/b` is not inside the one top-level directory `pkg-1.0`",
    );
    refused(
        &tar(&[directory("a"), directory("b")]),
        "member `b` is not inside the one top-level directory `a`",
    );
}

#[test]
fn a_file_at_the_top_level_is_refused() {
    let rule = "is a file outside the one top-level directory";
    refused(&tar(&[file("pkg-1.0/a", ""), file("PKG-INFO", "")]), &format!("member `PKG-INFO` {rule}"));
    refused(&tar(&[file("PKG-INFO", ""), file("pkg-1.0/a", "")]), &format!("member `PKG-INFO` {rule}"));
    refused(&tar(&[file("pkg-1.0", "")]), &format!("member `pkg-1.0` {rule}"));
    refused(&tar(&[entry(b'2', "pkg").with_target("x")]), &format!("member `pkg` {rule}"));
}

#[test]
fn an_archive_without_members_is_refused() {
    refused(&tar(&[]), "the archive has no top-level directory");
    refused(&tar(&[directory("./")]), "the archive has no top-level directory");
    refused(&tar(&[pax(b'g', &[("comment", b"empty")])]), "the archive has no top-level directory");
}

#[test]
fn names_with_dot_and_empty_parts_are_normalised() {
    let (tree, seen) =
        accepted(&tar(&[directory("./"), directory("./pkg-1.0/"), file("./pkg-1.0//a/./b.py", "b")]));
    assert_eq!(tree.top_level, "pkg-1.0");
    assert_eq!(at(&seen, "a/b.py").2, "b");
}

#[test]
fn names_that_only_look_dangerous_are_fine() {
    let (_, seen) = accepted(&tar(&[
        file("pkg/..a", "1"),
        file("pkg/b..", "2"),
        file("pkg/C:x", "3"),
        file("pkg/d\\..\\e", "4"),
        file("pkg/...", "5"),
        file("pkg/Case", "6"),
        file("pkg/case", "7"),
    ]));
    assert_eq!(seen.len(), 7);
    assert_eq!((at(&seen, "Case").2, at(&seen, "case").2), ("6", "7"));
}

#[test]
fn names_that_are_not_ascii_are_kept() {
    let name = "pkg-1.0/größe/文件.txt";
    let (_, seen) =
        accepted(&tar(&[file(name, "plain"), pax(b'x', &[("path", name.as_bytes())]), file("x", "pax")]));
    assert_eq!(at(&seen, "größe/文件.txt").2, "pax");
}

#[test]
fn long_names_come_in_pax_in_gnu_and_in_ustar_form() {
    let long = format!("pkg-1.0/{}/{}.py", "directory".repeat(12), "module".repeat(20));
    let shown = long.strip_prefix("pkg-1.0/").unwrap();
    for header in [pax(b'x', &[("path", long.as_bytes())]), gnu_long(b'L', &long)] {
        let (_, seen) = accepted(&tar(&[header, file("pkg-1.0/cut", "long")]));
        assert_eq!(at(&seen, shown).2, "long");
    }
    let mut bytes = file("module.py", "ustar").bytes();
    bytes[345..361].copy_from_slice(b"pkg-1.0/a/b/c/dd");
    super::tarball::seal(&mut bytes);
    let (_, seen) = accepted(&[bytes, unended(&[])].concat());
    assert_eq!(at(&seen, "a/b/c/dd/module.py").2, "ustar");
}

#[test]
fn two_different_names_for_one_member_are_refused() {
    let archive = tar(&[pax(b'x', &[("path", b"pkg/a")]), gnu_long(b'L', "pkg/b"), file("pkg/c", "")]);
    refused(&archive, "is given two different names or link targets");
    let archive = tar(&[gnu_long(b'L', "pkg/a"), gnu_long(b'L', "pkg/b"), file("pkg/c", "")]);
    refused(&archive, "is given two different names or link targets");
}

#[test]
fn a_global_header_may_not_name_every_member() {
    let archive = |key| tar(&[pax(b'g', &[(key, b"1")]), file("pkg/a", "a")]);
    for key in ["path", "linkpath", "size"] {
        refused(&archive(key), &format!("has a global PAX header that sets `{key}`"));
    }
    accepted(&archive("comment"));
}

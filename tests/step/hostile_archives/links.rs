//! Symlinks and hard links that lead out: at once, through each other, and by being written through.

use super::scene::{accepted, at, refused};
use super::tarball::{directory, file, gnu_long, hardlink, pax, symlink, tar};

#[test]
fn an_absolute_symlink_is_refused() {
    for target in ["/etc", "/", "//x"] {
        refused(
            &tar(&[symlink("pkg/l", target)]),
            &format!("member `pkg/l` is a symlink to the absolute path `{target}`"),
        );
    }
}

#[test]
fn an_escaping_symlink_is_refused() {
    for target in
        ["..", "../..", "../pkg/a", "x/../../y", "./../canary", "../../../../../../../../etc/passwd"]
    {
        refused(
            &tar(&[symlink("pkg/l", target), file("pkg/a", "")]),
            &format!("member `pkg/l` is a symlink that leads out of the archive: `{target}`"),
        );
    }
    refused(&tar(&[symlink("pkg/a/b/l", "../../../x")]), "member `pkg/a/b/l` is a symlink that leads out");
}

#[test]
fn a_symlink_that_escapes_through_another_is_refused() {
    // `deep` leads to the root, so that `deep/..` is outside, whatever the names look like.
    refused(
        &tar(&[symlink("pkg/a/b/deep", "../.."), symlink("pkg/out", "a/b/deep/../canary")]),
        "member `pkg/out` is a symlink that leads out of the archive: `a/b/deep/../canary`",
    );
}

#[test]
fn a_chain_that_escapes_only_with_a_later_link_is_refused() {
    // When `a` is read, `b/..` is the root itself; `b` comes later and moves it.
    refused(
        &tar(&[symlink("pkg/a", "b/.."), symlink("pkg/b", ".")]),
        "member `pkg/a` is a symlink that leads out",
    );
    refused(&tar(&[symlink("pkg/a", "b/.."), symlink("pkg/b", "..")]), "is a symlink that leads out");
    refused(
        &tar(&[
            symlink("pkg/x/escape", "step/step/step/canary"),
            directory("pkg/x"),
            symlink("pkg/x/step", "../x/up"),
            symlink("pkg/x/up", "../x/../../.."),
        ]),
        "leads out of the archive",
    );
}

#[test]
fn a_replaced_symlink_counts_as_what_it_is_in_the_end() {
    refused(
        &tar(&[symlink("pkg/a", "b"), symlink("pkg/a", "../x")]),
        "member `pkg/a` is a symlink that leads out",
    );
    let (_, seen) = accepted(&tar(&[symlink("pkg/a", "../x"), symlink("pkg/a", "b")]));
    assert_eq!(at(&seen, "a").2, "b");
}

#[test]
fn writing_through_a_symlink_is_refused() {
    for target in ["..", "../../outer", "d", "missing"] {
        let rule = "would be written through the symlink `pkg/l`";
        refused(&tar(&[symlink("pkg/l", target), file("pkg/l/x", "")]), &format!("member `pkg/l/x` {rule}"));
        refused(&tar(&[directory("pkg/d"), symlink("pkg/l", target), directory("pkg/l/x/y")]), rule);
        refused(&tar(&[symlink("pkg/l", target), symlink("pkg/l/x", "y")]), rule);
        refused(&tar(&[file("pkg/a", ""), symlink("pkg/l", target), hardlink("pkg/l/x", "pkg/a")]), rule);
    }
}

#[test]
fn writing_to_a_symlink_is_refused() {
    refused(
        &tar(&[symlink("pkg/l", "../canary"), file("pkg/l", "overwritten")]),
        "member `pkg/l` is a file, but an earlier member made it a symlink",
    );
    refused(
        &tar(&[file("pkg/a", "overwritten"), symlink("pkg/l", "../canary"), hardlink("pkg/l", "pkg/a")]),
        "member `pkg/l` is a file, but an earlier member made it a symlink",
    );
}

#[test]
fn symlinks_in_circles_are_refused() {
    refused(
        &tar(&[symlink("pkg/a", "a")]),
        "member `pkg/a` is a symlink that leads through more than 40 links: `a`",
    );
    refused(&tar(&[symlink("pkg/a", "b/x"), symlink("pkg/b", "a/y")]), "leads through more than 40 links");
}

#[test]
fn an_unusable_target_is_refused() {
    refused(&tar(&[symlink("pkg/l", "")]), "member `pkg/l` is a link with an unusable target");
    refused(&tar(&[symlink("pkg/l", b"\xff")]), "member `pkg/l` is a link with an unusable target");
    let archive = tar(&[pax(b'x', &[("linkpath", b"a\0/../..")]), symlink("pkg/l", "a")]);
    refused(&archive, "member `pkg/l` is a link with an unusable target");
    refused(
        &tar(&[gnu_long(b'K', "x/".repeat(3000)), symlink("pkg/l", "a")]),
        "member `pkg/l` is a link with an unusable target",
    );
}

#[test]
fn a_hard_link_that_leads_out_is_refused() {
    for target in ["../canary", "/etc/passwd", "pkg/../../canary"] {
        refused(
            &tar(&[file("pkg/a", ""), hardlink("pkg/h", target)]),
            &format!("member `pkg/h` is a hard link that leads out of the archive: `{target}`"),
        );
    }
}

#[test]
fn a_hard_link_to_no_earlier_file_is_refused() {
    // `canary` lies in the destination, but did not come out of this archive.
    for target in ["canary", "pkg/b", "pkg", "pkg/l/canary"] {
        refused(
            &tar(&[symlink("pkg/l", "x"), hardlink("pkg/h", target), file("pkg/b", "")]),
            &format!("member `pkg/h` is a hard link to `{target}`, which is no file that comes before it"),
        );
    }
}

#[test]
fn a_hard_link_to_a_symlink_may_not_move_it_out() {
    // The same text that stays inside at one depth leads out at another.
    refused(
        &tar(&[symlink("pkg/d/l", "../a"), hardlink("pkg/h", "pkg/d/l")]),
        "member `pkg/h` is a symlink that leads out of the archive: `../a`",
    );
    let (_, seen) = accepted(&tar(&[file("pkg/a", "a"), symlink("pkg/l", "a"), hardlink("pkg/h", "pkg/l")]));
    assert_eq!((at(&seen, "h").0 & 0o170000, at(&seen, "h").2), (0o120000, "a"));
}

#[test]
fn symlinks_inside_the_root_are_made() {
    let (_, seen) = accepted(&tar(&[
        symlink("pkg/to-later", "d/file"),
        symlink("pkg/d/up", "../a"),
        symlink("pkg/d/root", ".."),
        symlink("pkg/d/e/through", "../root/d/missing"),
        symlink("pkg/dangling", "no/such/../file"),
        file("pkg/d/file", "contents"),
        pax(b'x', &[("linkpath", "d/é".as_bytes())]),
        symlink("pkg/pax", "cut"),
        gnu_long(b'K', format!("d/{}", "x".repeat(150))),
        symlink("pkg/gnu", "cut"),
    ]));
    assert_eq!(at(&seen, "to-later").2, "d/file");
    assert_eq!(at(&seen, "d/root").2, "..");
    assert_eq!(at(&seen, "pax").2, "d/é");
    assert_eq!(at(&seen, "gnu").2.len(), 152);
    assert!(seen.values().filter(|(mode, _, _)| mode & 0o170000 == 0o120000).count() == 7);
}

#[test]
fn hard_links_inside_the_root_become_copies() {
    let (tree, seen) = accepted(&tar(&[
        super::tarball::Entry { mode: 0o755, mtime: 1_400_000_000, ..file("pkg/a", "text") },
        hardlink("pkg/d/b", "pkg/a"),
        hardlink("pkg/c", "./pkg/d/b"),
        hardlink("pkg/a", "pkg/a"),
    ]));
    assert_eq!(at(&seen, "d/b"), (0o100755, 1_400_000_000, "text"));
    assert_eq!(at(&seen, "c"), at(&seen, "a"));
    assert_eq!(tree.bytes, 12);
}

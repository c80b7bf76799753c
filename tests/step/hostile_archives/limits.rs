//! Archives that would fill disk or memory.

use crosswheel::contract::ArchiveLimits;

use super::scene::{accepted, refused, refused_within};
use super::tarball::{BLOCK, Entry, directory, file, gnu_long, gzip, hardlink, pax, symlink, tar, unended};
use super::zipfile;

#[test]
fn more_bytes_than_the_limit_are_refused_before_they_are_written() {
    let limits = ArchiveLimits { bytes: 8_000, ..ArchiveLimits::default() };
    let archive = tar(&[file("pkg/a", [b'a'; 3_000]), Entry { size: Some(1 << 40), ..file("pkg/b", "") }]);
    refused_within(&archive, &limits, "member `pkg/b` exceeds the limit of 8000 unpacked bytes");
    let copies: Vec<Entry> = std::iter::once(file("pkg/a", [b'a'; 3_000]))
        .chain((0..3).map(|index| hardlink(format!("pkg/{index}"), "pkg/a")))
        .collect();
    refused_within(&tar(&copies), &limits, "member `pkg/1` exceeds the limit");
    let zip = zipfile::zip(&[zipfile::file("pkg/a", [b'a'; 8_001])]);
    refused_within(&zip, &limits, "member `pkg/a` exceeds the limit of 8000 unpacked bytes");
}

#[test]
fn bytes_that_are_no_files_count_too() {
    let limits = ArchiveLimits { bytes: 100_000, ..ArchiveLimits::default() };
    let endless = [tar(&[file("pkg/a", "")]), vec![0; 200_000]].concat();
    refused_within(&gzip(&endless), &limits, "exceeds the limit of 100000 unpacked bytes");
    let headers: Vec<Entry> =
        (0..200).flat_map(|_| [pax(b'x', &[("comment", &[b'c'; 600])]), file("pkg/a", "")]).collect();
    refused_within(&gzip(&tar(&headers)), &limits, "exceeds the limit of 100000 unpacked bytes");
}

#[test]
fn more_members_than_the_limit_are_refused() {
    let limits = ArchiveLimits { members: 3, ..ArchiveLimits::default() };
    let archive = |count| tar(&(0..count).map(|index| file(format!("pkg/{index}"), "")).collect::<Vec<_>>());
    refused_within(&archive(4), &limits, "member `pkg/2` exceeds the limit of 3 members per archive");
    // Four members, but one and the same file.
    let again = tar(&vec![file("pkg/a", ""); 4]);
    refused_within(&again, &limits, "member `pkg/a` exceeds the limit of 3 members per archive");
    let zip =
        zipfile::zip(&(0..4).map(|index| zipfile::file(format!("pkg/{index}"), "")).collect::<Vec<_>>());
    refused_within(&zip, &limits, "exceeds the limit of 3 members per archive");
}

#[test]
fn directories_nobody_mentions_count_as_members() {
    let limits = ArchiveLimits { members: 10, ..ArchiveLimits::default() };
    let archive = tar(&[file("pkg/a/b/c/d/e/f/g/h/i/j", "")]);
    refused_within(&archive, &limits, "exceeds the limit of 10 members");
}

#[test]
fn a_decompression_bomb_is_refused_by_its_ratio() {
    let bomb = gzip(&unended(&[file("pkg/zeros", vec![0; 80 << 20])]));
    assert!(bomb.len() < 200 << 10);
    refused(&bomb, "member `pkg/zeros` exceeds the limit of 200 unpacked bytes per byte of archive");
    let zip = zipfile::zip(&[zipfile::file("pkg/zeros", vec![0; 80 << 20])]);
    refused(&zip, "member `pkg/zeros` exceeds the limit of 200 unpacked bytes per byte");
}

#[test]
fn a_high_ratio_below_64_mib_is_fine() {
    let (tree, _) = accepted(&gzip(&tar(&[file("pkg/zeros", vec![0; 32 << 20])])));
    assert_eq!(tree.bytes, 32 << 20);
}

#[test]
fn deeper_members_than_the_limit_are_refused() {
    let deep = format!("pkg/{}x", "d/".repeat(63));
    refused(&tar(&[gnu_long(b'L', &deep), file("cut", "")]), "lies more than 64 levels deep");
    let deepest = format!("pkg/{}x", "d/".repeat(62));
    accepted(&tar(&[gnu_long(b'L', &deepest), file("cut", "")]));
    refused_within(
        &tar(&[directory("pkg/a/b")]),
        &ArchiveLimits { depth: 2, ..ArchiveLimits::default() },
        "member `pkg/a/b` lies more than 2 levels deep",
    );
}

#[test]
fn extended_headers_that_would_fill_memory_are_refused() {
    let rule = "has an extended header of more than 1048576 bytes";
    refused(&tar(&[gnu_long(b'L', vec![b'x'; 1 << 20]), file("pkg/a", "")]), rule);
    refused(&tar(&[pax(b'x', &[("comment", &vec![b'x'; 1 << 20])]), file("pkg/a", "")]), rule);
    refused(&tar(&[pax(b'g', &[("comment", &vec![b'x'; 1 << 20])]), file("pkg/a", "")]), rule);
    // One that only says so.
    refused(&tar(&[Entry { size: Some(u64::MAX / 2), ..pax(b'x', &[]) }, file("pkg/a", "")]), rule);
}

#[test]
fn names_that_would_fill_memory_are_refused() {
    let target = "x/".repeat(2_000);
    let entries: Vec<Entry> = (0..9_000)
        .flat_map(|index| [gnu_long(b'K', &target), symlink(format!("pkg/{index}"), "cut")])
        .collect();
    refused(&tar(&entries), "exceeds the limit of 33554432 bytes of names and link targets per archive");
}

#[test]
fn symlinks_that_would_take_forever_to_follow_are_refused() {
    let detour = format!("{}next", "d/../".repeat(700));
    let mut entries = vec![directory("pkg/d")];
    for chain in 0..200 {
        for link in 0..38 {
            let target = format!("{}{chain}-{}", detour.strip_suffix("next").unwrap(), link + 1);
            entries.push(gnu_long(b'K', target));
            entries.push(symlink(format!("pkg/{chain}-{link}"), "cut"));
        }
    }
    refused(&gzip(&tar(&entries)), "is a symlink that leads through more than 40 links");
}

#[test]
fn a_truncated_huge_member_is_refused_without_reading_it_into_memory() {
    let mut archive = unended(&[Entry { size: Some(60 << 20), ..file("pkg/a", [b'a'; 700]) }]);
    archive.truncate(3 * BLOCK - 100);
    refused(&archive, "member `pkg/a` is truncated");
}

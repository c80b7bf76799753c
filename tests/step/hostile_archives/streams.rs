//! Streams that are cut, corrupt or followed by something, and tars inside them that are.

use super::scene::{accepted, at, refused};
use super::tarball::{BLOCK, Entry, file, gzip, pax, tar, unended};

fn compressions() -> Vec<(&'static str, Vec<u8>)> {
    use std::io::Write as _;
    let plain =
        tar(&[file("pkg-1.0/PKG-INFO", "Name: pkg\n"), file("pkg-1.0/a.c", "int main;\n".repeat(100))]);
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    bzip2.write_all(&plain).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 9);
    xz.write_all(&plain).unwrap();
    vec![
        ("gzip", gzip(&plain)),
        ("bzip2", bzip2.finish().unwrap()),
        ("xz", xz.finish().unwrap()),
        ("zstd", zstd::stream::encode_all(plain.as_slice(), 19).unwrap()),
        ("none", plain),
    ]
}

#[test]
fn every_compression_is_known_by_its_content() {
    for (name, archive) in compressions() {
        let (tree, seen) = accepted(&archive);
        assert_eq!(at(&seen, "PKG-INFO").2, "Name: pkg\n", "{name}");
        assert!(tree.has_native_sources);
        assert_eq!(tree.sha256, crosswheel::digest::Sha256::of(&archive));
        assert_eq!((tree.members, tree.bytes), (2, 1010));
    }
}

#[test]
fn a_cut_archive_is_refused_wherever_it_is_cut() {
    for (name, archive) in compressions() {
        let whole = if name == "none" { archive.len() - 2 * BLOCK } else { archive.len() };
        for length in (20..whole).step_by(97).chain([whole - 1]) {
            // A plain tar may end between two members.
            if name != "none" || !length.is_multiple_of(BLOCK) {
                refused(
                    &archive[..length],
                    if length < BLOCK && name == "none" { "formats" } else { "truncated" },
                );
            }
        }
    }
}

#[test]
fn something_behind_the_archive_is_refused() {
    for (name, archive) in compressions() {
        let dirty = [archive.as_slice(), b"<html>404</html>"].concat();
        let expected = if name == "none" { "followed by data" } else { "cannot be decompressed" };
        refused(&dirty, expected);
        let padding = if name == "zstd" { Vec::new() } else { vec![0; 8 * BLOCK] };
        accepted(&[archive, padding].concat());
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    for (name, mut archive) in compressions() {
        if name == "none" {
            archive[3] ^= 1;
            refused(&archive, "the archive is in none of the formats");
            continue;
        }
        let length = archive.len();
        archive[length / 2] ^= 0x20;
        let scene = super::scene::Scene::new(&archive);
        let error = scene.unpack(&Default::default()).unwrap_err();
        assert!(error.is_refusal(), "{name}: {error}");
    }
    let mut archive = gzip(&tar(&[file("pkg/a", "a")]));
    let crc = archive.len() - 8;
    archive[crc] ^= 1;
    refused(
        &archive,
        "the archive cannot be decompressed: corrupt gzip stream does not have a matching checksum",
    );
}

#[test]
fn a_corrupt_header_between_members_is_refused() {
    let mut archive = tar(&[file("pkg/a", "a"), file("pkg/b", "b")]);
    archive[2 * BLOCK] ^= 1;
    refused(&archive, "the archive has no valid header after member `pkg/a`");
}

#[test]
fn compressed_files_that_are_no_tar_are_refused() {
    refused(
        &gzip(&b"just a text, but longer than a block. ".repeat(30)),
        "what is inside is not a tar archive",
    );
    refused(&gzip(b"short"), "the archive is truncated");
    refused(b"", "the archive is in none of the formats");
    refused(&b"<!DOCTYPE html><html>".repeat(100), "the archive is in none of the formats");
}

#[test]
fn gzip_members_in_a_row_are_one_stream() {
    let archive = tar(&[file("pkg/a", "a".repeat(5000)), file("pkg/b", "b")]);
    let (first, second) = archive.split_at(1700);
    let (_, seen) = accepted(&[gzip(first), gzip(b""), gzip(second)].concat());
    assert_eq!(at(&seen, "b").2, "b");
}

#[test]
fn an_end_without_blocks_of_zeros_is_accepted() {
    let members = unended(&[file("pkg/a", "a"), file("pkg/b", "b")]);
    for archive in [members.clone(), gzip(&members), [members.as_slice(), &[0; BLOCK]].concat()] {
        let (_, seen) = accepted(&archive);
        assert_eq!(at(&seen, "b").2, "b");
    }
}

#[test]
fn members_behind_the_end_are_refused() {
    let archive = [unended(&[file("pkg/a", "a")]), vec![0; BLOCK], tar(&[file("pkg/b", "b")])].concat();
    refused(&archive, "the archive is followed by data that does not belong to it");
    refused(&[tar(&[file("pkg/a", "a")]), tar(&[file("pkg/b", "b")])].concat(), "followed by data");
}

#[test]
fn an_extended_header_without_a_member_is_refused() {
    refused(&tar(&[file("pkg/a", ""), pax(b'x', &[("path", b"pkg/b")])]), "the archive is truncated");
}

#[test]
fn malformed_headers_are_refused() {
    for (records, what) in [
        (&b"3 x=1\n"[..], "a PAX record is not well-formed"),
        (b"nonsense", "a PAX record is not well-formed"),
        (b"8 path=x\n", "a PAX record is not well-formed"),
        (b"10 size=x\n", "the PAX size is no number"),
        (b"11 mtime=x\n", "the PAX mtime is no number"),
    ] {
        let header = Entry { contents: records.to_vec(), ..pax(b'x', &[]) };
        refused(&tar(&[header, file("pkg/a", "")]), &format!("has a malformed header: {what}"));
    }
    for (field, what) in [
        (124, "the size is no number"),
        (136, "the modification time is no number"),
        (100, "the mode is no number"),
    ] {
        let mut archive = tar(&[file("pkg/a", "")]);
        archive[field..field + 3].copy_from_slice(b"9-x");
        super::tarball::seal(&mut archive);
        refused(&archive, &format!("member `pkg/a` has a malformed header: {what}"));
    }
}

#[test]
fn a_negative_size_is_refused() {
    let mut archive = tar(&[file("pkg/a", "")]);
    archive[124..136].fill(0xff);
    super::tarball::seal(&mut archive);
    refused(&archive, "member `pkg/a` has a malformed header: the size is no number");
}

#[test]
fn a_pax_size_overrides_the_header() {
    let member = Entry { size: Some(0), ..file("pkg/a", "ten bytes!") };
    let (tree, seen) = accepted(&tar(&[pax(b'x', &[("size", b"10")]), member, file("pkg/b", "b")]));
    assert_eq!((at(&seen, "a").2, at(&seen, "b").2, tree.bytes), ("ten bytes!", "b", 11));
}

//! Zip archives: the same rules, and those only a format with two directories needs.

use super::scene::{accepted, at, refused};
use super::zipfile::{DESCRIPTOR, DOS, Entry, UTF8, directory, file, symlink, with_zip64_end, zip};

#[test]
fn an_ordinary_zip_is_unpacked() {
    let archive = zip(&[
        directory("pkg-1.0/"),
        file("pkg-1.0/PKG-INFO", "Name: pkg\n"),
        Entry { deflate: false, mode: 0o106755, ..file("pkg-1.0/bin/tool", "#!") },
        file("pkg-1.0/empty", ""),
        symlink("pkg-1.0/link", "bin/tool"),
    ]);
    let (tree, seen) = accepted(&archive);
    assert_eq!((tree.top_level.as_str(), tree.members, tree.bytes), ("pkg-1.0", 5, 12));
    assert_eq!(tree.sha256, crosswheel::digest::Sha256::of(&archive));
    assert_eq!(at(&seen, "PKG-INFO"), (0o100644, 1_700_000_000, "Name: pkg\n"));
    assert_eq!(at(&seen, "bin/tool").0, 0o100755);
    assert_eq!(at(&seen, "link").2, "bin/tool");
}

#[test]
fn descriptors_zip64_and_other_systems_are_read() {
    let entries = [
        Entry { flags: DESCRIPTOR, ..file("pkg/descriptor", "d") },
        Entry { flags: DESCRIPTOR, ..file("pkg/empty", "") },
        Entry { zip64: true, ..file("pkg/zip64", "z") },
        Entry { made_by: DOS, mode: 0o060000, ..file("pkg/dos", "dos") },
        Entry { flags: UTF8, ..file("pkg/größe", "utf-8") },
        file("pkg/last", "l"),
    ];
    for archive in [zip(&entries), with_zip64_end(&zip(&entries))] {
        let (_, seen) = accepted(&archive);
        assert_eq!(seen.len(), 6);
        assert_eq!(
            (at(&seen, "descriptor").2, at(&seen, "zip64").2, at(&seen, "größe").2),
            ("d", "z", "utf-8")
        );
        assert_eq!(at(&seen, "dos").0, 0o100644);
    }
}

#[test]
fn zips_of_the_zip_crate_are_read() {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let methods =
        [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated, zip::CompressionMethod::Bzip2];
    for (index, method) in methods.into_iter().enumerate() {
        let options =
            zip::write::SimpleFileOptions::default().compression_method(method).large_file(index == 1);
        writer.start_file(format!("pkg/{index}"), options).unwrap();
        writer.write_all("some text ".repeat(500 * index).as_bytes()).unwrap();
    }
    writer.add_directory("pkg/d", zip::write::SimpleFileOptions::default()).unwrap();
    let (tree, seen) = accepted(&writer.finish().unwrap().into_inner());
    assert_eq!((tree.bytes, seen.len()), (15_000, 4));
}

#[test]
fn a_comment_at_the_end_is_fine() {
    let mut archive = zip(&[file("pkg/a", "a")]);
    let length = archive.len();
    archive[length - 2] = 5;
    archive.extend(b"hello");
    accepted(&archive);
    archive.extend(b"more");
    refused(&archive, "the archive is truncated");
}

#[test]
fn the_rules_of_tar_hold_for_zip() {
    refused(&zip(&[file("/etc/passwd", "")]), "member `/etc/passwd` has an absolute name");
    refused(&zip(&[file("pkg/../../x", "")]), "member `pkg/../../x` has `..` in its name");
    refused(&zip(&[file("pkg/a\0b", "")]), "has a NUL in its name");
    refused(
        &zip(&[file("pkg/a", ""), file("x", "")]),
        "member `x` is a file outside the one top-level directory",
    );
    refused(
        &zip(&[file("pkg/a", ""), file("x/y", "")]),
        "member `x/y` is not inside the one top-level directory",
    );
    refused(&zip(&[]), "the archive has no top-level directory");
    refused(&zip(&[symlink("pkg/l", "../x")]), "member `pkg/l` is a symlink that leads out of the archive");
    refused(&zip(&[symlink("pkg/l", "/x")]), "member `pkg/l` is a symlink to the absolute path `/x`");
    refused(
        &zip(&[symlink("pkg/l", "d"), file("pkg/l/x", "")]),
        "would be written through the symlink `pkg/l`",
    );
    refused(
        &zip(&[symlink("pkg/l", "x".repeat(100_000))]),
        "member `pkg/l` is a link with an unusable target",
    );
    refused(
        &zip(&[file("pkg/a", ""), symlink("pkg/a", "b")]),
        "is a symlink, but an earlier member made it a file",
    );
    for (kind, title) in
        [(0o010644, "FIFO"), (0o020644, "character device"), (0o060644, "block device"), (0o140644, "socket")]
    {
        refused(&zip(&[Entry { mode: kind, ..file("pkg/x", "") }]), &format!("member `pkg/x` is a {title}"));
    }
    refused(
        &zip(&[Entry { mode: 0o040755, ..file("pkg/d", "x") }]),
        "member `pkg/d` is a directory that carries data",
    );
    refused(&zip(&[file("pkg/d/", "x")]), "member `pkg/d/` is a directory that carries data");
    refused(&zip(&[symlink("pkg/l/", "x")]), "its name and its Unix mode do not fit each other");
}

#[test]
fn backslashes_and_drive_letters_are_refused() {
    refused(&zip(&[file("pkg\\..\\..\\x", "")]), "member `pkg\\..\\..\\x` has a backslash in its name");
    refused(&zip(&[file("C:/x", "")]), "member `C:/x` has a drive letter in its name");
    refused(&zip(&[file("c:x/y", "")]), "member `c:x/y` has a drive letter in its name");
}

#[test]
fn names_that_do_not_say_they_are_utf_8_must_be_ascii() {
    refused(&zip(&[file("pkg/größe", "")]), "member `pkg/größe` has a name that is not UTF-8");
    refused(&zip(&[Entry { flags: UTF8, ..file(b"pkg/\xff", "") }]), "has a name that is not UTF-8");
}

#[test]
fn a_second_name_in_an_extra_field_is_refused() {
    let body = [&[1, 0, 0, 0, 0][..], b"pkg/../../x"].concat();
    let extra = [&0x7075_u16.to_le_bytes()[..], &(body.len() as u16).to_le_bytes(), &body].concat();
    refused(&zip(&[Entry { central_extra: extra, ..file("pkg/a", "") }]), "is given two different names");
}

#[test]
fn encrypted_entries_are_refused() {
    for flag in [1 << 0, 1 << 6, 1 << 13] {
        refused(&zip(&[Entry { flags: flag, ..file("pkg/a", "secret") }]), "member `pkg/a` is encrypted");
    }
}

#[test]
fn unknown_methods_are_refused() {
    let archive = zip(&[Entry { central_method: Some(14), ..file("pkg/a", "a") }]);
    refused(&archive, "member `pkg/a` uses the zip compression method 14, which is not supported");
}

#[test]
fn headers_that_disagree_are_refused() {
    let of = |entry: Entry| zip(&[entry, file("pkg/b", "b")]);
    let rule =
        |what| format!("member `pkg/a` has a local header whose {what} is not that of the central directory");
    let a = || file("pkg/a", "aaaa");
    refused(&of(Entry { local_name: Some(b"pkg/x".to_vec()), ..a() }), &rule("name"));
    refused(&of(Entry { local_size: Some(3), ..a() }), &rule("size"));
    refused(&of(Entry { local_method: Some(0), ..a() }), &rule("compression method"));
    let mut archive = of(a());
    archive[6] |= 8;
    refused(&archive, &rule("set of flags"));
    let mut archive = of(a());
    archive[14] ^= 1;
    refused(&archive, &rule("CRC-32"));
    let mut archive = of(a());
    archive[18] ^= 1;
    refused(&archive, &rule("compressed size"));
}

#[test]
fn a_descriptor_that_disagrees_is_refused() {
    let entry = Entry { flags: DESCRIPTOR, deflate: false, ..file("pkg/a", "aaaa") };
    let mut archive = zip(&[entry]);
    archive[30 + 5 + 4 + 4] ^= 1;
    refused(
        &archive,
        "member `pkg/a` has a local header whose data descriptor is not that of the central directory",
    );
}

#[test]
fn wrong_sizes_and_checksums_are_refused() {
    refused(
        &zip(&[Entry { crc: Some(1), ..file("pkg/a", "aaaa") }]),
        "member `pkg/a` does not have the CRC-32",
    );
    for size in [3, 5] {
        let archive = zip(&[Entry { size: Some(size), ..file("pkg/a", "aaaa") }]);
        refused(&archive, "member `pkg/a` does not have the size its header says");
    }
    let archive = zip(&[Entry { junk: b"hidden".to_vec(), ..file("pkg/a", "aaaa") }]);
    refused(&archive, "member `pkg/a` does not have the size its header says");
}

#[test]
fn overlapping_entries_are_refused() {
    // Both entries are the bytes of the first.
    let twice = zip(&[file("pkg/a", "aaaa"), Entry { offset: Some(0), ..file("pkg/a", "aaaa") }]);
    refused(&twice, "member `pkg/a` shares bytes of the archive with what follows it");
    // A whole zip stored inside a member, with its entry in the outer directory too.
    let inner = zip(&[Entry { deflate: false, ..file("pkg/b", "bbbb") }]);
    let outer = zip(&[
        Entry { deflate: false, ..file("pkg/a", &inner) },
        Entry { offset: Some(35), ..file("pkg/b", "bbbb") },
    ]);
    refused(&outer, "member `pkg/a` shares bytes of the archive with what follows it");
}

#[test]
fn bytes_that_belong_to_no_member_are_refused() {
    let archive = zip(&[Entry { gap: b"hidden".to_vec(), ..file("pkg/a", "a") }, file("pkg/b", "b")]);
    refused(&archive, "member `pkg/a` is followed by bytes that belong to no member");
    let mut between = zip(&[file("pkg/a", "a")]);
    between.splice(between.len() - 22..between.len() - 22, *b"hidden");
    refused(&between, "the central directory does not end where the end record begins");

    let archive = zip(&[file("pkg/a", "a"), file("pkg/b", "b"), file("pkg/c", "c")]);
    refused(&unlisted(&archive, b"pkg/a"), "it does not begin with its first member");
    refused(&unlisted(&archive, b"pkg/b"), "member `pkg/a` is followed by bytes that belong to no member");
    refused(&unlisted(&archive, b"pkg/c"), "member `pkg/b` is followed by bytes that belong to no member");
}

/// The archive with its entry `name`, in place but out of the central directory.
fn unlisted(archive: &[u8], name: &[u8]) -> Vec<u8> {
    let at = archive.windows(name.len()).rposition(|window| window == name).unwrap();
    let mut archive = archive.to_vec();
    archive.drain(at - 46..at + name.len());
    let end = archive.len() - 22;
    archive[end + 8] -= 1;
    archive[end + 10] -= 1;
    archive[end + 12] -= 46 + name.len() as u8;
    archive
}

#[test]
fn a_cut_zip_is_refused_wherever_it_is_cut() {
    let archive =
        with_zip64_end(&zip(&[file("pkg/a", "a"), Entry { flags: DESCRIPTOR, ..file("pkg/b", "b") }]));
    for length in 4..archive.len() {
        refused(&archive[..length], "the archive is truncated");
    }
    for start in 1..archive.len().min(200) {
        let scene = super::scene::Scene::new(&archive[start..]);
        assert!(scene.unpack(&Default::default()).unwrap_err().is_refusal());
    }
}

#[test]
fn no_flipped_byte_goes_unnoticed_where_it_matters() {
    let archive = with_zip64_end(&zip(&[file("pkg/a", "text text text"), file("pkg/d/b", "b")]));
    let (_, original) = accepted(&archive);
    for at in 0..archive.len() {
        let mut changed = archive.clone();
        changed[at] ^= 0x08;
        let scene = super::scene::Scene::new(&changed);
        match scene.unpack(&Default::default()) {
            Err(error) => assert!(error.is_refusal(), "{at}: {error}"),
            // Dates, versions, attributes: names and contents are the same.
            Ok(_) => {
                let (_, seen) = accepted(&changed);
                let contents = |snapshot: &super::scene::Snapshot| -> Vec<_> {
                    snapshot.iter().map(|(path, (_, _, contents))| (path.clone(), contents.clone())).collect()
                };
                assert_eq!(contents(&seen), contents(&original), "byte {at}");
            }
        }
    }
}

//! Whatever an archive holds: no panic, nothing outside the tree changes, nothing is left after a refusal.

use std::path::Path;

use crosswheel::archive::{ArchiveError, SourceTree};
use crosswheel::contract::ArchiveLimits;
use proptest::collection::vec;
use proptest::prelude::*;

use super::scene::Scene;
use super::tarball::{self, Entry, directory, file, gnu_long, gzip, hardlink, pax, symlink, tar};
use super::zipfile;

/// Paths from a small alphabet, so that members meet each other.
fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c", "d"]),
        1 => prop::sample::select(vec!["..", ".", "", "canary", "\u{e9}", "a\0b", "C:", "x\\y"]),
    ];
    (
        prop_oneof![12 => Just("pkg/"), 1 => Just(""), 1 => Just("/"), 1 => Just("../"), 1 => Just("./pkg/")],
        vec(part, 0..5),
    )
        .prop_map(|(start, parts)| format!("{start}{}", parts.join("/")))
}

fn target() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec!["a", "b", "c", "d", "..", "..", ".", "pkg", "canary", ""]);
    (prop_oneof![20 => Just(""), 1 => Just("/")], vec(part, 0..6))
        .prop_map(|(start, parts)| format!("{start}{}", parts.join("/")))
}

fn members() -> impl Strategy<Value = Vec<Entry>> {
    let member = prop_oneof![
        4 => (path(), vec(any::<u8>(), 0..20)).prop_map(|(name, contents)| vec![file(name, contents)]),
        3 => path().prop_map(|name| vec![directory(name)]),
        6 => (path(), target()).prop_map(|(name, target)| vec![symlink(name, target)]),
        3 => (path(), path()).prop_map(|(name, target)| vec![hardlink(name, target)]),
        1 => (path(), path()).prop_map(|(long, name)| vec![gnu_long(b'L', long), file(name, "long")]),
        1 => (path(), path()).prop_map(|(long, name)| vec![pax(b'x', &[("path", long.as_bytes())]), file(name, "pax")]),
        1 => (path(), target()).prop_map(|(name, long)| vec![gnu_long(b'K', long), symlink(name, "cut")]),
        1 => (path(), any::<u8>(), any::<u64>(), any::<u32>()).prop_map(|(name, kind, size, mode)| {
            vec![Entry { size: Some(size), mode, ..tarball::entry(kind, name) }]
        }),
    ];
    vec(member, 1..12).prop_map(|members| members.concat())
}

/// Unpacks and, if that went well, walks through the result as a build would: no link leads out of it.
fn unpack_and_look(archive: &[u8]) -> Result<SourceTree, ArchiveError> {
    let scene = Scene::new(archive);
    let limits = ArchiveLimits { bytes: 10 << 20, ..ArchiveLimits::default() };
    let result = scene.unpack(&limits);
    if let Ok(tree) = &result {
        stays_inside(&tree.root, &fs_err::canonicalize(&tree.root).unwrap());
    }
    assert_eq!(scene.read(&["a", "b"], &limits).is_ok(), result.is_ok());
    result
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

proptest! {
    #[test]
    fn no_sequence_of_tar_members_leads_out(members in members()) {
        let _ = unpack_and_look(&tar(&members));
    }

    #[test]
    fn no_sequence_of_zip_entries_leads_out(members in members(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let entries: Vec<zipfile::Entry> = members
            .iter()
            .map(|member| match member.kind {
                b'5' => zipfile::directory(&member.name),
                b'2' => zipfile::symlink(&member.name, &member.target),
                _ => zipfile::file(&member.name, &member.contents),
            })
            .collect();
        let _ = unpack_and_look(&changed(zipfile::zip(&entries), &changes));
    }

    #[test]
    fn no_changed_bytes_of_a_tar_lead_out(members in members(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut archive = changed(tar(&members), &changes);
        // With right checksums, or the first change would end it all.
        for block in archive.chunks_exact_mut(tarball::BLOCK) {
            if block[257..262] == *b"ustar" {
                tarball::seal(block);
            }
        }
        let _ = unpack_and_look(&archive);
    }

    #[test]
    fn no_changed_bytes_of_a_compressed_tar_lead_out(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let _ = unpack_and_look(&changed(gzip(&tar(&[directory("pkg"), file("pkg/a", "text")])), &changes));
    }

    #[test]
    fn no_bytes_at_all_lead_out(magic in prop::sample::select(vec![&b""[..], b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b\x08\0", b"BZh9", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]), bytes in vec(any::<u8>(), 0..2000)) {
        let result = unpack_and_look(&[magic, &bytes].concat());
        prop_assert!(result.is_err_and(|error| error.is_refusal()));
    }
}

fn changed(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, value) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

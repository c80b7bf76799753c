//! What archives do, and above all what they do not.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::rootfs::unpack::members::MOST_DESCRIPTION_BYTES;

/// A member with any name at all; `Builder` would refuse some.
fn member(tar: &mut Vec<u8>, kind: EntryType, name: &[u8], link: &[u8], contents: &[u8]) {
    member_with_mode(tar, kind, 0o6755, name, link, contents);
}

fn member_with_mode(
    tar: &mut Vec<u8>,
    kind: EntryType,
    mode: u32,
    name: &[u8],
    link: &[u8],
    contents: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(contents.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..name.len()].copy_from_slice(name);
    gnu.linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(contents);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// What an archive ends with.
const END: [u8; 1024] = [0; 1024];

/// A root in a directory in which something else lies, too.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir(directory.path().join("root")).unwrap();
        fs_err::create_dir(directory.path().join("outside")).unwrap();
        fs_err::write(directory.path().join("outside/precious"), "precious").unwrap();
        Self { directory }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.directory.path().join("root").join(path)
    }

    fn unpack(&self, layers: &[Vec<u8>], kind: Kind) -> Result<u64, RootfsError> {
        self.unpack_within(layers, kind, MOST_READ_BYTES, &AtomicBool::new(false))
    }

    fn unpack_within(
        &self,
        layers: &[Vec<u8>],
        kind: Kind,
        most: u64,
        interrupted: &AtomicBool,
    ) -> Result<u64, RootfsError> {
        let inside = Inside::open(&self.at("")).unwrap();
        let mut unpacker = Unpacker::new(&inside, interrupted);
        unpacker.may_read = most;
        for layer in layers {
            if kind == Kind::Layer {
                unpacker.hide(&mut layer.as_slice(), "layer")?;
            }
            unpacker.unpack(&mut layer.as_slice(), "layer", kind)?;
        }
        Ok(unpacker.special_files)
    }

    fn assert_untouched(&self) {
        let names = |path: &Path| {
            let entries = fs_err::read_dir(path).unwrap();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(self.directory.path()), ["outside", "root"]);
        let outside = self.directory.path().join("outside");
        assert_eq!(names(&outside), ["precious"]);
        assert_eq!(fs_err::read(outside.join("precious")).unwrap(), b"precious");
        let metadata = fs_err::metadata(outside.join("precious")).unwrap();
        assert_eq!((metadata.nlink(), metadata.permissions().mode() & 0o6000), (1, 0));
    }
}

#[test]
fn members_become_what_they_are_without_privileges() {
    let scene = Scene::new();
    let mut tar = Vec::new();
    member(&mut tar, EntryType::Directory, b"./usr/bin/", b"", b"");
    member(&mut tar, EntryType::Symlink, b"bin", b"usr/bin", b"");
    // Through the link, as packages of an unmerged /usr have it.
    member(&mut tar, EntryType::Regular, b"/bin/su", b"", b"program");
    member(&mut tar, EntryType::Link, b"usr/bin/su2", b"./bin/su", b"");
    member(&mut tar, EntryType::Char, b"dev/null", b"", b"");
    member(&mut tar, EntryType::Fifo, b"dev/initctl", b"", b"");
    member(&mut tar, EntryType::Regular, b".wh.x", b"", b"a name like any other");
    tar.extend(END);
    assert_eq!(scene.unpack(&[tar], Kind::Plain).unwrap(), 2);
    let su = fs_err::metadata(scene.at("usr/bin/su")).unwrap();
    assert_eq!((su.permissions().mode() & 0o7777, su.nlink(), su.mtime()), (0o755, 2, 0));
    assert_eq!(fs_err::read(scene.at("usr/bin/su2")).unwrap(), b"program");
    assert_eq!(fs_err::read_link(scene.at("bin")).unwrap(), Path::new("usr/bin"));
    assert!(scene.at(".wh.x").exists() && !scene.at("dev").exists());
}

#[test]
fn whiteouts_mean_the_layers_below_wherever_they_stand() {
    let scene = Scene::new();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for name in ["a/old", "a/deep/er", "b/gone", "b/stays", "c"] {
        member(&mut one, EntryType::Regular, name.as_bytes(), b"", b"1");
    }
    member(&mut two, EntryType::Regular, b"a/new", b"", b"2");
    member(&mut two, EntryType::Regular, b"a/.wh..wh..opq", b"", b"");
    member(&mut two, EntryType::Regular, b"b/.wh.gone", b"", b"");
    member(&mut two, EntryType::Regular, b"b/gone", b"", b"again");
    member(&mut two, EntryType::Regular, b".wh..wh.plnk", b"", b"");
    member(&mut two, EntryType::Regular, b"nowhere/.wh.x", b"", b"");
    // A directory in the place of a file.
    member(&mut two, EntryType::Directory, b"c", b"", b"");
    scene.unpack(&[one, two], Kind::Layer).unwrap();
    let mut found: Vec<_> = tree(&scene.at("")).into_keys().collect();
    found.sort();
    assert_eq!(found, ["a", "a/new", "b", "b/gone", "b/stays", "c"]);
    assert_eq!(fs_err::read(scene.at("b/gone")).unwrap(), b"again");
}

#[test]
fn what_leads_out_is_refused_and_what_links_hide_stays_inside() {
    let refused = |kind, name: &[u8], link: &[u8]| {
        let scene = Scene::new();
        let mut tar = Vec::new();
        member(&mut tar, kind, name, link, b"");
        let error = scene.unpack(&[tar], Kind::Layer).unwrap_err().to_string();
        scene.assert_untouched();
        error
    };
    assert!(refused(EntryType::Regular, b"a/../../outside/new", b"").contains("has `..` in its name"));
    assert!(refused(EntryType::Link, b"l", b"../outside/precious").contains("is a link to a name with `..`"));
    assert!(refused(EntryType::Link, b"l", b"/").contains("is a link"));
    assert!(refused(EntryType::Link, b"l", b"absent").contains("No such file"));
    assert!(refused(EntryType::Regular, b"a/.wh...", b"").contains("is a whiteout of nothing"));
    assert!(refused(EntryType::new(b'Z'), b"a", b"").contains("has the unknown type 0x5a"));

    let scene = Scene::new();
    symlink(scene.directory.path().join("outside"), scene.at("absolute")).unwrap();
    symlink("../outside", scene.at("relative")).unwrap();
    for name in [&b"absolute/precious"[..], b"relative/precious"] {
        for kind in [EntryType::Regular, EntryType::Directory, EntryType::Symlink] {
            let mut tar = Vec::new();
            member(&mut tar, kind, name, b"x", b"");
            // There is nothing of that name inside.
            scene.unpack(&[tar], Kind::Layer).unwrap_err();
        }
        let mut tar = Vec::new();
        member(&mut tar, EntryType::Regular, &name.replace_last_part(b".wh.precious"), b"", b"");
        scene.unpack(&[tar], Kind::Layer).unwrap();
        scene.assert_untouched();
    }
}

trait ReplaceLastPart {
    fn replace_last_part(&self, name: &[u8]) -> Vec<u8>;
}

impl ReplaceLastPart for [u8] {
    fn replace_last_part(&self, name: &[u8]) -> Vec<u8> {
        let at = self.iter().rposition(|byte| *byte == b'/').unwrap();
        [&self[..=at], name].concat()
    }
}

#[test]
fn a_file_in_pieces_is_refused_and_so_is_an_archive_that_ends_early() {
    let scene = Scene::new();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("GNU.sparse.major", b"1".as_slice())]).unwrap();
    let mut tar = builder.into_inner().unwrap();
    tar.truncate(tar.len() - 1024);
    member(&mut tar, EntryType::Regular, b"sparse", b"", b"1");
    let error = scene.unpack(&[tar], Kind::Plain).unwrap_err().to_string();
    assert!(error.contains("sparse file"), "{error}");

    let mut tar = Vec::new();
    member(&mut tar, EntryType::Regular, b"file", b"", &[1; 2000]);
    tar.truncate(1500);
    let error = scene.unpack(&[tar], Kind::Plain).unwrap_err();
    assert!(matches!(error, RootfsError::Archive { .. }), "{error}");
    assert!(matches!(
        scene.unpack(&[b"no tar archive at all, but some text".repeat(30)], Kind::Plain),
        Err(RootfsError::Archive { .. })
    ));
}

#[test]
fn an_archive_without_an_end_was_cut_between_members_and_a_layer_has_a_digest() {
    let mut tar = Vec::new();
    member(&mut tar, EntryType::Regular, b"file", b"", b"1");
    for cut in [tar.clone(), Vec::new()] {
        let error = Scene::new().unpack(&[cut], Kind::Plain).unwrap_err();
        assert!(error.to_string().contains("some of it may be missing"), "{error}");
    }
    Scene::new().unpack(std::slice::from_ref(&tar), Kind::Layer).unwrap();
    // One block is enough, as many programs have it.
    tar.extend(&END[..512]);
    Scene::new().unpack(&[tar], Kind::Plain).unwrap();
}

/// An error where checksums are compared.
struct BadEnd;

impl Read for BadEnd {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("bad checksum"))
    }
}

#[test]
fn what_follows_the_last_member_is_read_and_its_errors_are_told() {
    let scene = Scene::new();
    let inside = Inside::open(&scene.at("")).unwrap();
    let interrupted = AtomicBool::new(false);
    let mut unpacker = Unpacker::new(&inside, &interrupted);
    let error = unpacker.unpack(&mut END.chain(BadEnd), "archive", Kind::Plain).unwrap_err();
    assert_eq!(error.to_string(), "cannot read archive: bad checksum");
    // Longer than what may be between two members.
    let mut padding = io::repeat(0).take(MOST_DESCRIPTION_BYTES * 2);
    unpacker.unpack(&mut padding, "archive", Kind::Plain).unwrap();
    assert_eq!(padding.limit(), 0);
}

#[test]
fn long_names_are_read_and_endless_ones_are_not() {
    let long = [b"d/".repeat(60).as_slice(), &b"n".repeat(200)].concat();
    let unpack = |kind: u8, length: usize| {
        let scene = Scene::new();
        let mut tar = Vec::new();
        let contents = match kind {
            b'L' if length < 1000 => [long.as_slice(), b"\0"].concat(),
            b'L' => b"n/".repeat(length),
            _ => {
                let value = b"c".repeat(length);
                [format!("{} comment=", length + 17).as_bytes(), &value, b"\n"].concat()
            }
        };
        // What is not looked at does not count.
        member(&mut tar, EntryType::Symlink, b"link", b"x", &vec![0; 3 << 20]);
        member(&mut tar, EntryType::new(kind), b"long", b"", &contents);
        member(&mut tar, EntryType::Regular, b"file", b"", b"1");
        tar.extend(END);
        let plain = scene.unpack(std::slice::from_ref(&tar), Kind::Plain).map_err(|error| error.to_string());
        let layer = Scene::new().unpack(&[tar], Kind::Layer).map_err(|error| error.to_string());
        assert_eq!(plain, layer);
        plain
    };
    for kind in [b'L', b'x', b'g'] {
        assert_eq!(unpack(kind, 500), Ok(0), "{}", char::from(kind));
        let error = unpack(kind, 2 << 20).unwrap_err();
        assert_eq!(error, "layer holds more than 1 MiB that describe one member", "{}", char::from(kind));
    }
    let error = unpack(b'K', 2 << 20).unwrap_err();
    assert_eq!(error, "layer holds more than 1 MiB that describe one member");
}

#[test]
fn a_sparse_file_of_old_has_its_holes_and_does_not_stretch_the_limits() {
    let mut tar = Vec::new();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_size(512);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..6].copy_from_slice(b"sparse");
    gnu.sparse[0].offset.copy_from_slice(b"00020000000\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000001000\0");
    gnu.realsize.copy_from_slice(b"00020001000\0");
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend([1; 512]);
    let scene = Scene::new();
    scene.unpack(&[[tar.as_slice(), &END].concat()], Kind::Plain).unwrap();
    let contents = fs_err::read(scene.at("sparse")).unwrap();
    assert_eq!((contents.len(), contents[0], contents[4 << 20]), ((4 << 20) + 512, 0, 1));

    member(&mut tar, EntryType::new(b'L'), b"long", b"", &vec![b'n'; 3 << 20]);
    let error = Scene::new().unpack(&[tar], Kind::Layer).unwrap_err();
    assert!(matches!(error, RootfsError::TooMuch { .. }), "{error}");
}

#[test]
fn archives_are_read_no_further_than_the_limit_and_until_somebody_interrupts() {
    let mut tar = Vec::new();
    member(&mut tar, EntryType::Regular, b"file", b"", &vec![0; 1 << 20]);
    let scene = Scene::new();
    let never = AtomicBool::new(false);
    let most = 3 * tar.len() as u64 + 1;
    scene.unpack_within(std::slice::from_ref(&tar), Kind::Layer, most, &never).unwrap();
    // Already when it is only looked for whiteouts.
    let error = scene.unpack_within(&[tar.clone(), tar.clone()], Kind::Layer, most, &never).unwrap_err();
    assert!(matches!(error, RootfsError::TooMuch { .. }), "{error}");
    let error = Scene::new().unpack_within(&[tar.clone()], Kind::Layer, 1000, &never).unwrap_err();
    assert!(matches!(error, RootfsError::TooMuch { .. }), "{error}");
    let error = scene.unpack_within(&[tar], Kind::Layer, most, &AtomicBool::new(true)).unwrap_err();
    assert!(matches!(error, RootfsError::Interrupted), "{error}");
}

#[test]
fn nobody_else_may_write_but_where_everybody_may() {
    let scene = Scene::new();
    let mut tar = Vec::new();
    member_with_mode(&mut tar, EntryType::Directory, 0o2777, b"usr", b"", b"");
    member_with_mode(&mut tar, EntryType::Directory, 0o1777, b"tmp", b"", b"");
    member_with_mode(&mut tar, EntryType::Regular, 0o777, b"usr/program", b"", b"");
    member_with_mode(&mut tar, EntryType::Regular, 0o664, b"usr/text", b"", b"");
    tar.extend(END);
    scene.unpack(&[tar], Kind::Plain).unwrap();
    let mode = |path: &str| fs_err::metadata(scene.at(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["usr", "tmp", "usr/program", "usr/text"].map(mode), [0o755, 0o1777, 0o755, 0o644]);
}

/// Every file below `root` with its contents, and every directory with none.
fn tree(root: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    fn walk(directory: &Path, prefix: &str, found: &mut BTreeMap<String, Option<Vec<u8>>>) {
        for entry in fs_err::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
                found.insert(name, None);
            } else {
                found.insert(name, Some(fs_err::read(entry.path()).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, "", &mut found);
    found
}

/// What a layer does to a file system without links, by the image specification.
fn apply(model: &mut BTreeMap<String, Option<Vec<u8>>>, layer: &[Change]) -> Result<(), ()> {
    let below = |path: &str, other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    for change in layer {
        match change {
            Change::Hide(path) => model.retain(|other, _| other != path && !below(path, other)),
            Change::HideAll(path) => model.retain(|other, _| !below(path, other)),
            Change::File(..) | Change::Directory(_) => {}
        }
    }
    for change in layer {
        let (path, contents) = match change {
            Change::File(path, contents) => (path, Some(vec![*contents])),
            Change::Directory(path) => (path, None),
            // Only as a parent of other entries; a whiteout makes none.
            Change::Hide(_) | Change::HideAll(_) => continue,
        };
        for (at, _) in path.match_indices('/') {
            match model.get(&path[..at]) {
                Some(Some(_)) => return Err(()),
                Some(None) => {}
                None => drop(model.insert(path[..at].to_owned(), None)),
            }
        }
        if contents.is_some() {
            model.retain(|other, _| !below(path, other));
        }
        model.insert(path.clone(), contents);
    }
    Ok(())
}

#[derive(Debug, Clone)]
enum Change {
    File(String, u8),
    Directory(String),
    Hide(String),
    HideAll(String),
}

fn change() -> impl Strategy<Value = Change> {
    let path = || "[ab](/[ab]){0,3}";
    prop_oneof![
        (path(), any::<u8>()).prop_map(|(path, contents)| Change::File(path, contents)),
        path().prop_map(Change::Directory),
        path().prop_map(Change::Hide),
        path().prop_map(Change::HideAll),
    ]
}

fn as_tar(layer: &[Change]) -> Vec<u8> {
    let mut tar = Vec::new();
    for change in layer {
        match change {
            Change::File(path, contents) => {
                member(&mut tar, EntryType::Regular, path.as_bytes(), b"", &[*contents]);
            }
            Change::Directory(path) => member(&mut tar, EntryType::Directory, path.as_bytes(), b"", b""),
            Change::Hide(path) => {
                let (parent, name) = path.rsplit_once('/').map_or(("", path.as_str()), |parts| parts);
                let name = format!("{parent}/.wh.{name}");
                member(&mut tar, EntryType::Regular, name.as_bytes(), b"", b"");
            }
            Change::HideAll(path) => {
                let name = format!("{path}/.wh..wh..opq");
                member(&mut tar, EntryType::Regular, name.as_bytes(), b"", b"");
            }
        }
    }
    tar
}

/// Names and targets out of which paths that lead anywhere can be made.
fn part() -> impl Strategy<Value = String> {
    let parts = [
        "a",
        "b",
        "c",
        "..",
        ".",
        "",
        "outside",
        "precious",
        "root",
        ".wh.a",
        ".wh.outside",
        ".wh.precious",
        ".wh..wh..opq",
        ".wh...",
        ".wh.",
    ];
    prop::sample::select(parts.map(str::to_owned).to_vec())
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join("/"))
}

fn entry_type() -> impl Strategy<Value = EntryType> {
    prop::sample::select(vec![
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
    ])
}

proptest! {
    #[test]
    fn layers_add_up_as_the_specification_says(
        layers in prop::collection::vec(prop::collection::vec(change(), 0..7), 1..4)
    ) {
        let scene = Scene::new();
        let mut model = BTreeMap::new();
        let expected = layers.iter().try_for_each(|layer| apply(&mut model, layer));
        let tars: Vec<_> = layers.iter().map(|layer| as_tar(layer)).collect();
        let unpacked = scene.unpack(&tars, Kind::Layer);
        prop_assert_eq!(unpacked.is_ok(), expected.is_ok());
        if unpacked.is_ok() {
            prop_assert_eq!(tree(&scene.at("")), model);
        }
    }

    #[test]
    fn no_archive_touches_what_is_not_in_the_root(
        layers in prop::collection::vec(prop::collection::vec((entry_type(), name(), name()), 0..12), 1..3),
        plain in any::<bool>(),
    ) {
        let scene = Scene::new();
        for layer in layers {
            // One after the other, as an error would end it.
            for (kind, name, link) in layer {
                let mut tar = Vec::new();
                member(&mut tar, kind, name.as_bytes(), link.as_bytes(), b"");
                let _ = scene.unpack(&[tar], if plain { Kind::Plain } else { Kind::Layer });
            }
        }
        scene.assert_untouched();
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let scene = Scene::new();
        let _ = scene.unpack(&[bytes], Kind::Layer);
    }
}

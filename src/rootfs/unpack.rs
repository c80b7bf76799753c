//! Unpacks tar archives and layers of images into a root file system in the making. Whatever an archive says, nothing
//! outside of that is touched: names have no `..`, parents are looked up inside the root, and what is at the last part
//! of a name is never followed. Knows nothing of where archives come from.
//!
//! Roots serve builds that run as one user, so owners are ignored (everything belongs to whoever unpacks it, and no
//! other user of the host can change it), and so are setuid and setgid bits, extended attributes and device nodes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, fchmod, futimens, linkat, mkdirat, openat, statat,
    symlinkat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::error::{MemberProblem, RootfsError};
use super::inside::{Inside, set_mode};
use super::removal::Bin;

/// More than any root has, and less than would fill most disks.
const MOST_BYTES: u64 = 64 << 30;
const MOST_MEMBERS: u64 = 5_000_000;

/// A file of this name says that everything below its directory in the layers below is gone (OCI image spec, layer).
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What a whiteout's name begins with; the rest is the name that is gone.
const WHITEOUT: &[u8] = b".wh.";
/// Other names that begin so belong to a union file system's own bookkeeping.
const BOOKKEEPING: &[u8] = b".wh..wh.";

/// What an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file system in itself: a name like any other may begin with `.wh.`.
    Plain,
    /// Changes to what is there.
    Layer,
}

/// Unpacks archives one after the other.
pub(super) struct Unpacker<'a> {
    inside: &'a Inside,
    bin: Bin,
    interrupted: &'a AtomicBool,
    /// Counted over all archives.
    pub bytes: u64,
    pub members: u64,
    /// Device nodes, FIFOs and sockets, which were left out.
    pub special_files: u64,
}

impl<'a> Unpacker<'a> {
    pub(super) fn new(inside: &'a Inside, bin: Bin, interrupted: &'a AtomicBool) -> Self {
        Self { inside, bin, interrupted, bytes: 0, members: 0, special_files: 0 }
    }

    /// Removes what the whiteouts in `layer` hide, and returns whether there were any. They mean the layers below,
    /// wherever in a layer they stand, so all of them come before the rest of it.
    pub(super) fn hide(&mut self, layer: &mut dyn Read, name: &str) -> Result<bool, RootfsError> {
        let mut any = false;
        for_each(layer, name, self.interrupted, |path, _| {
            let Some((parent, own)) = split(path) else { return Ok(()) };
            let parent = match own.as_bytes() {
                _ if !own.as_bytes().starts_with(WHITEOUT) => return Ok(()),
                OPAQUE => parent,
                own if own.starts_with(BOOKKEEPING) => return Ok(()),
                own => {
                    any = true;
                    return self.hide_one(parent, &own[WHITEOUT.len()..]);
                }
            };
            any = true;
            self.hide_all(parent)
        })?;
        Ok(any)
    }

    fn hide_one(&mut self, parent: &Path, hidden: &[u8]) -> Result<(), Problem> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(MemberProblem::Whiteout.into());
        }
        match self.inside.directory(parent) {
            Ok(parent) => Ok(self.bin.remove(parent.as_fd(), Path::new(OsStr::from_bytes(hidden)))?),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn hide_all(&mut self, directory: &Path) -> Result<(), Problem> {
        let directory = match self.inside.at(directory, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&directory)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(name);
            }
        }
        for name in names {
            self.bin.remove(directory.as_fd(), Path::new(OsStr::from_bytes(&name)))?;
        }
        Ok(())
    }

    /// Unpacks `tar`, which errors call `name`, over what is there.
    pub(super) fn unpack(&mut self, tar: &mut dyn Read, name: &str, kind: Kind) -> Result<(), RootfsError> {
        let (interrupted, start) = (self.interrupted, self.members);
        for_each(tar, name, interrupted, |path, entry| {
            self.members += 1;
            if self.members > MOST_MEMBERS {
                return Err(Problem::TooMuch(format!("{MOST_MEMBERS} files")));
            }
            let Some((parent, own)) = split(path) else { return Ok(()) };
            if kind == Kind::Layer && own.as_bytes().starts_with(WHITEOUT) {
                return Ok(());
            }
            self.place(parent, Path::new(own), entry)
        })?;
        tracing::debug!(archive = name, members = self.members - start, "unpacked");
        Ok(())
    }

    fn place(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &mut Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        match entry.header().entry_type() {
            EntryType::Directory => self.make_directory(parent, name, entry),
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.write_file(parent, name, entry)
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().ok_or(MemberProblem::LinkEscapes)?;
                let parent = self.make_way(parent, name)?;
                Ok(symlinkat(Path::new(OsStr::from_bytes(&target)), &parent, name)?)
            }
            EntryType::Link => self.make_link(parent, name, entry),
            EntryType::Char | EntryType::Block | EntryType::Fifo => {
                self.special_files += 1;
                Ok(())
            }
            // Settings for all members that follow, such as a comment with a commit's id.
            EntryType::XGlobalHeader => Ok(()),
            other => Err(MemberProblem::Type(other.as_byte()).into()),
        }
    }

    /// Opens the directory `parent`, and removes what is in the place of something new.
    fn make_way(&mut self, parent: &Path, name: &Path) -> Result<OwnedFd, Problem> {
        let parent = self.inside.make_directories(parent)?;
        self.bin.remove(parent.as_fd(), name)?;
        Ok(parent)
    }

    fn make_directory(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        let parent = self.inside.make_directories(parent)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) => {
                self.bin.remove(parent.as_fd(), name)?;
                mkdirat(&parent, name, Mode::RWXU)?;
            }
            Err(Errno::NOENT) => mkdirat(&parent, name, Mode::RWXU)?,
            Err(error) => return Err(error.into()),
        }
        // Whoever unpacks has to get in again, and builds have to read.
        Ok(set_mode(parent.as_fd(), name, mode_of(entry, 0o755) & 0o1777 | 0o700)?)
    }

    fn write_file(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &mut Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        let mode = mode_of(entry, 0o644) & 0o777 | 0o400;
        let seconds =
            entry.header().mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0);
        let parent = self.make_way(parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&parent, name, flags, Mode::RUSR | Mode::WUSR)?);
        let mut buffer = [0; 64 << 10];
        loop {
            let count = match entry.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Problem::Archive(error)),
            };
            self.bytes += count as u64;
            if self.bytes > MOST_BYTES {
                return Err(Problem::TooMuch(format!("{} GiB", MOST_BYTES >> 30)));
            }
            file.write_all(&buffer[..count])
                .map_err(|error| Problem::from(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        }
        fchmod(&file, Mode::from_raw_mode(mode))?;
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        Ok(futimens(&file, &Timestamps { last_access: time, last_modification: time })?)
    }

    fn make_link(
        &mut self,
        parent: &Path,
        name: &Path,
        entry: &Entry<'_, &mut dyn Read>,
    ) -> Result<(), Problem> {
        let target = entry.link_name_bytes().ok_or(MemberProblem::LinkEscapes)?;
        let target = plain_path(&target).ok_or(MemberProblem::LinkEscapes)?;
        let (target_parent, target_name) = split(&target).ok_or(MemberProblem::LinkEscapes)?;
        let target_parent = self.inside.directory(target_parent)?;
        let target = statat(&target_parent, target_name, AtFlags::SYMLINK_NOFOLLOW)?;
        let parent = self.inside.make_directories(parent)?;
        match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // A link to itself, which must not be removed first.
            Ok(there) if (there.st_dev, there.st_ino) == (target.st_dev, target.st_ino) => return Ok(()),
            _ => self.bin.remove(parent.as_fd(), name)?,
        }
        Ok(linkat(&target_parent, target_name, &parent, name, AtFlags::empty())?)
    }
}

/// Why a member could not be unpacked; [`for_each`] knows which it was.
enum Problem {
    Member(MemberProblem),
    Archive(io::Error),
    TooMuch(String),
}

impl From<MemberProblem> for Problem {
    fn from(problem: MemberProblem) -> Self {
        Self::Member(problem)
    }
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        Self::Member(MemberProblem::Write(error))
    }
}

/// Calls `act` for every member with its name, in which no part is empty, `.` or `..`.
fn for_each<'r>(
    tar: &'r mut dyn Read,
    name: &str,
    interrupted: &AtomicBool,
    mut act: impl FnMut(&Path, &mut Entry<'_, &'r mut dyn Read>) -> Result<(), Problem>,
) -> Result<(), RootfsError> {
    let unreadable = |source: io::Error| match interrupted.load(Ordering::Relaxed) {
        true => RootfsError::Interrupted,
        false => RootfsError::Archive { archive: name.to_owned(), source },
    };
    let mut archive = Archive::new(tar);
    for entry in archive.entries().map_err(unreadable)? {
        if interrupted.load(Ordering::Relaxed) {
            return Err(RootfsError::Interrupted);
        }
        let mut entry = entry.map_err(unreadable)?;
        let bytes = entry.path_bytes().into_owned();
        let member = |problem| RootfsError::Member {
            archive: name.to_owned(),
            member: String::from_utf8_lossy(&bytes).into_owned(),
            problem,
        };
        let sparse = |key: &str| key.starts_with("GNU.sparse.");
        if let Some(extensions) = entry.pax_extensions().map_err(unreadable)? {
            for extension in extensions.flatten() {
                if extension.key().is_ok_and(sparse) {
                    return Err(member(MemberProblem::Sparse));
                }
            }
        }
        let path = plain_path(&bytes).ok_or_else(|| member(MemberProblem::Escapes))?;
        act(&path, &mut entry).map_err(|problem| match problem {
            Problem::Member(problem) => member(problem),
            Problem::Archive(source) => unreadable(source),
            Problem::TooMuch(limit) => RootfsError::TooMuch { archive: name.to_owned(), limit },
        })?;
    }
    Ok(())
}

/// A name as a relative path without empty parts and `.`; none if there is a `..` in it. (What else is wrong with a
/// name the kernel says.)
fn plain_path(name: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return None,
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Some(path)
}

/// The directory and the name in it; none for the root itself.
fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

fn mode_of(entry: &Entry<'_, &mut dyn Read>, default: u32) -> u32 {
    entry.header().mode().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use proptest::prelude::*;

    use super::*;

    /// A member with any name at all; `Builder` would refuse some.
    fn member(tar: &mut Vec<u8>, kind: EntryType, name: &[u8], link: &[u8], contents: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o6755);
        header.set_size(contents.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name);
        gnu.linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(contents);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }

    /// A root in a directory in which something else lies, too.
    struct Scene {
        directory: tempfile::TempDir,
    }

    impl Scene {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs_err::create_dir(directory.path().join("root")).unwrap();
            fs_err::create_dir(directory.path().join("bin")).unwrap();
            fs_err::create_dir(directory.path().join("outside")).unwrap();
            fs_err::write(directory.path().join("outside/precious"), "precious").unwrap();
            Self { directory }
        }

        fn at(&self, path: &str) -> PathBuf {
            self.directory.path().join("root").join(path)
        }

        fn unpack(&self, layers: &[Vec<u8>], kind: Kind) -> Result<u64, RootfsError> {
            let inside = Inside::open(&self.at("")).unwrap();
            let parent: OwnedFd = fs_err::File::open(self.directory.path()).unwrap().into_parts().0.into();
            let interrupted = AtomicBool::new(false);
            let bin = Bin::new(parent.as_fd(), "bin").unwrap();
            let mut unpacker = Unpacker::new(&inside, bin, &interrupted);
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
                let mut names: Vec<_> =
                    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
                names.sort();
                names
            };
            assert_eq!(names(self.directory.path()), ["bin", "outside", "root"]);
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
        assert!(
            refused(EntryType::Link, b"l", b"../outside/precious").contains("is a link to a name with `..`")
        );
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
        let below =
            |path: &str, other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
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
}

//! The tree an archive describes, in memory: decides for each member in turn whether it may be placed.
//! Knows nothing of formats, and never looks at the disk.

use std::collections::HashMap;

use super::links;
use super::member::{FileMode, Member, MemberKind, MemberPath, Mtime};
use super::node::Node;
use super::rule::Rule;
use crate::contract::ArchiveLimits;

/// Most bytes of names and link targets to remember; what real archives have is a tenth of it.
const NAME_BYTES: usize = 32 << 20;

/// What to do for a member that may be placed. Symlinks come last, so there is nothing to do for them yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// Directories to make, parents first.
    pub new_directories: Vec<String>,
    pub action: Action,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing beyond the directories.
    None,
    /// Write the contents, over the earlier file if there is one.
    Write { mode: FileMode, replace: bool },
    /// Copy the file unpacked before at `source`, over the earlier file if there is one.
    Copy { source: MemberPath, replace: bool },
}

/// All that has been placed so far.
pub(super) struct Layout<'l> {
    limits: &'l ArchiveLimits,
    archive_bytes: u64,
    nodes: HashMap<Box<str>, Node>,
    /// Symlinks in the order of the archive.
    symlinks: Vec<Box<str>>,
    top_level: Option<String>,
    name_bytes: usize,
    /// Members so far.
    pub members: u64,
    /// Bytes of all files so far.
    pub bytes: u64,
    /// See [`SourceTree::has_native_sources`](super::unpack::SourceTree::has_native_sources).
    pub has_native_sources: bool,
}

impl<'l> Layout<'l> {
    /// `archive_bytes` is the size of the archive file.
    pub(super) fn new(limits: &'l ArchiveLimits, archive_bytes: u64) -> Self {
        Self {
            limits,
            archive_bytes,
            nodes: HashMap::new(),
            symlinks: Vec::new(),
            top_level: None,
            name_bytes: 0,
            members: 0,
            bytes: 0,
            has_native_sources: false,
        }
    }

    /// Decides on the next member. After an error the layout is of no more use.
    pub(super) fn place(&mut self, member: &Member) -> Result<Placement, Rule> {
        self.members += 1;
        self.check_members(self.members)?;
        let path = member.path.as_str();
        if path.is_empty() {
            return match member.kind {
                MemberKind::Directory => Ok(Placement { new_directories: Vec::new(), action: Action::None }),
                _ => Err(Rule::EmptyName),
            };
        }
        self.check_top_level(member)?;
        self.has_native_sources |= !matches!(member.kind, MemberKind::Directory) && is_native_source(path);

        let mut new_directories = Vec::new();
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.place_parents(parent, &mut new_directories)?;
        }
        let action = match &member.kind {
            MemberKind::Directory => {
                let node = Node::Directory { mtime: member.mtime };
                if !self.put(path, node)? {
                    new_directories.push(path.to_owned());
                }
                Action::None
            }
            MemberKind::File { size, mode } => {
                self.count_bytes(*size)?;
                Action::Write { mode: *mode, replace: self.put(path, Node::File { size: *size })? }
            }
            MemberKind::Symlink { target } => {
                self.put(path, Node::Symlink { target: target.as_str().into(), mtime: member.mtime })?;
                Action::None
            }
            MemberKind::Hardlink { target } => self.place_hardlink(path, target)?,
        };
        Ok(Placement { new_directories, action })
    }

    fn check_top_level(&mut self, member: &Member) -> Result<(), Rule> {
        let top_level = self.top_level.get_or_insert_with(|| member.path.top_level().to_owned());
        if member.path.as_str() == member.path.top_level() && !matches!(member.kind, MemberKind::Directory) {
            return Err(Rule::FileAtTopLevel);
        }
        if member.path.top_level() != top_level {
            return Err(Rule::SeveralTopLevels { top_level: super::error::shown(top_level.as_bytes()) });
        }
        Ok(())
    }

    /// Makes `parent` and what is above it directories, where they are nothing yet.
    fn place_parents(&mut self, parent: &str, new_directories: &mut Vec<String>) -> Result<(), Rule> {
        if matches!(self.nodes.get(parent), Some(Node::Directory { .. })) {
            return Ok(());
        }
        let ends = parent.match_indices('/').map(|(at, _)| at).chain([parent.len()]);
        for directory in ends.map(|end| &parent[..end]) {
            match self.nodes.get(directory) {
                Some(Node::Directory { .. }) => {}
                Some(Node::Symlink { .. }) => {
                    return Err(Rule::ThroughSymlink { link: super::error::shown(directory.as_bytes()) });
                }
                Some(Node::File { .. }) => {
                    return Err(Rule::BelowFile { file: super::error::shown(directory.as_bytes()) });
                }
                None => {
                    self.put(directory, Node::Directory { mtime: Mtime::FIRST })?;
                    new_directories.push(directory.to_owned());
                }
            }
        }
        Ok(())
    }

    fn place_hardlink(&mut self, path: &str, target: &MemberPath) -> Result<Action, Rule> {
        match self.nodes.get(target.as_str()) {
            // `tar cf x.tar a a` links a file to itself.
            Some(Node::File { .. }) if path == target.as_str() => Ok(Action::None),
            Some(&Node::File { size }) => {
                self.count_bytes(size)?;
                let replace = self.put(path, Node::File { size })?;
                Ok(Action::Copy { source: target.clone(), replace })
            }
            // The same text at another place; where it leads from there is checked like any symlink.
            Some(Node::Symlink { target, mtime }) => {
                let node = Node::Symlink { target: target.clone(), mtime: *mtime };
                self.put(path, node)?;
                Ok(Action::None)
            }
            Some(Node::Directory { .. }) | None => {
                Err(Rule::HardlinkTargetMissing { target: super::error::shown(target.as_str().as_bytes()) })
            }
        }
    }

    /// Puts `node` at `path`; true when it replaces one of the same type. Another type is refused.
    fn put(&mut self, path: &str, node: Node) -> Result<bool, Rule> {
        if let Node::Symlink { target, .. } = &node {
            self.count_name(target.len())?;
        }
        if let Some(earlier) = self.nodes.get_mut(path) {
            if earlier.title() != node.title() {
                return Err(Rule::TypeChanged { earlier: earlier.title(), now: node.title() });
            }
            *earlier = node;
            return Ok(true);
        }
        self.count_name(path.len())?;
        self.check_members(self.nodes.len() as u64 + 1)?;
        if matches!(node, Node::Symlink { .. }) {
            self.symlinks.push(path.into());
        }
        self.nodes.insert(path.into(), node);
        Ok(false)
    }

    fn check_members(&self, members: u64) -> Result<(), Rule> {
        if members > self.limits.members {
            return Err(Rule::TooManyMembers { limit: self.limits.members });
        }
        Ok(())
    }

    fn count_bytes(&mut self, size: u64) -> Result<(), Rule> {
        self.bytes = self.bytes.saturating_add(size);
        self.limits.check_bytes(self.bytes, self.archive_bytes)
    }

    fn count_name(&mut self, length: usize) -> Result<(), Rule> {
        self.name_bytes += length;
        if self.name_bytes > NAME_BYTES {
            return Err(Rule::TooManyNameBytes { limit: NAME_BYTES });
        }
        Ok(())
    }

    /// Checks what only the whole tree can show, and returns the top-level directory. A rule that a symlink
    /// breaks comes with the name of the symlink.
    pub(super) fn finish(&self) -> Result<&str, (Option<&str>, Rule)> {
        let top_level = self.top_level.as_deref().ok_or((None, Rule::NoTopLevel))?;
        let mut resolver = links::Resolver::new(top_level, &self.nodes);
        for link in &self.symlinks {
            resolver.check(link).map_err(|rule| (Some(&**link), rule))?;
        }
        Ok(top_level)
    }

    /// Path, target and mtime of every symlink.
    pub(super) fn symlinks(&self) -> impl Iterator<Item = (&str, &str, Mtime)> {
        self.symlinks.iter().filter_map(|path| match self.nodes.get(path) {
            Some(Node::Symlink { target, mtime }) => Some((&**path, &**target, *mtime)),
            _ => None,
        })
    }

    /// Path and mtime of every directory, in no order.
    pub(super) fn directories(&self) -> impl Iterator<Item = (&str, Mtime)> {
        self.nodes.iter().filter_map(|(path, node)| match node {
            Node::Directory { mtime } => Some((&**path, *mtime)),
            _ => None,
        })
    }
}

fn is_native_source(path: &str) -> bool {
    const SUFFIXES: [&str; 31] = [
        "c", "cc", "cpp", "cxx", "c++", "pyx", "pxd", "pxi", "rs", "s", "asm", "f", "for", "ftn", "f77",
        "f90", "f95", "f03", "f08", "pyf", "go", "cu", "m", "mm", "i", "swg", "swift", "zig", "nim", "cppm",
        "ixx",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.')
        .is_some_and(|(_, suffix)| SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, kind: MemberKind) -> Member {
        Member { path: path(name), kind, mtime: Mtime::FIRST }
    }

    fn path(name: &str) -> MemberPath {
        MemberPath::new(name.as_bytes(), &ArchiveLimits::default()).unwrap()
    }

    fn file(size: u64) -> MemberKind {
        MemberKind::File { size, mode: FileMode::DEFAULT }
    }

    #[test]
    fn parents_are_made_once_and_in_order() {
        let limits = ArchiveLimits::default();
        let mut layout = Layout::new(&limits, 1);
        let placed = layout.place(&member("pkg/a/b/c.py", file(1))).unwrap();
        assert_eq!(placed.new_directories, ["pkg", "pkg/a", "pkg/a/b"]);
        assert_eq!(placed.action, Action::Write { mode: FileMode::DEFAULT, replace: false });
        let placed = layout.place(&member("pkg/a/b/c.py", file(1))).unwrap();
        assert_eq!(placed.new_directories, Vec::<String>::new());
        assert_eq!(placed.action, Action::Write { mode: FileMode::DEFAULT, replace: true });
        assert_eq!(layout.finish().unwrap(), "pkg");
    }

    #[test]
    fn copies_of_hard_links_count_as_bytes() {
        let limits = ArchiveLimits { bytes: 25, ..ArchiveLimits::default() };
        let mut layout = Layout::new(&limits, 1);
        layout.place(&member("pkg/a", file(10))).unwrap();
        layout.place(&member("pkg/b", MemberKind::Hardlink { target: path("pkg/a") })).unwrap();
        let third = layout.place(&member("pkg/c", MemberKind::Hardlink { target: path("pkg/b") }));
        assert_eq!(third.unwrap_err(), Rule::TooManyBytes { limit: 25 });
    }

    #[test]
    fn directories_without_a_member_count_as_members() {
        let limits = ArchiveLimits { members: 5, ..ArchiveLimits::default() };
        let mut layout = Layout::new(&limits, 1);
        layout.place(&member("pkg/a/b/c/d", file(0))).unwrap();
        let second = layout.place(&member("pkg/x", file(0)));
        assert_eq!(second.unwrap_err(), Rule::TooManyMembers { limit: 5 });
    }

    #[test]
    fn native_sources_are_known_by_their_suffix() {
        for name in
            ["a/b.c", "a/b.PYX", "a/b.rs", "a/.c", "a/b.S", "a/b.f90", "a/b.F", "a/b.go", "a/b.cu", "a/b.mm"]
        {
            assert!(is_native_source(name), "{name}");
        }
        for name in ["a/b.h", "a/c", "a.c/b", "a/b.cs"] {
            assert!(!is_native_source(name), "{name}");
        }
    }
}

//! One member of an archive, whatever the format, with its name made canonical.
//! Knows nothing of the other members.

use super::error::Trouble;
use super::rule::Rule;
use crate::contract::ArchiveLimits;

/// Longest path and longest part of one that Linux takes, in bytes.
const PATH_BYTES: usize = 4095;
const PART_BYTES: usize = 255;

/// 1980-01-01T00:00:00Z and 2107-12-31T23:59:58Z: what the time stamps of a zip, and so of a wheel, can hold.
const FIRST_MTIME: i64 = 315_532_800;
const LAST_MTIME: i64 = 4_354_819_198;

/// A file, directory or link of an archive, without its contents.
#[derive(Debug)]
pub(super) struct Member {
    pub path: MemberPath,
    pub kind: MemberKind,
    pub mtime: Mtime,
}

/// What a member is.
#[derive(Debug)]
pub(super) enum MemberKind {
    File { size: u64, mode: FileMode },
    Directory,
    Symlink { target: String },
    Hardlink { target: MemberPath },
}

/// The contents of a regular file, piece by piece.
pub(super) trait Content {
    /// The next piece; empty at the end.
    fn chunk(&mut self) -> Result<&[u8], Trouble>;
}

/// Takes the members of an archive in the archive's order.
pub(super) trait Receiver {
    /// `content` holds something for files only. What is not taken from it is skipped.
    fn member(&mut self, member: &Member, content: &mut dyn Content) -> Result<(), Trouble>;
}

/// A relative path without empty, `.` and `..` parts, short enough for Linux. Empty for the root of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberPath(String);

impl MemberPath {
    /// Makes `name` canonical, or says which rule it breaks.
    pub(super) fn new(name: &[u8], limits: &ArchiveLimits) -> Result<Self, Rule> {
        if name.is_empty() {
            return Err(Rule::EmptyName);
        }
        if name.contains(&0) {
            return Err(Rule::NulInName);
        }
        let name = std::str::from_utf8(name).map_err(|_| Rule::NameNotUtf8)?;
        if name.starts_with('/') {
            return Err(Rule::AbsoluteName);
        }
        let mut path = String::with_capacity(name.len().min(PATH_BYTES));
        let mut depth = 0;
        for part in name.split('/') {
            match part {
                "" | "." => continue,
                ".." => return Err(Rule::EscapingName),
                _ if part.len() > PART_BYTES => return Err(Rule::NameTooLong),
                _ => {}
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            depth += 1;
            if depth > limits.depth {
                return Err(Rule::TooDeep { limit: limits.depth });
            }
        }
        if path.len() > PATH_BYTES {
            return Err(Rule::NameTooLong);
        }
        Ok(Self(path))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The first part.
    pub(super) fn top_level(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(first, _)| first)
    }
}

/// The target of a symlink: a relative path of any shape.
pub(super) fn symlink_target(target: &[u8]) -> Result<String, Rule> {
    if target.is_empty() || target.len() > PATH_BYTES || target.contains(&0) {
        return Err(Rule::BadLinkTarget);
    }
    let target = std::str::from_utf8(target).map_err(|_| Rule::BadLinkTarget)?;
    if target.starts_with('/') {
        return Err(Rule::AbsoluteSymlink { target: super::error::shown(target.as_bytes()) });
    }
    Ok(target.to_owned())
}

/// Permission bits of a file as PEP 706's data filter leaves them: no set-id or sticky bit, nobody but the
/// owner writes, the owner reads and writes, and nobody executes what the owner may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileMode(u32);

impl FileMode {
    /// The mode of a file whose archive has none to say.
    pub(super) const DEFAULT: Self = Self(0o644);

    pub(super) fn filtered(mode: u32) -> Self {
        let executable = if mode & 0o100 == 0 { 0 } else { 0o111 };
        Self(mode & (0o644 | executable) | 0o600)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

/// Modification time in seconds since 1970, within what a zip can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mtime(i64);

impl Mtime {
    /// 1980-01-01, for what has no time of its own.
    pub(super) const FIRST: Self = Self(FIRST_MTIME);

    pub(super) fn clamped(seconds: i64) -> Self {
        Self(seconds.clamp(FIRST_MTIME, LAST_MTIME))
    }

    pub(super) fn seconds(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &[u8]) -> Result<String, Rule> {
        MemberPath::new(name, &ArchiveLimits::default()).map(|path| path.0)
    }

    #[test]
    fn names_become_canonical() {
        assert_eq!(path(b"./pkg-1.0//a/./b/").unwrap(), "pkg-1.0/a/b");
        assert_eq!(path(b"pkg-1.0/..a/b..").unwrap(), "pkg-1.0/..a/b..");
        assert_eq!(path(b"./").unwrap(), "");
    }

    #[test]
    fn names_that_could_lead_elsewhere_are_refused() {
        assert_eq!(path(b"").unwrap_err(), Rule::EmptyName);
        assert_eq!(path(b"/pkg/a").unwrap_err(), Rule::AbsoluteName);
        assert_eq!(path(b"pkg/../pkg/a").unwrap_err(), Rule::EscapingName);
        assert_eq!(path(b"pkg/a\0b").unwrap_err(), Rule::NulInName);
        assert_eq!(path(b"pkg/\xff").unwrap_err(), Rule::NameNotUtf8);
        assert_eq!(path(&[b'a'; 256]).unwrap_err(), Rule::NameTooLong);
        assert_eq!(path(&b"a/".repeat(65)).unwrap_err(), Rule::TooDeep { limit: 64 });
        let deep = ArchiveLimits { depth: 10_000, ..ArchiveLimits::default() };
        assert_eq!(MemberPath::new(&b"a/".repeat(2049), &deep).unwrap_err(), Rule::NameTooLong);
    }

    #[test]
    fn modes_follow_the_data_filter_of_pep_706() {
        for (mode, filtered) in
            [(0o644, 0o644), (0o777, 0o755), (0o6755, 0o755), (0o1666, 0o644), (0o000, 0o600), (0o677, 0o644)]
        {
            assert_eq!(FileMode::filtered(mode).bits(), filtered, "{mode:o}");
        }
    }
}

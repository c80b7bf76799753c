//! Why an archive was not unpacked: a rule it breaks, or an I/O error of ours.
//! Knows nothing of formats; the parts that read them say which rule was broken.

use std::io;
use std::path::{Path, PathBuf};

use super::rule::Rule;

/// Why [`unpack`](super::unpack::unpack) or [`read_top_level_files`](super::unpack::read_top_level_files) stopped.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive breaks a rule; the same archive will always be refused.
    #[error("{}: {}{rule}", archive.display(), subject(member.as_deref()))]
    Refused {
        /// The archive.
        archive: PathBuf,
        /// Name of the member at fault, with control characters escaped; none when it is the archive as a
        /// whole.
        member: Option<String>,
        /// The rule it breaks.
        rule: Rule,
    },
    /// The archive could not be read from disk.
    #[error("cannot read the archive {}: {source}", archive.display())]
    Read {
        /// The archive.
        archive: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something could not be written below the destination.
    #[error("cannot write {} while unpacking {}: {source}", path.display(), archive.display())]
    Write {
        /// The archive.
        archive: PathBuf,
        /// The file, directory or link that was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ArchiveError {
    /// True when the archive is at fault, false when this machine is (disk full, no permission, ...).
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// What can be done about it, where something can.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { rule, .. } => rule.hint(),
            Self::Read { .. } | Self::Write { .. } => {
                Some("this is a problem of the machine, not of the archive: check free space and permissions")
            }
        }
    }
}

/// The start of a sentence that a [`Rule`] ends.
fn subject(member: Option<&str>) -> String {
    match member {
        Some(member) => format!("member `{member}` "),
        None => "the archive ".to_owned(),
    }
}

/// [`ArchiveError`] before the path of the archive is known to it.
#[derive(Debug)]
pub(super) enum Trouble {
    Refused { member: Option<String>, rule: Rule },
    Read(io::Error),
    Write { path: PathBuf, source: io::Error },
}

impl Trouble {
    /// Names the member at fault, unless one was named already.
    pub(super) fn in_member(self, name: &[u8]) -> Self {
        match self {
            Self::Refused { member: None, rule } => Self::Refused { member: Some(shown(name)), rule },
            other => other,
        }
    }

    /// Tells an error of the disk from one that a decompressor found in the data.
    pub(super) fn from_decoder(error: io::Error) -> Self {
        if error.raw_os_error().is_some() {
            Self::Read(error)
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            Rule::Truncated.into()
        } else {
            Rule::Corrupt(error.to_string()).into()
        }
    }

    /// A rule that the tree as a whole breaks, and the member to name if it is one.
    pub(super) fn from_layout((member, rule): (Option<&str>, Rule)) -> Self {
        Self::Refused { member: member.map(|name| shown(name.as_bytes())), rule }
    }

    /// The error to report about `archive`.
    pub(super) fn about(self, archive: &Path) -> ArchiveError {
        let archive = archive.to_owned();
        match self {
            Self::Refused { member, rule } => ArchiveError::Refused { archive, member, rule },
            Self::Read(source) => ArchiveError::Read { archive, source },
            Self::Write { path, source } => ArchiveError::Write { archive, path, source },
        }
    }
}

impl From<Rule> for Trouble {
    fn from(rule: Rule) -> Self {
        Self::Refused { member: None, rule }
    }
}

/// A foreign name as a message may show it: one line, no control characters, not too long.
pub(super) fn shown(name: &[u8]) -> String {
    const MOST: usize = 300;
    let text = String::from_utf8_lossy(name);
    let mut shown = String::with_capacity(text.len().min(MOST));
    for (index, character) in text.chars().enumerate() {
        match character {
            _ if index == MOST => {
                shown.push('…');
                break;
            }
            '\'' | '"' | '\\' => shown.push(character),
            _ => shown.extend(character.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_on_one_line_without_control_characters() {
        assert_eq!(shown(b"pkg-1.0/it's"), "pkg-1.0/it's");
        assert_eq!(shown(b"a\n\x1b[31m\0"), "a\\n\\u{1b}[31m\\0");
        assert_eq!(shown("größe".as_bytes()), "größe");
        assert_eq!(shown(&[b'x'; 5000]).chars().count(), 301);
    }

    #[test]
    fn a_refusal_names_member_and_rule() {
        let error = Trouble::from(Rule::AbsoluteName).in_member(b"/etc/passwd").about(Path::new("x.tar"));
        assert!(error.is_refusal());
        assert_eq!(error.to_string(), "x.tar: member `/etc/passwd` has an absolute name");
    }

    #[test]
    fn an_error_of_the_disk_is_not_the_archives_fault() {
        let full = Trouble::from_decoder(io::Error::from_raw_os_error(28)).about(Path::new("x.tar"));
        assert!(!full.is_refusal());
        assert!(full.hint().unwrap().contains("not of the archive"));
        let cut =
            Trouble::from_decoder(io::Error::from(io::ErrorKind::UnexpectedEof)).about(Path::new("x.tar"));
        assert!(cut.is_refusal());
    }
}

//! Keeps a few files of an archive's top-level directory in memory, and writes nothing.
//! Knows nothing of what they mean.

use std::collections::BTreeMap;

use super::error::Trouble;
use super::layout::Layout;
use super::member::{Content, Member, MemberKind, MemberPath, Receiver};
use super::rule::Rule;
use crate::contract::ArchiveLimits;

/// Largest file that is kept, in bytes.
const FILE_BYTES: u64 = 4 << 20;

/// Receives the files asked for.
pub(super) struct TopLevelCapture<'c> {
    names: &'c [&'c str],
    layout: Layout<'c>,
    files: BTreeMap<String, Vec<u8>>,
}

impl<'c> TopLevelCapture<'c> {
    pub(super) fn new(names: &'c [&'c str], limits: &'c ArchiveLimits, archive_bytes: u64) -> Self {
        Self { names, layout: Layout::new(limits, archive_bytes), files: BTreeMap::new() }
    }

    /// The top-level directory and the files found in it.
    pub(super) fn finish(self) -> Result<(String, BTreeMap<String, Vec<u8>>), Trouble> {
        let top_level = self.layout.finish().map_err(Trouble::from_layout)?.to_owned();
        Ok((top_level, self.files))
    }
}

impl Receiver for TopLevelCapture<'_> {
    fn member(&mut self, member: &Member, content: &mut dyn Content) -> Result<(), Trouble> {
        self.layout.place(member)?;
        let Some(name) = self.wanted(&member.path) else { return Ok(()) };
        match &member.kind {
            MemberKind::File { size, .. } if *size > FILE_BYTES => {
                Err(Rule::FileTooLarge { limit: FILE_BYTES }.into())
            }
            MemberKind::File { .. } => {
                let contents = read_all(content)?;
                self.files.insert(name.to_owned(), contents);
                Ok(())
            }
            // Takes the place of an earlier file, with contents that are known only if they were wanted.
            MemberKind::Hardlink { target } => {
                match self.wanted(target).and_then(|target| self.files.get(target)).cloned() {
                    Some(contents) => self.files.insert(name.to_owned(), contents),
                    None => self.files.remove(name),
                };
                Ok(())
            }
            MemberKind::Directory | MemberKind::Symlink { .. } => Ok(()),
        }
    }
}

impl<'c> TopLevelCapture<'c> {
    /// The name asked for that `path` has in the top-level directory.
    fn wanted(&self, path: &MemberPath) -> Option<&'c str> {
        let (_, below) = path.as_str().split_once('/')?;
        self.names.iter().copied().find(|&name| name == below)
    }
}

fn read_all(content: &mut dyn Content) -> Result<Vec<u8>, Trouble> {
    let mut contents = Vec::new();
    loop {
        match content.chunk()? {
            [] => return Ok(contents),
            piece => contents.extend_from_slice(piece),
        }
    }
}

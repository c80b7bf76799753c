//! Keeps a few files of an archive's top-level directory in memory, and writes nothing.
//! Knows nothing of what they mean.

use std::collections::BTreeMap;

use super::Limits;
use super::error::Trouble;
use super::layout::Layout;
use super::member::{Content, Member, MemberKind, Receiver};
use super::rule::Rule;

/// Largest file that is kept, in bytes.
const FILE_BYTES: u64 = 4 << 20;

/// Receives the files asked for.
pub(super) struct TopLevelCapture<'c> {
    names: &'c [&'c str],
    layout: Layout<'c>,
    files: BTreeMap<String, Vec<u8>>,
}

impl<'c> TopLevelCapture<'c> {
    pub(super) fn new(names: &'c [&'c str], limits: &'c Limits, archive_bytes: u64) -> Self {
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
        let Some((_, name)) = member.path.as_str().split_once('/') else { return Ok(()) };
        let MemberKind::File { size, .. } = member.kind else { return Ok(()) };
        if !self.names.contains(&name) {
            return Ok(());
        }
        if size > FILE_BYTES {
            return Err(Rule::FileTooLarge { limit: FILE_BYTES }.into());
        }
        let mut contents = Vec::new();
        loop {
            match content.chunk()? {
                [] => break,
                piece => contents.extend_from_slice(piece),
            }
        }
        self.files.insert(name.to_owned(), contents);
        Ok(())
    }
}

//! Reads a tar stream header by header, and puts the members together of what several headers say.
//! Knows nothing of where members go, nor whether they may.

use std::io::Read;

use super::block::{BLOCK, is_zero, padding};
use super::header::Header;
use super::pax::Records;
use crate::archive::error::{Trouble, shown};
use crate::archive::member::{
    Content, FileMode, Member, MemberKind, MemberPath, Mtime, Receiver, symlink_target,
};
use crate::archive::rule::Rule;
use crate::archive::stream::Stream;
use crate::contract::ArchiveLimits;

/// Largest PAX header or GNU long name; real ones stay below a few thousand bytes.
const EXTENDED_HEADER_BYTES: u64 = 1 << 20;

/// Whether a file that starts with these bytes may be an uncompressed tar.
pub(crate) fn starts_like_a_tar(first: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK]>::try_from(first) else { return false };
    is_zero(block) || Header::parse(block).is_some()
}

/// Gives every member of the tar in `stream` to `receiver`, and reads the stream to its end.
pub(crate) fn read<'l, R: Read>(
    stream: &mut Stream<'l, R>,
    limits: &'l ArchiveLimits,
    receiver: &mut dyn Receiver,
) -> Result<(), Trouble> {
    let mut reader = TarReader { stream, limits, global: Records::default(), latest: Vec::new() };
    reader.read(receiver)
}

struct TarReader<'s, 'l, R> {
    stream: &'s mut Stream<'l, R>,
    limits: &'l ArchiveLimits,
    /// What global PAX headers said so far.
    global: Records,
    /// Name of the latest member, for an error about what follows it.
    latest: Vec<u8>,
}

/// What the headers before a member's own say about it.
#[derive(Default)]
struct Extensions {
    pax: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_target.is_none()
    }
}

impl<'l, R: Read> TarReader<'_, 'l, R> {
    fn read(&mut self, receiver: &mut dyn Receiver) -> Result<(), Trouble> {
        let mut extensions = Extensions::default();
        while let Some(header) = self.next_header()? {
            let contents = self.extended(&header, &mut extensions);
            if !contents.map_err(|trouble| trouble.in_member(&header.name()))? {
                self.member(&header, std::mem::take(&mut extensions), receiver)?;
            }
        }
        if !extensions.is_empty() {
            return Err(Rule::Truncated.into());
        }
        self.stream.expect_zeros()
    }

    /// The next header; none at the end, be it two blocks of zeros or, as some writers have it, nothing.
    fn next_header(&mut self) -> Result<Option<Header>, Trouble> {
        let mut block = [0; BLOCK];
        if !self.stream.fill(&mut block)? || is_zero(&block) {
            return Ok(None);
        }
        Header::parse(&block).map(Some).ok_or_else(|| match self.latest.as_slice() {
            [] => Rule::NotTar.into(),
            latest => Rule::NoHeaderAfter { member: shown(latest) }.into(),
        })
    }

    /// Reads a header that only says something about the next one; false when `header` is no such header.
    fn extended(&mut self, header: &Header, extensions: &mut Extensions) -> Result<bool, Trouble> {
        match header.kind() {
            b'x' | b'X' => {
                let records = Records::parse(&self.extended_contents(header)?)?;
                set_once(&mut extensions.pax, records)?;
            }
            b'g' => {
                let records = Records::parse(&self.extended_contents(header)?)?;
                records.check_global()?;
                self.global.mtime = records.mtime.or(self.global.mtime);
            }
            b'L' => {
                let name = self.extended_contents(header)?;
                set_once(&mut extensions.long_name, without_final_nuls(name))?;
            }
            b'K' => {
                let target = self.extended_contents(header)?;
                set_once(&mut extensions.long_target, without_final_nuls(target))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn extended_contents(&mut self, header: &Header) -> Result<Vec<u8>, Trouble> {
        let size = header.size()?;
        if size > EXTENDED_HEADER_BYTES {
            return Err(Rule::HeaderTooLarge { limit: EXTENDED_HEADER_BYTES }.into());
        }
        let mut contents = vec![0; size as usize];
        if size > 0 && !self.stream.fill(&mut contents)? {
            return Err(Rule::Truncated.into());
        }
        self.stream.skip(padding(size))?;
        Ok(contents)
    }

    /// Puts together what the headers say, and gives the member and its contents to `receiver`.
    fn member(
        &mut self,
        header: &Header,
        extensions: Extensions,
        receiver: &mut dyn Receiver,
    ) -> Result<(), Trouble> {
        let pax = extensions.pax.unwrap_or_default();
        let given = one_of(pax.path.as_deref(), extensions.long_name.as_deref());
        let name = match &given {
            Ok(Some(name)) => name.to_vec(),
            _ => header.name(),
        };
        let named = |trouble: Trouble| trouble.in_member(&name);
        given.map_err(|rule| named(rule.into()))?;
        let target = one_of(pax.link_path.as_deref(), extensions.long_target.as_deref())
            .map_err(|rule| named(rule.into()))?
            .map_or_else(|| header.target(), <[u8]>::to_vec);

        let (member, size) =
            self.assemble(header, &pax, &name, &target).map_err(|rule| named(rule.into()))?;
        self.latest.clone_from(&name);
        let mut content = TarContent { stream: self.stream, left: size };
        receiver.member(&member, &mut content).map_err(named)?;
        let left = content.left;
        self.stream.skip(left).map_err(named)?;
        self.stream.skip(padding(size)).map_err(named)
    }

    /// The member, and how many bytes of contents follow.
    fn assemble(
        &self,
        header: &Header,
        pax: &Records,
        name: &[u8],
        target: &[u8],
    ) -> Result<(Member, u64), Rule> {
        if pax.sparse {
            return Err(Rule::SparseFile);
        }
        let size = match pax.size {
            Some(size) => size,
            None => header.size()?,
        };
        let kind = self.kind(header, size, name, target)?;
        let mtime = match pax.mtime.or(self.global.mtime) {
            Some(seconds) => seconds,
            None => header.mtime()?,
        };
        let contents = if let MemberKind::File { size, .. } = kind { size } else { 0 };
        let path = MemberPath::new(name, self.limits)?;
        Ok((Member { path, kind, mtime: Mtime::clamped(mtime) }, contents))
    }

    fn kind(&self, header: &Header, size: u64, name: &[u8], target: &[u8]) -> Result<MemberKind, Rule> {
        Ok(match header.kind() {
            // Before ustar there was no type for directories, and some writers of today still go without.
            0 | b'0' if name.ends_with(b"/") => match size {
                0 => MemberKind::Directory,
                _ => return Err(Rule::UnexpectedData("directory")),
            },
            0 | b'0' | b'7' => MemberKind::File { size, mode: FileMode::filtered(header.mode()?) },
            // The size of a directory or symlink, where a writer sets it, is the one on its disk: no contents
            // follow (as Python's tarfile has it, too).
            b'5' => MemberKind::Directory,
            b'2' => MemberKind::Symlink { target: symlink_target(target)? },
            // For a hard link opinions differ on whether contents follow.
            b'1' if size > 0 => return Err(Rule::UnexpectedData("hard link")),
            b'1' => MemberKind::Hardlink {
                target: MemberPath::new(target, self.limits).map_err(|rule| bad_hardlink(rule, target))?,
            },
            b'3' => return Err(Rule::SpecialFile("character device")),
            b'4' => return Err(Rule::SpecialFile("block device")),
            b'6' => return Err(Rule::SpecialFile("FIFO")),
            b'S' => return Err(Rule::SparseFile),
            other => return Err(Rule::UnknownType(other)),
        })
    }
}

/// The contents of the member at hand.
struct TarContent<'s, 'l, R> {
    stream: &'s mut Stream<'l, R>,
    left: u64,
}

impl<R: Read> Content for TarContent<'_, '_, R> {
    fn chunk(&mut self) -> Result<&[u8], Trouble> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let piece = self.stream.take(self.left)?;
        if piece.is_empty() {
            return Err(Rule::Truncated.into());
        }
        self.left -= piece.len() as u64;
        Ok(piece)
    }
}

fn without_final_nuls(mut name: Vec<u8>) -> Vec<u8> {
    while name.last() == Some(&0) {
        name.pop();
    }
    name
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Result<(), Rule> {
    match slot.replace(value) {
        Some(_) => Err(Rule::TwoNames),
        None => Ok(()),
    }
}

/// The one of two that is there; tools disagree on which counts, so both may be there only if they agree.
fn one_of<'a>(pax: Option<&'a [u8]>, gnu: Option<&'a [u8]>) -> Result<Option<&'a [u8]>, Rule> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => Err(Rule::TwoNames),
        _ => Ok(pax.or(gnu)),
    }
}

fn bad_hardlink(rule: Rule, target: &[u8]) -> Rule {
    match rule {
        Rule::AbsoluteName | Rule::EscapingName => Rule::EscapingHardlink { target: shown(target) },
        _ => Rule::BadLinkTarget,
    }
}

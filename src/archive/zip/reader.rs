//! Reads the entries of a zip in the order in which they lie in the file, as the central directory has them.
//! Knows nothing of where members go, nor whether they may.

use std::fs::File;
use std::io::{self, BufReader, Read};

use super::directory::{Entry, EntryType};
use super::{directory, local};
use crate::archive::error::Trouble;
use crate::archive::member::{Content, Member, MemberKind, MemberPath, Receiver, symlink_target};
use crate::archive::rule::Rule;
use crate::contract::ArchiveLimits;

/// Compression methods (APPNOTE 4.4.5) that Python's `zipfile` and `shutil.make_archive` produce.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const BZIP2: u16 = 12;

/// Bytes decompressed at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// Gives every member of the zip to `receiver`. `raw` reads `file` from its start.
pub(crate) fn read(
    file: &File,
    file_bytes: u64,
    raw: impl Read,
    limits: &ArchiveLimits,
    receiver: &mut dyn Receiver,
) -> Result<(), Trouble> {
    let directory = directory::read(file, file_bytes, limits)?;
    let offsets = directory.entries.iter().map(|entry| entry.offset).chain([directory.offset]);
    if offsets.clone().next() != Some(0) {
        return Err(Rule::Malformed("it does not begin with its first member").into());
    }
    let mut reader = ZipReader {
        input: BufReader::with_capacity(BUFFER_BYTES, raw),
        buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
        limits,
    };
    for (entry, end) in directory.entries.iter().zip(offsets.skip(1)) {
        reader.member(entry, end, receiver).map_err(|trouble| trouble.in_member(&entry.name))?;
    }
    io::copy(&mut reader.input, &mut io::sink()).map_err(Trouble::Read)?;
    Ok(())
}

struct ZipReader<'l, R> {
    input: BufReader<R>,
    buffer: Box<[u8]>,
    limits: &'l ArchiveLimits,
}

impl<R: Read> ZipReader<'_, R> {
    /// Reads the entry that must end at `end`; the input is where it begins.
    fn member(&mut self, entry: &Entry, end: u64, receiver: &mut dyn Receiver) -> Result<(), Trouble> {
        let header_bytes = local::read_header(&mut self.input, entry)?;
        let room = end.checked_sub(entry.offset).and_then(|room| room.checked_sub(header_bytes));
        let behind = room.and_then(|room| room.checked_sub(entry.compressed)).ok_or(Rule::Overlap)?;
        self.contents(entry, receiver)?;
        local::read_descriptor(&mut self.input, entry, behind)
    }

    fn contents(&mut self, entry: &Entry, receiver: &mut dyn Receiver) -> Result<(), Trouble> {
        let mut compressed = self.input.by_ref().take(entry.compressed);
        let decoder: Box<dyn Read + '_> = match entry.method {
            STORED => Box::new(&mut compressed),
            DEFLATED => Box::new(flate2::bufread::DeflateDecoder::new(&mut compressed)),
            BZIP2 => Box::new(bzip2::bufread::BzDecoder::new(&mut compressed)),
            method => return Err(Rule::Method(method).into()),
        };
        let mut content = ZipContent {
            decoder,
            buffer: &mut self.buffer,
            crc: flate2::Crc::new(),
            size: entry.size,
            expected_crc: entry.crc,
            produced: 0,
        };
        let path = MemberPath::new(&entry.name, self.limits)?;
        let kind = match entry.kind {
            EntryType::File(mode) => MemberKind::File { size: entry.size, mode },
            EntryType::Directory => MemberKind::Directory,
            EntryType::Symlink => MemberKind::Symlink { target: read_target(&mut content)? },
        };
        receiver.member(&Member { path, kind, mtime: entry.mtime }, &mut content)?;
        while !content.chunk()?.is_empty() {}
        drop(content);
        if compressed.limit() > 0 {
            return Err(Rule::WrongSize.into());
        }
        Ok(())
    }
}

/// The target of a symlink, which zip has for its contents.
fn read_target(content: &mut ZipContent) -> Result<String, Trouble> {
    let mut target = Vec::new();
    loop {
        match content.chunk()? {
            [] => return Ok(symlink_target(&target)?),
            piece => target.extend_from_slice(piece),
        }
        if target.len() > BUFFER_BYTES {
            return Err(Rule::BadLinkTarget.into());
        }
    }
}

/// The contents of the entry at hand; the end of them comes only if size and checksum are right.
struct ZipContent<'z> {
    decoder: Box<dyn Read + 'z>,
    buffer: &'z mut [u8],
    crc: flate2::Crc,
    size: u64,
    expected_crc: u32,
    produced: u64,
}

impl Content for ZipContent<'_> {
    fn chunk(&mut self) -> Result<&[u8], Trouble> {
        let count = loop {
            match self.decoder.read(self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result.map_err(Trouble::from_decoder)?,
            }
        };
        self.produced += count as u64;
        if self.produced > self.size || (count == 0 && self.produced < self.size) {
            return Err(Rule::WrongSize.into());
        }
        self.crc.update(&self.buffer[..count]);
        if count == 0 && self.crc.sum() != self.expected_crc {
            return Err(Rule::WrongChecksum.into());
        }
        Ok(&self.buffer[..count])
    }
}

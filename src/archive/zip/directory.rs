//! The central directory of a zip: what entries there are, and where.
//! Knows nothing of the entries' own headers and contents.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;

use super::fields::{Fields, ZIP64, extra, read_bytes, widened};
use crate::archive::error::Trouble;
use crate::archive::member::{FileMode, Mtime};
use crate::archive::rule::Rule;
use crate::contract::ArchiveLimits;

/// Flags of an entry (APPNOTE 4.4.4).
pub(super) const ENCRYPTED: u16 = 1 << 0 | 1 << 6 | 1 << 13;
pub(super) const HAS_DESCRIPTOR: u16 = 1 << 3;
pub(super) const UTF8: u16 = 1 << 11;

const ENTRY_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const END64_SIGNATURE: u32 = 0x0606_4b50;
const END64_BYTES: usize = 56;
const LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const LOCATOR_BYTES: usize = 20;

/// Extra field with a UTF-8 name besides the one in the header (APPNOTE 4.6.9).
const UNICODE_PATH: u16 = 0x7075;

/// Most bytes of names to remember at a time.
const NAME_BYTES: usize = 32 << 20;

/// All entries, by where they lie in the file.
pub(super) struct Directory {
    pub entries: Vec<Entry>,
    /// Where the directory itself begins.
    pub offset: u64,
}

/// What the central directory says about an entry.
pub(super) struct Entry {
    pub name: Box<[u8]>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub compressed: u64,
    pub size: u64,
    pub offset: u64,
    pub mtime: Mtime,
    pub kind: EntryType,
}

pub(super) enum EntryType {
    File(FileMode),
    Directory,
    Symlink,
}

/// Reads the directory at the end of `file` without moving its read position.
pub(super) fn read(file: &File, file_bytes: u64, limits: &ArchiveLimits) -> Result<Directory, Trouble> {
    let end = find_end(file, file_bytes)?;
    if end.entries > limits.members {
        return Err(Rule::TooManyMembers { limit: limits.members }.into());
    }
    let mut input = BufReader::new(At { file, offset: end.directory_offset }.take(end.directory_bytes));
    let mut entries = Vec::new();
    let mut name_bytes = 0;
    for _ in 0..end.entries {
        let entry = read_entry(&mut input)?;
        name_bytes += entry.name.len();
        if name_bytes > NAME_BYTES {
            return Err(Rule::TooManyNameBytes { limit: NAME_BYTES }.into());
        }
        entries.push(entry);
    }
    if !input.buffer().is_empty() || input.get_ref().limit() > 0 {
        return Err(Rule::Malformed("the central directory has another size than it says").into());
    }
    // Stable: of two entries at one place the later one is the one that overlaps.
    entries.sort_by_key(|entry| entry.offset);
    Ok(Directory { entries, offset: end.directory_offset })
}

/// What the records at the end of the file say about the directory.
struct End {
    entries: u64,
    directory_bytes: u64,
    directory_offset: u64,
}

/// Finds the record that ends the file, whose comment may be up to 64 KiB long.
fn find_end(file: &File, file_bytes: u64) -> Result<End, Trouble> {
    let length = file_bytes.min((END_BYTES + usize::from(u16::MAX)) as u64);
    let tail = read_at(file, file_bytes - length, length as usize)?;
    let is_end = |&at: &usize| {
        let mut fields = Fields(&tail[at..]);
        fields.u32() == Some(END_SIGNATURE)
            && fields.bytes(END_BYTES - 6).is_some()
            && fields.u16().is_some_and(|comment| usize::from(comment) == fields.0.len())
    };
    let at = (0..(tail.len() + 1).saturating_sub(END_BYTES)).rev().find(is_end).ok_or(Rule::Truncated)?;
    let position = file_bytes - length + at as u64;

    let mut fields = Fields(&tail[at + 4..]);
    let (end, disks) = parse_end(&mut fields).ok_or(Rule::Truncated)?;
    if disks != 0 {
        return Err(Rule::SplitZip.into());
    }
    let (end, position) = widen_end(file, end, position)?;
    if end.directory_offset.checked_add(end.directory_bytes) != Some(position) {
        return Err(Rule::Malformed("the central directory does not end where the end record begins").into());
    }
    Ok(end)
}

/// The end record after its signature, and the number of disks beyond the first.
fn parse_end(fields: &mut Fields<'_>) -> Option<(End, u16)> {
    let disk = fields.u16()?;
    let directory_disk = fields.u16()?;
    let entries_here = fields.u16()?;
    let entries = fields.u16()?;
    let directory_bytes = fields.u32()?.into();
    let directory_offset = fields.u32()?.into();
    let split = if entries_here == entries { 0 } else { 1 };
    // All ones refers to the zip64 record, where one disk is again the only one we take.
    let disks =
        [disk, directory_disk].into_iter().filter(|&disk| disk != u16::MAX).max().unwrap_or(0).max(split);
    Some((End { entries: entries.into(), directory_bytes, directory_offset }, disks))
}

/// What the zip64 record before the end record says instead, if there is one, and where the records begin.
fn widen_end(file: &File, narrow: End, position: u64) -> Result<(End, u64), Trouble> {
    let Some(locator_at) = position.checked_sub(LOCATOR_BYTES as u64) else { return Ok((narrow, position)) };
    let locator = read_at(file, locator_at, LOCATOR_BYTES)?;
    let mut fields = Fields(&locator);
    if fields.u32() != Some(LOCATOR_SIGNATURE) {
        return Ok((narrow, position));
    }
    let wrong = Rule::Malformed("the zip64 end record is not well-formed");
    let _disk = fields.u32();
    let wide_at = fields.u64().ok_or(wrong.clone())?;
    if wide_at.checked_add(END64_BYTES as u64).is_none_or(|end| end > locator_at) {
        return Err(wrong.into());
    }
    let record = read_at(file, wide_at, END64_BYTES)?;
    let (wide, length) = parse_end64(&record).ok_or(wrong.clone())?;
    if wide_at.checked_add(length) != Some(locator_at) {
        return Err(wrong.into());
    }
    let agree = |narrow: u64, wide: u64, full: u64| narrow == full || narrow == wide;
    if !agree(narrow.entries, wide.entries, u16::MAX.into())
        || !agree(narrow.directory_bytes, wide.directory_bytes, u32::MAX.into())
        || !agree(narrow.directory_offset, wide.directory_offset, u32::MAX.into())
    {
        return Err(Rule::Malformed("the two end records disagree").into());
    }
    Ok((wide, wide_at))
}

/// The zip64 end record, and its length.
fn parse_end64(record: &[u8]) -> Option<(End, u64)> {
    let mut fields = Fields(record);
    let signature = fields.u32()?;
    let length = fields.u64()?.checked_add(12)?;
    let _versions = fields.u32()?;
    let disks = (fields.u32()?, fields.u32()?);
    let entries_here = fields.u64()?;
    let entries = fields.u64()?;
    let directory_bytes = fields.u64()?;
    let directory_offset = fields.u64()?;
    let whole = signature == END64_SIGNATURE && disks == (0, 0) && entries_here == entries;
    whole.then_some((End { entries, directory_bytes, directory_offset }, length))
}

fn read_entry(input: &mut BufReader<impl Read>) -> Result<Entry, Trouble> {
    let fixed = read_bytes(input, 46)?;
    let wrong = || Rule::Malformed("an entry of the central directory is not well-formed");
    let header = parse_fixed(&fixed).ok_or_else(wrong)?;
    let name = read_bytes(input, header.name_bytes.into())?;
    let rest = read_bytes(input, usize::from(header.extra_bytes) + usize::from(header.comment_bytes))?;
    let entry = header.entry(name.into(), &rest[..usize::from(header.extra_bytes)]);
    entry.map_err(|(name, rule)| Trouble::from(rule).in_member(&name))
}

/// The part of a directory entry that has a fixed size.
struct FixedPart {
    made_by: u8,
    flags: u16,
    method: u16,
    time: u16,
    date: u16,
    crc: u32,
    compressed: u32,
    size: u32,
    name_bytes: u16,
    extra_bytes: u16,
    comment_bytes: u16,
    disk: u16,
    attributes: u32,
    offset: u32,
}

fn parse_fixed(fixed: &[u8]) -> Option<FixedPart> {
    let mut fields = Fields(fixed);
    if fields.u32()? != ENTRY_SIGNATURE {
        return None;
    }
    let [_made_by_version, made_by] = fields.u16()?.to_le_bytes();
    let _version_needed = fields.u16()?;
    Some(FixedPart {
        made_by,
        flags: fields.u16()?,
        method: fields.u16()?,
        time: fields.u16()?,
        date: fields.u16()?,
        crc: fields.u32()?,
        compressed: fields.u32()?,
        size: fields.u32()?,
        name_bytes: fields.u16()?,
        extra_bytes: fields.u16()?,
        comment_bytes: fields.u16()?,
        disk: fields.u16()?,
        attributes: {
            let _internal = fields.u16()?;
            fields.u32()?
        },
        offset: fields.u32()?,
    })
}

impl FixedPart {
    fn entry(&self, name: Box<[u8]>, extras: &[u8]) -> Result<Entry, (Box<[u8]>, Rule)> {
        match self.checked(&name, extras) {
            Ok((size, compressed, offset, kind)) => Ok(Entry {
                name,
                flags: self.flags,
                method: self.method,
                crc: self.crc,
                compressed,
                size,
                offset,
                mtime: dos_time(self.date, self.time),
                kind,
            }),
            Err(rule) => Err((name, rule)),
        }
    }

    fn checked(&self, name: &[u8], extras: &[u8]) -> Result<(u64, u64, u64, EntryType), Rule> {
        if self.flags & ENCRYPTED != 0 {
            return Err(Rule::Encrypted);
        }
        if self.disk != 0 && self.disk != u16::MAX {
            return Err(Rule::SplitZip);
        }
        check_name(name, self.flags, extras)?;
        let mut zip64 = extra(extras, ZIP64);
        // The order of these three is the order of the fields.
        let mut widen =
            |value| widened(value, &mut zip64).ok_or(Rule::Malformed("its zip64 field is too short"));
        let size = widen(self.size)?;
        let compressed = widen(self.compressed)?;
        let offset = widen(self.offset)?;
        Ok((size, compressed, offset, self.kind(name, size)?))
    }

    fn kind(&self, name: &[u8], size: u64) -> Result<EntryType, Rule> {
        // The upper half is a Unix mode if a Unix (or a Mac) made the entry.
        let mode = if matches!(self.made_by, 3 | 19) { self.attributes >> 16 } else { 0 };
        let is_directory = name.ends_with(b"/");
        match mode & 0o170_000 {
            0o040_000 if size > 0 => Err(Rule::UnexpectedData("directory")),
            0o040_000 => Ok(EntryType::Directory),
            0 | 0o100_000 if is_directory && size > 0 => Err(Rule::UnexpectedData("directory")),
            0 | 0o100_000 if is_directory => Ok(EntryType::Directory),
            0 | 0o100_000 if mode == 0 => Ok(EntryType::File(FileMode::DEFAULT)),
            0 | 0o100_000 => Ok(EntryType::File(FileMode::filtered(mode))),
            0o120_000 if !is_directory => Ok(EntryType::Symlink),
            0o010_000 => Err(Rule::SpecialFile("FIFO")),
            0o020_000 => Err(Rule::SpecialFile("character device")),
            0o060_000 => Err(Rule::SpecialFile("block device")),
            0o140_000 => Err(Rule::SpecialFile("socket")),
            _ => Err(Rule::Malformed("its name and its Unix mode do not fit each other")),
        }
    }
}

/// What a zip name must not be; the rules for all formats come later.
fn check_name(name: &[u8], flags: u16, extras: &[u8]) -> Result<(), Rule> {
    // Without the flag the name is in code page 437, or in whatever its writer used.
    if flags & UTF8 == 0 && !name.is_ascii() {
        return Err(Rule::NameNotUtf8);
    }
    if name.contains(&b'\\') {
        return Err(Rule::BackslashInName);
    }
    if matches!(name, [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return Err(Rule::DriveLetterInName);
    }
    // Version and checksum of the name come before the second name.
    if let Some(mut second) = extra(extras, UNICODE_PATH)
        && (second.bytes(5).is_none() || second.0 != name)
    {
        return Err(Rule::TwoNames);
    }
    Ok(())
}

/// Seconds since 1970 of an MS-DOS date and time, which has no zone; taken for UTC, so that the result is
/// the same everywhere.
fn dos_time(date: u16, time: u16) -> Mtime {
    let (year, month, day) =
        (1980 + i64::from(date >> 9), i64::from(date >> 5 & 15).clamp(1, 12), i64::from(date & 31).max(1));
    let (hour, minute, second) = (i64::from(time >> 11), i64::from(time >> 5 & 63), 2 * i64::from(time & 31));
    // Days since 1970-03-01 of a year that starts in March, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * (year - 1970) + (year / 4 - 1970 / 4) - (year / 100 - 1970 / 100)
        + (year / 400 - 1970 / 400)
        + (153 * month + 2) / 5
        + day
        - 1;
    const JANUARY_AND_FEBRUARY: i64 = 59;
    Mtime::clamped((((days + JANUARY_AND_FEBRUARY) * 24 + hour) * 60 + minute) * 60 + second)
}

fn read_at(file: &File, offset: u64, length: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset).map_err(Trouble::from_decoder)?;
    Ok(bytes)
}

/// Reads a file from an offset on, without its read position.
struct At<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_utc() {
        let at = |year: u16, month: u16, day: u16, hour: u16| {
            dos_time((year - 1980) << 9 | month << 5 | day, hour << 11).seconds()
        };
        assert_eq!(at(1980, 1, 1, 0), 315_532_800);
        assert_eq!(at(2000, 2, 29, 12), 951_825_600);
        assert_eq!(at(2000, 3, 1, 0), 951_868_800);
        assert_eq!(at(2024, 12, 31, 23), 1_735_686_000);
        assert_eq!(at(2100, 3, 1, 0), 4_107_542_400);
        assert_eq!(dos_time(0, 0).seconds(), 315_532_800);
    }
}

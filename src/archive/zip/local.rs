//! The header and the data descriptor around a zip entry's contents, held against the central directory.
//! Knows nothing of the contents.

use std::io::{BufRead, BufReader, Read};

use super::directory::{ENCRYPTED, Entry, HAS_DESCRIPTOR, UTF8};
use super::fields::{Fields, ZIP64, extra, read_bytes, widened};
use crate::archive::error::Trouble;
use crate::archive::rule::Rule;

const HEADER_SIGNATURE: u32 = 0x0403_4b50;
const HEADER_BYTES: usize = 30;
const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;

/// Flags that change what an entry is.
const TELLING_FLAGS: u16 = ENCRYPTED | HAS_DESCRIPTOR | UTF8;

/// Reads the local header of `entry`, and returns how long it was.
pub(super) fn read_header(input: &mut BufReader<impl Read>, entry: &Entry) -> Result<u64, Trouble> {
    let fixed = read_bytes(input, HEADER_BYTES)?;
    let header = parse_fixed(&fixed)
        .ok_or(Rule::Malformed("there is no local header where the central directory says"))?;
    let name = read_bytes(input, header.name_bytes.into())?;
    let extras = read_bytes(input, header.extra_bytes.into())?;
    if *name != *entry.name {
        return Err(Rule::LocalDiffers("name").into());
    }
    if header.flags & TELLING_FLAGS != entry.flags & TELLING_FLAGS {
        return Err(Rule::LocalDiffers("set of flags").into());
    }
    if header.method != entry.method {
        return Err(Rule::LocalDiffers("compression method").into());
    }
    let mut zip64 = extra(&extras, ZIP64);
    let size = widened(header.size, &mut zip64);
    let compressed = widened(header.compressed, &mut zip64);
    // Zeros stand for "see the descriptor behind the contents".
    let is_left_open = |value: Option<u64>| entry.flags & HAS_DESCRIPTOR != 0 && value == Some(0);
    if size != Some(entry.size) && !is_left_open(size) {
        return Err(Rule::LocalDiffers("size").into());
    }
    if compressed != Some(entry.compressed) && !is_left_open(compressed) {
        return Err(Rule::LocalDiffers("compressed size").into());
    }
    if header.crc != entry.crc && !is_left_open(Some(header.crc.into())) {
        return Err(Rule::LocalDiffers("CRC-32").into());
    }
    Ok((HEADER_BYTES + name.len() + extras.len()) as u64)
}

/// The part of a local header that has a fixed size.
struct FixedPart {
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u32,
    size: u32,
    name_bytes: u16,
    extra_bytes: u16,
}

fn parse_fixed(fixed: &[u8]) -> Option<FixedPart> {
    let mut fields = Fields(fixed);
    if fields.u32()? != HEADER_SIGNATURE {
        return None;
    }
    let _version_needed = fields.u16()?;
    let (flags, method) = (fields.u16()?, fields.u16()?);
    let _date_and_time = fields.u32()?;
    Some(FixedPart {
        flags,
        method,
        crc: fields.u32()?,
        compressed: fields.u32()?,
        size: fields.u32()?,
        name_bytes: fields.u16()?,
        extra_bytes: fields.u16()?,
    })
}

/// Reads the `length` bytes between the contents of `entry` and what follows: nothing, or a descriptor with
/// or without signature and with 32-bit or 64-bit sizes (APPNOTE 4.3.9).
pub(super) fn read_descriptor(input: &mut impl BufRead, entry: &Entry, length: u64) -> Result<(), Trouble> {
    let has_descriptor = entry.flags & HAS_DESCRIPTOR != 0;
    match length {
        0 if !has_descriptor || (entry.size == 0 && entry.compressed == 0) => return Ok(()),
        12 | 16 | 20 | 24 if has_descriptor => {}
        _ => return Err(Rule::Gap.into()),
    }
    let bytes = read_bytes(input, length as usize)?;
    let mut fields = Fields(&bytes);
    if matches!(length, 16 | 24) && fields.u32() != Some(DESCRIPTOR_SIGNATURE) {
        return Err(Rule::Gap.into());
    }
    let crc = fields.u32();
    let mut size = || if length >= 20 { fields.u64() } else { fields.u32().map(u64::from) };
    let (compressed, uncompressed) = (size(), size());
    if crc != Some(entry.crc) || compressed != Some(entry.compressed) || uncompressed != Some(entry.size) {
        return Err(Rule::LocalDiffers("data descriptor").into());
    }
    Ok(())
}

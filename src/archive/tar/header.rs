//! One 512-byte header of a tar: V7, ustar or GNU.
//! Knows nothing of the headers around it.

use std::ops::Range;

use super::block::BLOCK;
use crate::archive::rule::Rule;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const TARGET: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const PREFIX: Range<usize> = 345..500;

/// A header whose checksum is right.
pub(super) struct Header {
    block: [u8; BLOCK],
}

impl Header {
    /// Takes `block` for a header if its checksum agrees.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Option<Self> {
        let expected = number(&block[CHECKSUM])?;
        // The checksum counts its own field as spaces. Some old writers add up signed bytes.
        let spaces = CHECKSUM.len() as i32 * i32::from(b' ');
        let others = || block[..CHECKSUM.start].iter().chain(&block[CHECKSUM.end..]);
        let unsigned: i32 = spaces + others().map(|&byte| i32::from(byte)).sum::<i32>();
        let signed = || spaces + others().map(|&byte| i32::from(byte.cast_signed())).sum::<i32>();
        let right = expected == unsigned.into() || expected == signed().into();
        right.then_some(Self { block: *block })
    }

    /// The type flag.
    pub(super) fn kind(&self) -> u8 {
        self.block[KIND]
    }

    /// The name, with ustar's prefix before it.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = until_nul(&self.block[NAME]);
        // GNU's header keeps other things where ustar has the prefix.
        let prefix = if &self.block[MAGIC] == b"ustar\0" { until_nul(&self.block[PREFIX]) } else { &[] };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// The target of a link.
    pub(super) fn target(&self) -> Vec<u8> {
        until_nul(&self.block[TARGET]).to_vec()
    }

    /// Permission bits and more.
    pub(super) fn mode(&self) -> Result<u32, Rule> {
        self.field(MODE)
            .and_then(|mode| u32::try_from(mode).ok())
            .ok_or(Rule::Malformed("the mode is no number"))
    }

    /// Bytes of contents.
    pub(super) fn size(&self) -> Result<u64, Rule> {
        self.field(SIZE)
            .and_then(|size| u64::try_from(size).ok())
            .ok_or(Rule::Malformed("the size is no number"))
    }

    /// Seconds since 1970.
    pub(super) fn mtime(&self) -> Result<i64, Rule> {
        let mtime = self.field(MTIME).ok_or(Rule::Malformed("the modification time is no number"))?;
        Ok(mtime.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    fn field(&self, range: Range<usize>) -> Option<i128> {
        number(&self.block[range])
    }
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// A number in octal digits, or in GNU's base 256: big-endian two's complement after a bit that says so.
fn number(field: &[u8]) -> Option<i128> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let start = i128::from(first & 0x3f) - if negative { 0x40 } else { 0 };
        return Some(rest.iter().fold(start, |value, &byte| value << 8 | i128::from(byte)));
    }
    let mut value = 0;
    for &digit in until_nul(field).trim_ascii() {
        if !(b'0'..=b'7').contains(&digit) {
            return None;
        }
        value = value * 8 + i128::from(digit - b'0');
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777777"), Some(0o77777777777));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0"), Some(2 << 32));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"12a\0"), None);
        assert_eq!(number(b"8\0"), None);
        assert_eq!(number(b"-1\0"), None);
    }

    #[test]
    fn only_ustar_has_a_prefix() {
        let mut block = [0; BLOCK];
        block[..4].copy_from_slice(b"file");
        block[PREFIX][..6].copy_from_slice(b"pkg-1/");
        block[PREFIX][5] = 0;
        block[MAGIC].copy_from_slice(b"ustar\0");
        assert_eq!(Header { block }.name(), b"pkg-1/file");
        block[MAGIC].copy_from_slice(b"ustar ");
        assert_eq!(Header { block }.name(), b"file");
    }

    #[test]
    fn signed_checksums_of_old_writers_are_accepted() {
        let mut block = [0; BLOCK];
        block[..2].copy_from_slice("é".as_bytes());
        let sum = |signed: bool| -> i32 {
            let name: i32 = "é"
                .bytes()
                .map(|byte| if signed { i32::from(byte.cast_signed()) } else { i32::from(byte) })
                .sum();
            name + 8 * i32::from(b' ')
        };
        for signed in [true, false] {
            block[CHECKSUM].copy_from_slice(format!("{:06o}\0 ", sum(signed)).as_bytes());
            assert!(Header::parse(&block).is_some(), "signed: {signed}");
        }
        block[0] ^= 1;
        assert!(Header::parse(&block).is_none());
    }
}

//! Zip structures: their bytes, and the little-endian fields in them, read in order.
//! Knows nothing of which structure it is.

use std::io::BufRead;

use crate::archive::error::Trouble;

/// Reads `count` bytes at once, which the caller has checked to be few.
pub(super) fn read_bytes(input: &mut impl BufRead, count: usize) -> Result<Vec<u8>, Trouble> {
    let mut bytes = vec![0; count];
    input.read_exact(&mut bytes).map_err(Trouble::from_decoder)?;
    Ok(bytes)
}

/// A structure being read front to back. Fields beyond its end are `None`.
#[derive(Clone, Copy)]
pub(super) struct Fields<'b>(pub &'b [u8]);

impl<'b> Fields<'b> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// The body of the extra field with this id. Trailing bytes that are no field are ignored, as some writers
/// pad with them.
pub(super) fn extra(all: &[u8], wanted: u16) -> Option<Fields<'_>> {
    let mut rest = Fields(all);
    loop {
        let id = rest.u16()?;
        let length = rest.u16()?;
        let body = rest.bytes(length.into())?;
        if id == wanted {
            return Some(Fields(body));
        }
    }
}

/// Extra field with 64-bit sizes and offset (APPNOTE 4.5.3).
pub(super) const ZIP64: u16 = 0x0001;

/// `value`, or the 64-bit field that stands in for it when it is all ones.
pub(super) fn widened(value: u32, zip64: &mut Option<Fields<'_>>) -> Option<u64> {
    match (value, zip64) {
        (u32::MAX, Some(fields)) => fields.u64(),
        (value, _) => Some(value.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_with_their_structure() {
        let mut fields = Fields(&[1, 0, 2, 0, 0, 0, 9]);
        assert_eq!((fields.u16(), fields.u32(), fields.u16()), (Some(1), Some(2), None));
    }

    #[test]
    fn a_full_field_is_widened_only_by_a_zip64_extra() {
        let all = [&[9, 0, 1, 0, 7][..], &[1, 0, 8, 0], &5u64.to_le_bytes(), &[0]].concat();
        let mut zip64 = extra(&all, ZIP64);
        assert_eq!(widened(3, &mut zip64), Some(3));
        assert_eq!(widened(u32::MAX, &mut zip64), Some(5));
        assert_eq!(widened(u32::MAX, &mut zip64), None);
        assert_eq!(widened(u32::MAX, &mut None), Some(u32::MAX.into()));
    }
}

//! The fields of an encoded message, borrowed from its bytes.

/// Reads the fields of a message in the order in which they were written.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Integers, booleans, enumerations.
    Number(u64),
    /// Strings, bytes, messages, packed lists.
    Bytes(&'a [u8]),
    /// Fixed-width numbers: no message of ours has any, so it is a field that we don't know.
    Fixed,
}

/// Why bytes are no message, or a field not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("ends in the middle of a field")]
    Truncated,
    #[error("has a number of more than 64 bits")]
    Number,
    #[error("has a field with an impossible tag or wire type")]
    Key,
    #[error("has a field of the wrong wire type")]
    WireType,
    #[error("has text that is not UTF-8")]
    Text,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        // Keys, lengths and most numbers fit in one byte.
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return Err(Malformed::Number);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Malformed::Truncated } else { Malformed::Number })
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::Key)?;
        let tag = key >> 3;
        if tag == 0 {
            return Err(Malformed::Key);
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed::Key),
        };
        Ok((tag, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed::WireType) }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Text)
    }

    pub(crate) fn number(self) -> Result<u64, Malformed> {
        if let Self::Number(number) = self { Ok(number) } else { Err(Malformed::WireType) }
    }

    /// Of an `int32` or an enumeration, which encoders widen to 64 bits.
    pub(crate) fn int32(self) -> Result<i32, Malformed> {
        Ok(self.number()? as i32)
    }

    /// Of an `int64`.
    pub(crate) fn int64(self) -> Result<i64, Malformed> {
        Ok(self.number()?.cast_signed())
    }

    /// Of a repeated enumeration: packed, or one number of many.
    pub(crate) fn int32_list(self, into: &mut Vec<i32>) -> Result<(), Malformed> {
        match self {
            Self::Bytes(packed) => {
                let mut numbers = Fields::of(packed);
                while !numbers.rest.is_empty() {
                    into.push(Self::Number(numbers.varint()?).int32()?);
                }
            }
            other => into.push(other.int32()?),
        }
        Ok(())
    }
}

/// Appends a number.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: u64) {
    prost::encoding::encode_varint(value, out);
}

/// How many bytes [`put_varint`] appends.
pub(crate) fn varint_length(value: u64) -> usize {
    prost::encoding::encoded_len_varint(value)
}

/// Appends a field that is a number, unless it is the default.
pub(crate) fn put_varint_field(out: &mut Vec<u8>, tag: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(tag << 3));
        put_varint(out, value);
    }
}

/// Appends a field that is text, bytes or an encoded message.
pub(crate) fn put_bytes(out: &mut Vec<u8>, tag: u32, bytes: &[u8]) {
    put_varint(out, u64::from(tag << 3 | 2));
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::reapi::bytestream::{ReadRequest, WriteRequest};

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            for (_, value) in Fields::of(&bytes).flatten() {
                let _ = (value.text(), value.int32(), value.int64(), value.int32_list(&mut Vec::new()));
            }
        }

        #[test]
        fn fields_are_what_was_encoded(resource_name: String, read_offset: i64, read_limit: i64) {
            let message = ReadRequest { resource_name: resource_name.clone(), read_offset, read_limit };
            let mut read = ReadRequest::default();
            for field in Fields::of(&message.encode_to_vec()) {
                match field.unwrap() {
                    (1, value) => read.resource_name = value.text().unwrap().to_owned(),
                    (2, value) => read.read_offset = value.int64().unwrap(),
                    (3, value) => read.read_limit = value.int64().unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            prop_assert_eq!(read, message);
        }

        #[test]
        fn what_is_put_is_read_by_others(resource_name: String, write_offset: i64, data: Vec<u8>) {
            let mut out = Vec::new();
            put_bytes(&mut out, 1, resource_name.as_bytes());
            put_varint_field(&mut out, 2, write_offset.cast_unsigned());
            put_bytes(&mut out, 10, &data);
            let expected = WriteRequest { resource_name, write_offset, finish_write: false, data };
            prop_assert_eq!(WriteRequest::decode(&out[..]).unwrap(), expected);
        }
    }

    #[test]
    fn numbers_beyond_64_bits_and_cut_messages_are_refused() {
        let last = |bytes: &'static [u8]| Fields::of(bytes).last().unwrap();
        assert_eq!(last(&[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2]), Err(Malformed::Number));
        assert_eq!(last(&[8, 255]), Err(Malformed::Truncated));
        assert_eq!(last(&[10, 3, 1]), Err(Malformed::Truncated));
        assert_eq!(last(&[0]), Err(Malformed::Key));
        assert_eq!(last(&[11]), Err(Malformed::Key));
        assert_eq!(
            last(&[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
            Ok((1, Value::Number(u64::MAX)))
        );
    }
}

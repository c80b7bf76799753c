//! PAX extended headers (POSIX.1-2001 `pax`, "Extended Header"): `LENGTH KEY=VALUE\n` records.
//! Knows the keys that change how a member is unpacked, and passes over the others.

use crate::archive::rule::Rule;

/// What a PAX header says about a member.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub path: Option<Vec<u8>>,
    pub link_path: Option<Vec<u8>>,
    pub size: Option<u64>,
    /// Whole seconds since 1970.
    pub mtime: Option<i64>,
    /// Some record says that the member is a sparse file.
    pub sparse: bool,
}

impl Records {
    pub(super) fn parse(mut contents: &[u8]) -> Result<Self, Rule> {
        let mut records = Self::default();
        while !contents.is_empty() {
            let (key, value, rest) =
                split_record(contents).ok_or(Rule::Malformed("a PAX record is not well-formed"))?;
            records.set(key, value)?;
            contents = rest;
        }
        Ok(records)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Rule> {
        // An empty value takes back what was said before.
        let set = !value.is_empty();
        match key {
            b"path" => self.path = set.then(|| value.to_vec()),
            b"linkpath" => self.link_path = set.then(|| value.to_vec()),
            b"size" => {
                self.size = set
                    .then(|| decimal(value).ok_or(Rule::Malformed("the PAX size is no number")))
                    .transpose()?;
            }
            b"mtime" => {
                self.mtime = set
                    .then(|| seconds(value).ok_or(Rule::Malformed("the PAX mtime is no number")))
                    .transpose()?;
            }
            b"SCHILY.realsize" => self.sparse = true,
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {}
        }
        Ok(())
    }

    /// Refuses in a global header what would give every member the same name, target or size.
    pub(super) fn check_global(&self) -> Result<(), Rule> {
        if self.path.is_some() {
            return Err(Rule::GlobalRecord("path"));
        }
        if self.link_path.is_some() {
            return Err(Rule::GlobalRecord("linkpath"));
        }
        if self.size.is_some() {
            return Err(Rule::GlobalRecord("size"));
        }
        if self.sparse {
            return Err(Rule::SparseFile);
        }
        Ok(())
    }
}

/// The key and value of the first record, and what follows it.
fn split_record(contents: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = contents.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&contents[..digits])?).ok()?;
    let (record, rest) = contents.split_at_checked(length)?;
    let pair = record.get(digits + 1..)?.strip_suffix(b"\n")?;
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    Some((&pair[..equals], &pair[equals + 1..], rest))
}

fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Whole seconds of a decimal fraction.
fn seconds(text: &[u8]) -> Option<i64> {
    let seconds: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    // Saturates; the caller clamps to a far smaller range.
    seconds.is_finite().then(|| seconds.floor() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_known_keys_are_read_and_the_others_passed_over() {
        let records =
            Records::parse(b"18 path=pkg-1/\xc3\xa4b\n9 size=7\n20 mtime=1700000.25\n13 comment=x\n")
                .unwrap();
        assert_eq!(records.path.as_deref(), Some("pkg-1/äb".as_bytes()));
        assert_eq!((records.size, records.mtime, records.sparse), (Some(7), Some(1_700_000), false));
    }

    #[test]
    fn an_empty_value_takes_back_what_was_said() {
        assert_eq!(Records::parse(b"9 path=a\n8 path=\n").unwrap(), Records::default());
    }

    #[test]
    fn records_that_are_not_well_formed_are_refused() {
        for contents in [
            &b"9 path=ab\n"[..],
            b"99 path=a\n",
            b"path=a\n",
            b"0 path=a\n",
            b"7 path\n",
            b"9 size=x\n",
            b"9 path=a\n\0",
            b"2 \n",
        ] {
            assert!(Records::parse(contents).is_err(), "{contents:?}");
        }
    }

    proptest! {
        #[test]
        fn no_contents_make_the_parser_panic(contents in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Records::parse(&contents);
        }

        #[test]
        fn a_written_record_is_read_back(value in "[^\n\0]{1,120}") {
            let body = format!(" path={value}\n");
            let mut length = body.len() + 1;
            while length != body.len() + length.to_string().len() {
                length += 1;
            }
            let records = Records::parse(format!("{length}{body}").as_bytes()).unwrap();
            prop_assert_eq!(records.path, Some(value.into_bytes()));
        }
    }
}

//! What is said between crosswheel and the process that runs the hooks: lists of texts. Knows nothing of what
//! they mean. The other side, `run_backend.py`, must not have to import anything to read them: importing
//! `json` takes Python as long as all of crosswheel's own work takes.
//!
//! A message is the length of its body in decimal digits, a line feed, and the body: the fields, separated
//! by NUL.

use std::io::{self, BufRead, Read, Write};

/// Larger than any honest message.
const LONGEST: u64 = 1 << 20;

/// Writes one message.
pub(crate) fn write<F: AsRef<[u8]>>(mut to: impl Write, fields: &[F]) -> io::Result<()> {
    let body = fields.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(&0);
    let mut message = format!("{}\n", body.len()).into_bytes();
    message.extend(body);
    to.write_all(&message)
}

/// The next message; none at the end, or if what comes is none. Invalid UTF-8 is replaced.
pub(crate) fn read(mut from: impl BufRead) -> Option<Vec<String>> {
    let mut line = String::new();
    from.by_ref().take(8).read_line(&mut line).ok()?;
    let length = line.strip_suffix('\n')?.parse().ok().filter(|length| *length <= LONGEST)?;
    let mut body = Vec::new();
    from.take(length).read_to_end(&mut body).ok()?;
    if body.len() as u64 != length {
        return None;
    }
    Some(body.split(|byte| *byte == 0).map(|field| String::from_utf8_lossy(field).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn messages_arrive_as_they_were_sent(fields in prop::collection::vec("[^\0]{0,20}", 1..5)) {
            let mut bytes = Vec::new();
            write(&mut bytes, &fields).unwrap();
            write(&mut bytes, &["next"]).unwrap();
            let mut reader = bytes.as_slice();
            prop_assert_eq!(read(&mut reader), Some(fields));
            prop_assert_eq!(read(&mut reader), Some(vec!["next".to_owned()]));
            prop_assert_eq!(read(&mut reader), None);
        }

        #[test]
        fn foreign_bytes_are_no_message_or_one_and_never_a_panic(bytes: Vec<u8>) {
            let _ = read(bytes.as_slice());
        }
    }

    #[test]
    fn what_is_cut_short_or_too_long_is_no_message() {
        for text in ["", "5\nabcd", "5", "-1\n", "x\n", "1048577\n", "99999999999\n"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(&b"0\n"[..]), Some(vec![String::new()]));
    }
}

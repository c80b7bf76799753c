//! Where a server's log goes: to standard error, one line for each event, whatever clients have put into it. Knows nothing
//! of what is logged.

use std::io::{self, Write};

/// Standard error. An event is written in one piece; what clients say in it can neither begin a line of its own nor reach
/// the terminal behind it.
#[derive(Debug, Clone, Copy)]
pub struct LogWriter {
    /// Whether the event itself has escapes: colours.
    pub colours: bool,
}

impl Write for LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(&harmless(event, self.colours))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// An event with all control characters shown as what they are, but for the end of its line and, if there are to be any, those
/// that only set colours.
fn harmless(event: &[u8], colours: bool) -> Vec<u8> {
    let (line, end) = match event.split_last() {
        Some((b'\n', line)) => (line, &b"\n"[..]),
        _ => (event, &b""[..]),
    };
    let mut written = Vec::with_capacity(event.len());
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        let colour = if colours { colour_at(rest) } else { None };
        match (first, colour) {
            (_, Some(length)) => {
                written.extend_from_slice(&rest[..length]);
                rest = &rest[length..];
                continue;
            }
            (0..0x20 | 0x7f, None) => written.extend(format!("\\x{first:02x}").into_bytes()),
            (first, None) => written.push(*first),
        }
        rest = after;
    }
    written.extend_from_slice(end);
    written
}

/// The length of a sequence that sets colours and nothing else (SGR), if there is one at the start.
fn colour_at(bytes: &[u8]) -> Option<usize> {
    let body = bytes.strip_prefix(b"\x1b[")?;
    let length = body.iter().position(|byte| !byte.is_ascii_digit() && *byte != b';')?;
    (body[length] == b'm').then_some(length + 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_a_client_says_is_a_line_of_its_own_or_reaches_the_terminal() {
        let forged = b"refused: a\n2026-01-01 INFO fake\x1b[2J\x1b]0;pwn\x07\0\n";
        let expected = r"refused: a\x0a2026-01-01 INFO fake\x1b[2J\x1b]0;pwn\x07\x00";
        assert_eq!(harmless(forged, false), [expected.as_bytes(), b"\n"].concat());
        assert_eq!(harmless(forged, true), [expected.as_bytes(), b"\n"].concat());
        assert_eq!(harmless(b"\x1b[2mdim\x1b[0m\n", true), b"\x1b[2mdim\x1b[0m\n");
        assert_eq!(harmless("häßlich\n".as_bytes(), false), "häßlich\n".as_bytes());
    }

    proptest! {
        #[test]
        fn an_event_is_one_line(event: Vec<u8>, colours: bool) {
            let written = harmless(&event, colours);
            let inner = written.strip_suffix(b"\n").unwrap_or(&written);
            prop_assert!(!inner.contains(&b'\n') && !inner.contains(&0));
        }
    }
}

//! Lines of a foreign program's output, as they come. Knows nothing of what they say.

use std::collections::VecDeque;

/// Most bytes kept of a line: foreign code decides how long its lines are.
const LONGEST: usize = 64 << 10;

/// Puts lines together from pieces.
#[derive(Debug, Default)]
pub struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// Takes the next piece; hands each complete line to `on_line`, and one that is too long in pieces. Bytes that
    /// are not UTF-8 are replaced.
    pub fn add(&mut self, mut piece: &[u8], mut on_line: impl FnMut(&str)) {
        while !piece.is_empty() {
            let room = LONGEST - self.unfinished.len();
            let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |index| index + 1);
            let (now, later) = piece.split_at(end.min(room));
            self.unfinished.extend_from_slice(now);
            piece = later;
            if now.ends_with(b"\n") || self.unfinished.len() == LONGEST {
                self.finish(&mut on_line);
            }
        }
    }

    /// Hands on what is left.
    pub fn finish(&mut self, mut on_line: impl FnMut(&str)) {
        if !self.unfinished.is_empty() {
            on_line(String::from_utf8_lossy(&self.unfinished).trim_end_matches(['\n', '\r']));
            self.unfinished.clear();
        }
    }
}

/// The last `count` lines of `bytes`, without empty ones at the end.
pub fn last_lines(bytes: &[u8], count: usize) -> Vec<String> {
    let mut last = VecDeque::with_capacity(count);
    let mut lines = Lines::default();
    let mut keep = |line: &str| {
        if last.len() == count {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    };
    lines.add(bytes, &mut keep);
    lines.finish(keep);
    last.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.add(piece, |line| found.push(line.to_owned()));
        }
        lines.finish(|line| found.push(line.to_owned()));
        found
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(lines(&[b"on", b"e\ntwo\r\n", b"\nthr", b"ee"]), ["one", "two", "", "three"]);
        assert_eq!(last_lines(b"a\nb\nc", 2), ["b", "c"]);
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let long = vec![b'x'; 200_000];
        let lengths: Vec<_> = lines(&[&long, b"y\n"]).iter().map(String::len).collect();
        assert_eq!(lengths, [65536, 65536, 65536, 200_001 - 3 * 65536]);
    }

    proptest! {
        #[test]
        fn where_the_pieces_are_cut_does_not_matter(bytes: Vec<u8>, cut in 0_usize..64) {
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(lines(&[one, two]), lines(&[&bytes]));
        }
    }
}

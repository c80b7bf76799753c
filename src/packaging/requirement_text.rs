//! Requirements and markers (PEP 508) that somebody else has written. pep508_rs 0.9 goes into parentheses by recursion, which
//! ends the process where there are too many, and panics at some characters behind a quote: such texts never get there.

use std::str::FromStr;

use pep508_rs::{MarkerTree, Requirement, VerbatimUrl};

/// Bytes of a text: more than any that was made for people.
const LONGEST: usize = 64 << 10;
/// Parentheses, which may all be in each other.
const DEEPEST: usize = 256;

/// What `text` requires.
///
/// # Errors
/// Why it is no requirement that can be read.
pub fn parse_requirement(text: &str) -> Result<Requirement<VerbatimUrl>, String> {
    check(text)?;
    Requirement::from_str(text).map_err(|error| error.message.to_string())
}

/// When `text` holds.
///
/// # Errors
/// Why it is no marker that can be read.
pub fn parse_marker(text: &str) -> Result<MarkerTree, String> {
    check(text)?;
    MarkerTree::from_str(text).map_err(|error| error.message.to_string())
}

fn check(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("{} bytes are too long for a requirement", text.len()));
    }
    // All of them: which are in quotes, and so close nothing, only the parser knows.
    if text.bytes().filter(|byte| *byte == b'(').count() > DEEPEST {
        return Err(format!("it has more than {DEEPEST} parentheses"));
    }
    match text.chars().find(|character| !character.is_ascii()) {
        Some(character) if text.contains(['\'', '"']) => {
            Err(format!("it has a `{}` and quotes", character.escape_debug()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_end_the_process_is_refused() {
        let deep = |depth| format!("{}os_name == 'nt'{}", "(".repeat(depth), ")".repeat(depth));
        assert!(parse_marker(&deep(20_000)).unwrap_err().contains("parentheses"));
        assert!(parse_requirement(&format!("a ; {}", deep(20_000))).unwrap_err().contains("parentheses"));
        parse_requirement(&format!("a[b]>=1 ; {}", deep(DEEPEST))).unwrap();
        // What is quoted closes nothing.
        assert!(parse_marker(&"(')'<os_name or ".repeat(3_000)).unwrap_err().contains("parentheses"));
        assert!(parse_marker("os_name == 'é'").is_err());
        assert!(parse_requirement(&"a".repeat(LONGEST + 1)).unwrap_err().contains("too long"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_requirement_or_refused(text in "([a(\\[='\"<; ]|os_name| and | in |é|@|1){0,24}") {
            let _ = parse_requirement(&text);
            let _ = parse_marker(&text);
        }
    }
}

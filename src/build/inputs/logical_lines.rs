//! The lines of a requirements file as pip reads them: continued ones joined, comments gone, `${VARIABLES}` replaced.
//! Knows nothing of what the lines say.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalLine {
    /// Where it begins, from 1.
    pub number: usize,
    /// The line, neither empty nor with space around it.
    pub text: String,
}

/// The lines of `text` that say something. `variable` is asked for the environment's; one that is not set is left as it
/// is written.
pub fn logical_lines(text: &str, variable: impl Fn(&str) -> Option<String>) -> Vec<LogicalLine> {
    let mut lines = Vec::new();
    let mut joined: Option<LogicalLine> = None;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let physical = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    for (number, line) in physical {
        // A comment is never continued, and ends what is.
        let is_comment = line.trim_start().starts_with('#');
        let continued = line.strip_suffix('\\').filter(|_| !is_comment);
        let current = joined.get_or_insert_with(|| LogicalLine { number, text: String::new() });
        match is_comment {
            true => current.text.push(' '),
            false => current.text.push_str(continued.unwrap_or(line)),
        }
        if continued.is_none() {
            lines.extend(joined.take());
        }
    }
    lines.extend(joined);
    for line in &mut lines {
        line.text = expand(without_comment(&line.text).trim(), &variable);
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

/// A `#` begins a comment at the start of a line and after space: fragments of URLs have none before it.
fn without_comment(text: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| text[..*at].chars().next_back().is_none_or(char::is_whitespace);
    text.match_indices('#').find(begins).map_or(text, |(at, _)| &text[..at])
}

/// Capitals, digits and underscores in `${}`, as pip has it: other spellings of shells are no variables.
fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    static VARIABLE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\$\{([A-Z0-9_]+)\}").expect("the pattern is constant"));
    let value = |found: &Captures| variable(&found[1]).unwrap_or_else(|| found[0].to_owned());
    VARIABLE.replace_all(text, value).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(text: &str) -> Vec<(usize, String)> {
        let variable = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
        logical_lines(text, variable).into_iter().map(|line| (line.number, line.text)).collect()
    }

    fn line(number: usize, text: &str) -> (usize, String) {
        (number, text.to_owned())
    }

    #[test]
    fn continued_lines_are_joined_and_keep_the_number_of_the_first() {
        let found = lines("\u{feff}a==1 \\\r\n  --hash=x \\\n  --hash=y\n\n  # note \\\nb # why\n\\\nc\\");
        assert_eq!(found, [line(1, "a==1   --hash=x   --hash=y"), line(6, "b"), line(7, "c")]);
        // A comment in the middle ends what is continued.
        assert_eq!(lines("a \\\n# note\nb"), [line(1, "a"), line(3, "b")]);
    }

    #[test]
    fn a_fragment_is_no_comment() {
        assert_eq!(lines("a @ https://x/a.zip#egg=a  # note"), [line(1, "a @ https://x/a.zip#egg=a")]);
        assert_eq!(lines("#a\n\t# b\n"), []);
    }

    #[test]
    fn variables_are_replaced_where_they_are_set() {
        let found = lines("https://${TOKEN}@x/${OTHER}/$TOKEN/${token}");
        assert_eq!(found, [line(1, "https://secret@x/${OTHER}/$TOKEN/${token}")]);
    }

    proptest! {
        #[test]
        fn any_text_has_lines_with_their_numbers(text in "(\\\\|\n|\r|#| |a|\\$\\{TOKEN\\}|é|.){0,60}") {
            let found = lines(&text);
            let last = text.lines().count();
            prop_assert!(found.iter().all(|(number, text)| (1..=last).contains(number) && !text.is_empty()));
            prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}

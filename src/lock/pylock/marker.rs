//! Markers of a pylock.toml: those of PEP 508, and `'x' in extras` and `'g' in dependency_groups` (PEP 751), which are put
//! into PEP 508's own terms. Knows nothing of which extras and groups are wanted.

use pep508_rs::{ExtraName, MarkerTree};

use crate::lock::group_name::GroupName;
use crate::lock::marker_text::MarkerTexts;

/// The atom that stands for `'EXTRA' in extras`.
pub(super) fn extra_atom(extra: &ExtraName) -> Option<ExtraName> {
    format!("in-extras-{extra}").parse().ok()
}

/// The atom that stands for `'GROUP' in dependency_groups`.
pub(super) fn group_atom(group: &GroupName) -> Option<ExtraName> {
    format!("in-groups-{group}").parse().ok()
}

/// What `text` means, with an `extra` atom for each extra and group it asks for.
pub(super) fn parse(text: &str, markers: &mut MarkerTexts) -> Result<MarkerTree, String> {
    markers.parse(&in_terms_of_pep_508(text)?)
}

fn in_terms_of_pep_508(text: &str) -> Result<String, String> {
    let mut rewritten = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['\'', '"']) {
        let (before, quoted) = rest.split_at(start);
        rewritten.push_str(before);
        let quote = &quoted[..1];
        let end =
            quoted[1..].find(quote).ok_or_else(|| format!("the text that begins with {quote} has no end"))?
                + 2;
        let (literal, after) = quoted.split_at(end);
        rest = match membership(after) {
            Some((operator, list, after)) => {
                let name = &literal[1..literal.len() - 1];
                let name: ExtraName =
                    name.parse().map_err(|error| format!("{literal} is no name: {error}"))?;
                rewritten.push_str(&format!("extra {operator} 'in-{list}-{name}'"));
                after
            }
            None => {
                rewritten.push_str(literal);
                after
            }
        };
    }
    rewritten.push_str(rest);
    Ok(rewritten)
}

/// What follows a quoted name, if that is `in` or `not in` one of the two lists.
fn membership(after: &str) -> Option<(&'static str, &'static str, &str)> {
    let (operator, after) = match word(after, "not") {
        Some(after) => ("!=", word(after, "in")?),
        None => ("==", word(after, "in")?),
    };
    let lists = [("extras", "extras"), ("dependency_groups", "groups")];
    lists.into_iter().find_map(|(list, short)| Some((operator, short, word(after, list)?)))
}

/// What follows the word `expected`, which is next.
fn word<'t>(text: &'t str, expected: &str) -> Option<&'t str> {
    let after = text.trim_start().strip_prefix(expected)?;
    let goes_on = after.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
    (!goes_on).then_some(after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn extras_and_groups_are_put_into_terms_of_pep_508() {
        for (text, expected) in [
            ("'X_y' in extras", "extra == 'in-extras-x-y'"),
            ("\"dev\" not  in dependency_groups", "extra != 'in-groups-dev'"),
            (
                "('a' in extras)and os_name == 'b in extras'",
                "(extra == 'in-extras-a')and os_name == 'b in extras'",
            ),
            ("'a' in extras_of", "'a' in extras_of"),
            ("'arm' in platform_machine", "'arm' in platform_machine"),
        ] {
            assert_eq!(in_terms_of_pep_508(text).unwrap(), expected);
        }
        assert!(in_terms_of_pep_508("'a in extras").unwrap_err().contains("has no end"));
        assert!(in_terms_of_pep_508("'a b' in extras").unwrap_err().contains("is no name"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_marker_or_refused(text in "([a'\" ]|in|not|extras|é){0,12}") {
            let _ = parse(&text, &mut MarkerTexts::default());
        }
    }
}

//! Which of the names that there are somebody may have meant. Knows nothing of what they are the names of.

/// The first of those of `known` that are written most like `name`, if any is like it at all.
pub fn nearest<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["gpu", "cpu", "documentation"];
        assert_eq!(nearest("cpi", known), Some("cpu"));
        assert_eq!(nearest("xpu", known), Some("gpu"));
        assert_eq!(nearest("documentatoin", known), Some("documentation"));
        assert_eq!(nearest("tests", known), None);
    }
}

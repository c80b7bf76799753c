//! Markers as the lock spells them, parsed once for each text. The operators and parentheses between comparisons are
//! read here, without recursion, and each step's result is measured: a marker is a decision diagram, which can be
//! exponentially larger than its text.

use std::collections::{HashMap, HashSet};

use pep508_rs::{MarkerExpression, MarkerTree, MarkerTreeKind};

/// Longer than any uv writes for a hundred conflicts, in bytes.
const LONGEST: usize = 256 << 10;
/// Different comparisons in one marker. Diagrams are as deep as there are variables, and `pep508_rs` goes into them by
/// recursion. Real markers have a dozen.
const MOST_COMPARISONS: usize = 192;
/// The largest of real locks have some hundred nodes.
const MOST_NODES: usize = 4096;
/// With so few operators none has that many nodes.
const FEW_OPERATORS: usize = 12;

/// The markers of a document, by their texts.
#[derive(Default)]
pub(super) struct MarkerTexts {
    known: HashMap<String, MarkerTree>,
    /// What compares something that cannot be compared means nothing (PEP 508).
    comparisons: HashMap<String, Option<MarkerTree>>,
}

impl MarkerTexts {
    /// What `text` means.
    pub(super) fn parse(&mut self, text: &str) -> Result<MarkerTree, String> {
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let marker = self.read(text)?;
        self.known.insert(text.to_owned(), marker.clone());
        Ok(marker)
    }

    fn read(&mut self, text: &str) -> Result<MarkerTree, String> {
        if text.len() > LONGEST {
            return Err(format!("a marker of {} bytes is too long", text.len()));
        }
        let tokens = tokens(text)?;
        let comparisons = tokens.iter().filter(|token| matches!(token, Token::Comparison(_)));
        if comparisons.collect::<HashSet<_>>().len() > MOST_COMPARISONS {
            return Err(format!("the marker has more than {MOST_COMPARISONS} different comparisons"));
        }
        let mut formula = Formula::default();
        for token in tokens {
            match token {
                Token::Comparison(text) => formula.operand(self.comparison(text)?)?,
                Token::Open => formula.open()?,
                Token::Close => formula.close()?,
                Token::Operator(operator) => formula.operator(operator)?,
            }
        }
        formula.finish()
    }

    fn comparison(&mut self, text: &str) -> Result<Option<MarkerTree>, String> {
        if let Some(known) = self.comparisons.get(text) {
            return Ok(known.clone());
        }
        let expression = MarkerExpression::from_str(text).map_err(|error| error.message.to_string())?;
        let marker = expression.map(MarkerTree::expression);
        self.comparisons.insert(text.to_owned(), marker.clone());
        Ok(marker)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    And,
    Or,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Token<'t> {
    Open,
    Close,
    Operator(Operator),
    /// `extra == 'x'`, as it is written.
    Comparison(&'t str),
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    // From where to where the comparison that is being read goes.
    let mut comparison: Option<(usize, usize)> = None;
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let end = at + length(&text[at..], first)?;
        let token = match &text[at..end] {
            "(" => Some(Token::Open),
            ")" => Some(Token::Close),
            "and" => Some(Token::Operator(Operator::And)),
            "or" => Some(Token::Operator(Operator::Or)),
            _ => None,
        };
        if let Some(token) = token {
            tokens.extend(comparison.take().map(|(start, end)| Token::Comparison(&text[start..end])));
            tokens.push(token);
        } else if !first.is_whitespace() {
            let (start, _) = comparison.unwrap_or((at, end));
            comparison = Some((start, end));
        }
        at = end;
    }
    tokens.extend(comparison.map(|(start, end)| Token::Comparison(&text[start..end])));
    Ok(tokens)
}

/// How many bytes what `text` begins with is long: a quoted text, a word, or a character.
fn length(text: &str, first: char) -> Result<usize, String> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || "_.".contains(character);
    match first {
        '\'' | '"' => match text[1..].find(first) {
            Some(end) => Ok(end + 2),
            None => Err(format!("the text that begins with {first} has no end")),
        },
        _ if is_word(first) => Ok(text.find(|character| !is_word(character)).unwrap_or(text.len())),
        _ => Ok(first.len_utf8()),
    }
}

/// Operands and operators that wait for what comes after them.
#[derive(Default)]
struct Formula {
    operands: Vec<Option<MarkerTree>>,
    /// None is an open parenthesis.
    waiting: Vec<Option<Operator>>,
    applied: usize,
    operand_is_next: Next,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Operand,
    Operator,
}

impl Formula {
    fn expect(&mut self, next: Next, then: Next, found: &str) -> Result<(), String> {
        if self.operand_is_next != next {
            let expected = if next == Next::Operand { "`and` or `or`" } else { "a comparison" };
            return Err(format!("{expected} is expected before {found}"));
        }
        self.operand_is_next = then;
        Ok(())
    }

    fn operand(&mut self, operand: Option<MarkerTree>) -> Result<(), String> {
        self.expect(Next::Operand, Next::Operator, "a comparison")?;
        self.operands.push(operand);
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        self.expect(Next::Operand, Next::Operand, "`(`")?;
        self.waiting.push(None);
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        self.expect(Next::Operator, Next::Operator, "`)`")?;
        while let Some(Some(operator)) = self.waiting.pop_if(|waiting| waiting.is_some()) {
            self.apply(operator)?;
        }
        self.waiting.pop().map(|_| ()).ok_or_else(|| "a `)` has no `(`".to_owned())
    }

    fn operator(&mut self, operator: Operator) -> Result<(), String> {
        self.expect(Next::Operator, Next::Operand, "an operator")?;
        // `and` binds stronger.
        let goes_first = |other: &Option<Operator>| match other {
            Some(Operator::And) => true,
            Some(Operator::Or) => operator == Operator::Or,
            None => false,
        };
        while let Some(Some(first)) = self.waiting.pop_if(|waiting| goes_first(waiting)) {
            self.apply(first)?;
        }
        self.waiting.push(Some(operator));
        Ok(())
    }

    fn finish(mut self) -> Result<MarkerTree, String> {
        self.expect(Next::Operator, Next::Operator, "the end")?;
        while let Some(waiting) = self.waiting.pop() {
            self.apply(waiting.ok_or("a `(` has no `)`")?)?;
        }
        Ok(self.operands.pop().flatten().unwrap_or(MarkerTree::TRUE))
    }

    fn apply(&mut self, operator: Operator) -> Result<(), String> {
        let right = self.operands.pop().flatten();
        let left = self.operands.pop().flatten();
        let result = match (left, right) {
            (Some(mut left), Some(right)) => {
                match operator {
                    Operator::And => left.and(right),
                    Operator::Or => left.or(right),
                }
                Some(left)
            }
            (left, right) => left.or(right),
        };
        self.applied += 1;
        if self.applied > FEW_OPERATORS && result.as_ref().is_some_and(has_too_many_nodes) {
            return Err(format!("the marker stands for more than {MOST_NODES} cases"));
        }
        self.operands.push(result);
        Ok(())
    }
}

fn has_too_many_nodes(marker: &MarkerTree) -> bool {
    let mut seen = HashSet::new();
    let mut ahead = vec![marker.clone()];
    while let Some(node) = ahead.pop() {
        if !seen.insert(node.clone()) {
            continue;
        }
        if seen.len() > MOST_NODES {
            return true;
        }
        match node.kind() {
            MarkerTreeKind::True | MarkerTreeKind::False => {}
            MarkerTreeKind::Version(node) => ahead.extend(node.edges().map(|(_, below)| below)),
            MarkerTreeKind::String(node) => ahead.extend(node.children().map(|(_, below)| below)),
            MarkerTreeKind::In(node) => ahead.extend(node.children().map(|(_, below)| below)),
            MarkerTreeKind::Contains(node) => ahead.extend(node.children().map(|(_, below)| below)),
            MarkerTreeKind::Extra(node) => ahead.extend(node.children().map(|(_, below)| below)),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use pep508_rs::VerbatimUrl;
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<MarkerTree, String> {
        MarkerTexts::default().parse(text)
    }

    #[test]
    fn what_pep508_rs_reads_is_read_alike() {
        for text in [
            "sys_platform == 'linux'",
            "python_version>='3.8' and (os_name=='nt' or os_name==\"posix\")",
            "'linux' in sys_platform or 'or' not in platform_release and os_name != '(and)'",
            "extra == 'a' and extra != 'b' or extra == 'c' and (extra == 'd' or (extra == 'e'))",
            "os_name ~= 'nt'",
            "os_name ~= 'nt' or sys_platform == 'win32'",
            "os_name ~= 'nt' and sys_platform == 'win32'",
            "python_full_version == '3.11.*' and implementation_name != 'pypy'",
        ] {
            assert_eq!(parse(text).unwrap(), MarkerTree::parse_str::<VerbatimUrl>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn what_is_no_marker_is_refused() {
        for (text, reason) in [
            ("", "before the end"),
            ("os_name", ""),
            ("os_name == 'a", "has no end"),
            ("os_name == 'a' and", "before the end"),
            ("and os_name == 'a'", "before an operator"),
            ("(os_name == 'a'", "has no `)`"),
            ("os_name == 'a')", "has no `(`"),
            ("os_name == 'a' (os_name == 'b')", "before `(`"),
            ("()", "before `)`"),
            ("os_name == 'a' os_name == 'b'", ""),
            ("os_nämé == 'a'", ""),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }

    /// Pairs that are far from each other in the diagram's order: 2 to the power of 40 nodes.
    #[test]
    fn a_marker_that_explodes_is_refused() {
        let pair = |at| format!("(extra == 'a{at:02}' and extra == 'z{at:02}')");
        let text = (0..40).map(pair).collect::<Vec<_>>().join(" or ");
        assert!(parse(&text).unwrap_err().contains("more than 4096 cases"));
    }

    #[test]
    fn a_marker_of_many_comparisons_is_refused() {
        let text =
            |count: usize| (0..count).map(|at| format!("extra == 'a{at}'")).collect::<Vec<_>>().join(" and ");
        assert!(parse(&text(MOST_COMPARISONS)).is_ok());
        assert!(parse(&text(MOST_COMPARISONS + 1)).unwrap_err().contains("different comparisons"));
    }

    #[test]
    fn parentheses_may_be_as_deep_as_the_text_is_long() {
        let deep = format!("{}os_name == 'a'{}", "(".repeat(100_000), ")".repeat(100_000));
        assert!(parse(&deep).is_ok());
        assert!(parse(&"(".repeat(200_000)).is_err());
        assert!(parse(&"(".repeat(300_000)).unwrap_err().contains("too long"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_marker_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn random_formulas_mean_what_pep508_rs_says(pieces in prop::collection::vec(0..8_usize, 1..12)) {
            let mut text = String::new();
            for piece in pieces {
                let piece = ["(", ")", " and ", " or ", "extra=='a'", "extra != 'b'", "os_name=='nt'", "os_name ~= 'x'"][piece];
                let _ = write!(text, "{piece}");
            }
            if let Ok(theirs) = MarkerTree::parse_str::<VerbatimUrl>(&text) {
                prop_assert_eq!(parse(&text).unwrap(), theirs);
            } else {
                prop_assert!(parse(&text).is_err());
            }
        }
    }
}

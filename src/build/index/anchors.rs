//! The `<a>` elements of an HTML page, as far as package indexes use them (PEP 503, PEP 592).
//! Any text is a page; one that is not HTML has no anchors. Knows nothing of URLs.

/// One `<a>` element with an `href`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// `href`, entities replaced, possibly relative.
    pub href: String,
    /// `data-requires-python`.
    pub requires_python: Option<String>,
    /// Whether `data-yanked` is there, whatever its value.
    pub yanked: bool,
}

/// Every anchor of `html`, in order.
pub fn parse(html: &str) -> Vec<Anchor> {
    let mut anchors = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let Some(attributes) = rest.strip_prefix(['a', 'A']) else { continue };
        if !attributes.starts_with(|character: char| character.is_ascii_whitespace()) {
            continue;
        }
        let (attributes, after) = parse_attributes(attributes);
        rest = after;
        let value = |name: &str| {
            attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if let Some(href) = value("href") {
            let (requires_python, yanked) = (value("data-requires-python"), value("data-yanked").is_some());
            anchors.push(Anchor { href, requires_python, yanked });
        }
    }
    anchors
}

/// The attributes up to the `>` that ends the tag, and what follows it. A `>` within quotes is text.
fn parse_attributes(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|character: char| character.is_ascii_whitespace() || character == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return (attributes, after);
        }
        let name_end = rest
            .find(|character: char| character.is_ascii_whitespace() || matches!(character, '=' | '>' | '/'))
            .unwrap_or(rest.len());
        let name = &rest[..name_end];
        let after_name = rest[name_end..].trim_start();
        let Some(after_equals) = after_name.strip_prefix('=') else {
            if name.is_empty() {
                return (attributes, rest);
            }
            attributes.push((name.to_owned(), String::new()));
            rest = after_name;
            continue;
        };
        let (value, after) = parse_value(after_equals.trim_start());
        attributes.push((name.to_owned(), unescape(value)));
        rest = after;
    }
}

fn parse_value(text: &str) -> (&str, &str) {
    if let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        let inner = &text[1..];
        return inner.find(quote).map_or((inner, ""), |end| (&inner[..end], &inner[end + 1..]));
    }
    let end = text
        .find(|character: char| character.is_ascii_whitespace() || character == '>')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Replaces the entities that occur in attribute values; others are left as they are.
fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        result.push_str(&rest[..start]);
        rest = &rest[start..];
        let entity = rest.find(';').and_then(|end| Some((decode_entity(&rest[1..end])?, end + 1)));
        let (character, length) = entity.unwrap_or(('&', 1));
        result.push(character);
        rest = &rest[length..];
    }
    result + rest
}

fn decode_entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn attributes_in_every_legal_spelling_are_read() {
        let html = "<!-- <a href='no'> --><A\n HREF = 'x-1.tar.gz#sha256=0&amp;y' data-yanked>x</A>\
                    <a data-requires-python=\">=3.8,&lt;4\" href=y-1.zip>y</a><abbr href=z><a name=q>";
        let anchors = parse(html);
        assert_eq!(anchors.len(), 2);
        assert_eq!(anchors[0].href, "x-1.tar.gz#sha256=0&y");
        assert!(anchors[0].yanked);
        assert_eq!(anchors[1].href, "y-1.zip");
        assert_eq!(anchors[1].requires_python.as_deref(), Some(">=3.8,<4"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_page(text in "(<a |href|=|[\"'<>&;#/-]|é|.){0,60}") {
            parse(&text);
        }
    }
}

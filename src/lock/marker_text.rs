//! Markers as the lock spells them, parsed once for each text.

use std::collections::HashMap;

use pep508_rs::{MarkerTree, VerbatimUrl};

/// Longer than any uv writes for a hundred conflicts.
const LONGEST: usize = 256 << 10;
/// The parser goes into parentheses by recursion.
const DEEPEST: usize = 64;

/// The markers of a document, by their texts.
#[derive(Default)]
pub(super) struct MarkerTexts {
    known: HashMap<String, MarkerTree>,
}

impl MarkerTexts {
    /// What `text` means.
    pub(super) fn parse(&mut self, text: &str) -> Result<MarkerTree, String> {
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let marker = parse(text)?;
        self.known.insert(text.to_owned(), marker.clone());
        Ok(marker)
    }
}

fn parse(text: &str) -> Result<MarkerTree, String> {
    if text.len() > LONGEST {
        return Err(format!("a marker of {} bytes is too long", text.len()));
    }
    if depth(text) > DEEPEST {
        return Err("the marker has too many parentheses in each other".to_owned());
    }
    MarkerTree::parse_str::<VerbatimUrl>(text).map_err(|error| error.message.to_string())
}

/// Too much rather than too little: those in texts count, too.
fn depth(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'(').count().min(max_depth(text))
}

fn max_depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

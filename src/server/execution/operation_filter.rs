//! Which operations somebody wants to see (`ListOperationsRequest.filter`). Knows nothing of where they come from.
//!
//! A filter is terms that must all hold, with spaces or `AND` between them: `stage=EXECUTING pool=native
//! target_id="//a b"`. A value that ends in `*` stands for all that begin like it.

use crate::queue::{Outcome, Snapshot, Stage};
use crate::reapi::RequestMetadata;

/// Most bytes of a filter: each of its terms is held against every operation there is.
const MAX_FILTER_BYTES: usize = 4 << 10;

/// Terms that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OperationFilter(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    field: Field,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Stage,
    Done,
    Pool,
    Worker,
    ActionDigest,
    ActionMnemonic,
    TargetId,
    ToolInvocationId,
    CorrelatedInvocationsId,
    ToolName,
    CachedResult,
}

/// Names as in the messages.
const FIELDS: [(&str, Field); 11] = [
    ("stage", Field::Stage),
    ("done", Field::Done),
    ("pool", Field::Pool),
    ("worker", Field::Worker),
    ("action_digest", Field::ActionDigest),
    ("action_mnemonic", Field::ActionMnemonic),
    ("target_id", Field::TargetId),
    ("tool_invocation_id", Field::ToolInvocationId),
    ("correlated_invocations_id", Field::CorrelatedInvocationsId),
    ("tool_name", Field::ToolName),
    ("cached_result", Field::CachedResult),
];

impl OperationFilter {
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(format!("is longer than {MAX_FILTER_BYTES} bytes"));
        }
        let mut terms = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("AND ") {
                rest = after.trim_start();
                continue;
            }
            let (name, after) = rest
                .split_once('=')
                .ok_or_else(|| format!("`{}` is not of the form FIELD=VALUE", shortened(rest)))?;
            let field = FIELDS
                .iter()
                .find(|(known, _)| *known == name.trim())
                .map(|(_, field)| *field)
                .ok_or_else(|| unknown_field(name))?;
            let value;
            (value, rest) = split_value(after)?;
            terms.push(Term { field, value: value.to_owned() });
            rest = rest.trim_start();
        }
        Ok(Self(terms))
    }

    /// Whether all terms hold for an operation.
    pub(crate) fn accepts(&self, snapshot: &Snapshot) -> bool {
        self.0.iter().all(|term| term.holds(snapshot))
    }
}

fn split_value(text: &str) -> Result<(&str, &str), String> {
    let text = text.trim_start();
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"').ok_or_else(|| format!("`{}` lacks a second \"", shortened(text)));
    }
    Ok(text.split_once(char::is_whitespace).unwrap_or((text, "")))
}

fn unknown_field(name: &str) -> String {
    let known: Vec<&str> = FIELDS.iter().map(|(known, _)| *known).collect();
    format!("there is no field `{}`, only {}", shortened(name.trim()), known.join(", "))
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

impl Term {
    fn holds(&self, snapshot: &Snapshot) -> bool {
        let progress = &snapshot.progress;
        let metadata = snapshot.identity.request_metadata.as_deref();
        let of_request = |get: fn(&RequestMetadata) -> &str| metadata.map(get).unwrap_or_default();
        match self.field {
            Field::Stage => self.matches(stage(progress.stage)),
            Field::Done => self.matches(yes_or_no(snapshot.outcome.is_some())),
            Field::Pool => self.matches(progress.pool.as_deref().unwrap_or_default()),
            Field::Worker => {
                self.matches(progress.worker.as_ref().map(|(name, _)| &**name).unwrap_or_default())
            }
            Field::ActionDigest => {
                let digest = &snapshot.identity.action_digest;
                self.matches(&digest.to_string()) || self.matches(&digest.hex())
            }
            Field::ActionMnemonic => self.matches(of_request(|metadata| &metadata.action_mnemonic)),
            Field::TargetId => self.matches(of_request(|metadata| &metadata.target_id)),
            Field::ToolInvocationId => self.matches(of_request(|metadata| &metadata.tool_invocation_id)),
            Field::CorrelatedInvocationsId => {
                self.matches(of_request(|metadata| &metadata.correlated_invocations_id))
            }
            Field::ToolName => self.matches(of_request(|metadata| {
                metadata.tool_details.as_ref().map(|tool| tool.tool_name.as_str()).unwrap_or_default()
            })),
            Field::CachedResult => {
                self.matches(yes_or_no(matches!(snapshot.outcome.as_deref(), Some(Outcome::Cached(_)))))
            }
        }
    }

    fn matches(&self, actual: &str) -> bool {
        match self.value.strip_suffix('*') {
            Some(beginning) => actual.starts_with(beginning),
            None => actual == self.value,
        }
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::CacheCheck => "CACHE_CHECK",
        Stage::Queued => "QUEUED",
        Stage::Executing => "EXECUTING",
        Stage::Completed => "COMPLETED",
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "true" } else { "false" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terms_stand_beside_each_other_or_with_and() {
        let filter = OperationFilter::parse(r#"stage=QUEUED AND target_id="//a b"  pool=nat*"#).unwrap();
        let terms: Vec<(Field, &str)> =
            filter.0.iter().map(|term| (term.field, term.value.as_str())).collect();
        assert_eq!(terms, [(Field::Stage, "QUEUED"), (Field::TargetId, "//a b"), (Field::Pool, "nat*")]);
        assert_eq!(OperationFilter::parse("  ").unwrap(), OperationFilter::default());
    }

    #[test]
    fn what_is_wrong_with_a_filter_is_said() {
        assert!(OperationFilter::parse("colour=red").unwrap_err().contains("`colour`"));
        assert!(OperationFilter::parse("QUEUED").unwrap_err().contains("FIELD=VALUE"));
        assert!(OperationFilter::parse("pool=\"a").unwrap_err().contains("lacks"));
    }

    proptest! {
        #[test]
        fn no_filter_makes_the_parser_panic(text: String) {
            let _ = OperationFilter::parse(&text);
        }
    }
}

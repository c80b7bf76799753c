//! `KEY=VALUE`, as settings and variables of a build are given.

use std::fmt;
use std::str::FromStr;

/// A key, which is not empty and has no `=`, and any value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// What is set.
    pub key: String,
    /// To what.
    pub value: String,
}

/// A text that is not `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected KEY=VALUE")]
pub struct InvalidKeyValue;

impl FromStr for KeyValue {
    type Err = InvalidKeyValue;

    fn from_str(text: &str) -> Result<Self, InvalidKeyValue> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err(InvalidKeyValue),
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.key, self.value)
    }
}

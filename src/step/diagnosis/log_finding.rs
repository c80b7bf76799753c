//! What a line of a log says about why a build failed. Knows nothing of lines.

use crate::contract::FailureClass;

/// What a line says about why a build failed.
#[derive(Clone, Debug)]
pub struct LogFinding {
    pub class: FailureClass,
    pub message: String,
    pub hint: Option<String>,
}

/// A finding, as rules return it.
pub fn log_finding(
    class: FailureClass,
    message: impl Into<String>,
    hint: Option<String>,
) -> Option<LogFinding> {
    Some(LogFinding { class, message: message.into(), hint })
}

/// How to give a build a requirement that its project does not declare.
pub fn give_requirement(requirement: &str) -> String {
    format!(
        "add it: `crosswheel build --build-requires '{requirement}'`, or `crosswheel wheel --build-wheels` with its wheel"
    )
}

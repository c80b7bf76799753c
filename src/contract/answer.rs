//! What `crosswheel wheel --json` and `crosswheel sdist --json` print, and `--report` writes.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::report::Report;
use super::sdist_report::SdistReport;

/// The single JSON document that answers a request for a wheel or an sdist.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A verified wheel was written.
    Built(Box<Report>),
    /// An sdist was written.
    Sdist(Box<SdistReport>),
    /// Nothing was written, and that is the project's doing.
    Failed(Failure),
    /// Nothing was written, for a reason that has nothing to do with the project.
    Error(AnswerError),
}

/// Why the step could not do its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerError {
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// What went wrong.
    pub message: String,
}

/// Whose fault it is that the step could not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The command line makes no sense. Exit code 2.
    Usage,
    /// This machine cannot do it. Exit code 1.
    #[serde(other)]
    Host,
}

impl AnswerError {
    /// A command line that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Usage, message: message.into() }
    }

    /// A fault of this machine.
    pub fn host(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Host, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_told_by_its_key() {
        let error = Answer::Error(AnswerError::usage("no such flag"));
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(text, r#"{"error":{"kind":"usage","message":"no such flag"}}"#);
        let failed = r#"{"failed":{"class":"timeout","message":"it took too long"}}"#;
        assert!(matches!(serde_json::from_str(failed).unwrap(), Answer::Failed(_)));
    }

    /// A newer crosswheel may name what this one does not know; the contract's number stays for that.
    #[test]
    fn what_a_newer_step_says_in_addition_is_no_riddle() {
        let text = r#"{"error":{"kind":"weather","message":"it rains","hint":"wait"}}"#;
        let Answer::Error(error) = serde_json::from_str(text).unwrap() else { panic!("{text}") };
        assert_eq!(error, AnswerError::host("it rains"));
    }
}

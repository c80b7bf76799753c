//! What `crosswheel check --json` prints: whether wheels work together, and if not, which does not and why. Knows nothing of
//! how that was found out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::answer::AnswerError;
use super::failure::{Failure, FailureClass};
use super::report::IsolationReport;
use crate::platform::Target;

/// The single JSON document that answers a request for a check.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckAnswer {
    /// The wheels were looked at; the report says what is wrong, if anything.
    Checked(Box<CheckReport>),
    /// They were not, for a reason that has nothing to do with them.
    Error(AnswerError),
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// How many wheels were installed.
    pub installed: usize,
    /// What is wrong, in the order in which it was found: with the installation, with what the wheels require, with
    /// imports. Nothing if all is well.
    pub problems: Vec<CheckProblem>,
    /// The modules that were imported, sorted.
    pub imported: Vec<String>,
    /// Who looked for what is missing and what conflicts: `pip 26.2`, or `crosswheel`.
    pub checked_by: String,
    /// The platform of the Python that it was done with.
    pub target: Target,
    /// Version of that Python, such as `3.11.7`.
    pub python_version: String,
    /// Whether it was one for another architecture than crosswheel's own, and so ran emulated.
    pub emulated: bool,
    /// How what was imported was cut off from its host.
    pub isolation: IsolationReport,
    /// Wall-clock seconds per part (`install`, `dependencies`, `imports`, `total`).
    pub seconds: BTreeMap<String, f64>,
    /// Remarks that are not errors, such as why pip did not do its part.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What is wrong with a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckProblem {
    /// Normalised name of the package (PEP 503).
    pub package: String,
    /// Its version.
    pub version: String,
    /// What kind of problem this is.
    pub kind: ProblemKind,
    /// One or two sentences: what is wrong with what.
    pub message: String,
    /// The lines that show it, oldest first; empty if there is nothing more to see.
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// What kind of problem a package has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// It requires another version of a package than is there.
    Conflict,
    /// It requires a package that is not there.
    MissingDependency,
    /// It is for another version of Python.
    RequiresPython,
    /// One of its modules cannot be imported.
    Import,
    /// It cannot be installed, or not beside another. So is read what a newer crosswheel names.
    #[serde(other)]
    Install,
}

impl ProblemKind {
    /// How documents spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::MissingDependency => "missing-dependency",
            Self::RequiresPython => "requires-python",
            Self::Import => "import",
            Self::Install => "install",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for CheckProblem {
    /// Without the evidence.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { package, version, kind, message, .. } = self;
        write!(formatter, "{package} {version}: {kind}: {message}")
    }
}

impl CheckReport {
    /// The failure that the problems are, if there are any.
    pub fn failure(&self) -> Option<Failure> {
        /// That many are enough for one failure; the report has them all.
        const SHOWN: usize = 20;
        let message = match &self.problems[..] {
            [] => return None,
            [problem] => problem.to_string(),
            [first, others @ ..] => format!("{first} (and {} more)", others.len()),
        };
        let lines = |problem: &CheckProblem| {
            let evidence = problem.evidence.iter().map(|line| format!("  {line}"));
            std::iter::once(problem.to_string()).chain(evidence).collect::<Vec<_>>()
        };
        let evidence = self.problems.iter().take(SHOWN).flat_map(lines).collect();
        let isolation = Some(Box::new(self.isolation.clone()));
        Some(Failure { evidence, isolation, ..Failure::new(FailureClass::CheckFailed, message) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: ProblemKind) -> CheckProblem {
        let [package, version, message] = ["a", "1", "it is not there"].map(str::to_owned);
        CheckProblem { package, version, kind, message, evidence: vec!["a line".into()] }
    }

    fn report(problems: Vec<CheckProblem>) -> CheckReport {
        CheckReport {
            installed: 1,
            problems,
            imported: Vec::new(),
            checked_by: "crosswheel".into(),
            target: "linux_arm64".parse().unwrap(),
            python_version: "3.11.7".into(),
            emulated: false,
            isolation: IsolationReport { sandbox: "none".into(), network: "none".into(), lost: Vec::new() },
            seconds: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn documents_spell_kinds_by_their_names() {
        for kind in [
            ProblemKind::Conflict,
            ProblemKind::MissingDependency,
            ProblemKind::RequiresPython,
            ProblemKind::Import,
            ProblemKind::Install,
        ] {
            let text = format!("{:?}", kind.name());
            assert_eq!(serde_json::to_string(&kind).unwrap(), text);
            assert_eq!(serde_json::from_str::<ProblemKind>(&text).unwrap(), kind);
        }
        assert_eq!(serde_json::from_str::<ProblemKind>("\"weather\"").unwrap(), ProblemKind::Install);
    }

    #[test]
    fn a_report_without_problems_is_no_failure_and_one_with_some_shows_them_all() {
        assert_eq!(report(Vec::new()).failure(), None);
        let both = [ProblemKind::Import, ProblemKind::Conflict].map(problem).to_vec();
        let failure = report(both).failure().unwrap();
        assert_eq!(failure.class, FailureClass::CheckFailed);
        assert_eq!(failure.message, "a 1: import: it is not there (and 1 more)");
        assert_eq!(failure.evidence[2..], ["a 1: conflict: it is not there", "  a line"]);
    }

    #[test]
    fn an_answer_is_what_it_was_when_it_arrives() {
        let sent = report(vec![problem(ProblemKind::MissingDependency)]);
        let text = serde_json::to_string(&CheckAnswer::Checked(Box::new(sent.clone()))).unwrap();
        assert!(text.starts_with("{\"checked\":{"), "{text}");
        let CheckAnswer::Checked(read) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        assert_eq!(*read, sent);
    }
}

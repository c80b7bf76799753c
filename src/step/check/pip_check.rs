//! `pip check`: what pip says of an environment, read. Knows nothing of how pip is run.

use std::sync::LazyLock;

use pep508_rs::PackageName;
use regex::Regex;

use super::installation::problem;
use crate::contract::{CheckProblem, ProblemKind};
use crate::step::venv::unpacked_wheel::UnpackedWheel;

/// The sentences of pip (`pip/_internal/commands/check.py`), each with what it means.
static SENTENCES: LazyLock<[(Regex, ProblemKind); 4]> = LazyLock::new(|| {
    let sentence = |pattern: &str, kind| (Regex::new(pattern).expect("the pattern is constant"), kind);
    [
        sentence(r"^(\S+) \S+ (requires \S+, which is not installed)\.$", ProblemKind::MissingDependency),
        sentence(r"^(\S+) \S+ (has requirement .+, but you have \S+ \S+)\.$", ProblemKind::Conflict),
        sentence(r"^(\S+) \S+ (is not supported on this platform)$", ProblemKind::Install),
        sentence(r"^(?:WARNING: )?(Error parsing dependencies of (\S+): .*)$", ProblemKind::Install),
    ]
});

/// The problems that `lines`, the output of `pip check`, name; each of one of `wheels`.
pub(super) fn named_problems(lines: &[String], wheels: &[UnpackedWheel]) -> Vec<CheckProblem> {
    let read = |line: &String| {
        let (name, kind, message) = understand(line)?;
        let name: PackageName = name.parse().ok()?;
        let wheel = wheels.iter().find(|wheel| *wheel.name() == name)?;
        Some(problem(wheel, kind, message.to_owned()))
    };
    lines.iter().filter_map(read).collect()
}

/// The package, and what is said of it.
fn understand(line: &str) -> Option<(&str, ProblemKind, &str)> {
    SENTENCES.iter().enumerate().find_map(|(index, (pattern, kind))| {
        let found = pattern.captures(line.trim_end())?;
        let (name, message) = if index == 3 { (2, 1) } else { (1, 2) };
        Some((found.get(name)?.as_str(), *kind, found.get(message)?.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Recorded from pip 26.2.
    #[test]
    fn the_sentences_of_pip_are_understood() {
        for (line, expected) in [
            (
                "my_app 1.0 requires requests, which is not installed.",
                ("my_app", ProblemKind::MissingDependency, "requires requests, which is not installed"),
            ),
            (
                "a 1.0 has requirement b<2,>=1, but you have b 3.0.",
                ("a", ProblemKind::Conflict, "has requirement b<2,>=1, but you have b 3.0"),
            ),
            (
                "a 1.0 is not supported on this platform",
                ("a", ProblemKind::Install, "is not supported on this platform"),
            ),
            (
                "WARNING: Error parsing dependencies of a: Expected end or semicolon",
                ("a", ProblemKind::Install, "Error parsing dependencies of a: Expected end or semicolon"),
            ),
        ] {
            assert_eq!(understand(line), Some(expected), "{line}");
        }
        for other in ["No broken requirements found.", "", "a requires", "Traceback (most recent call last):"]
        {
            assert_eq!(understand(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_line_can_be_read(line in "([a-z.]| |requires |has requirement |, but you have |\\PC){0,30}") {
            let _ = understand(&line);
        }
    }
}

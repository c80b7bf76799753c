//! Reads a failed build's log for the class of failure that it shows, with the lines that show it and what to do.
//! Knows nothing of processes, nor of what single lines mean: that is in `rules`.

use std::collections::BTreeSet;

use regex::Regex;

use super::log_finding::LogFinding;
use super::python_modules::module_finding;
use super::rules::RULES;
use crate::contract::{Failure, FailureClass};
use crate::step::verify::wheel_refused::WheelRefused;

/// What the process that ran the hooks said of an exception (see `run_backend.py`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookError {
    /// `import`, `get_requires_for_build_wheel` or `build_wheel`.
    pub stage: String,
    /// Class of the exception.
    pub kind: String,
    /// Its text.
    pub text: String,
    /// For an `ImportError`: the module that could not be imported.
    pub module: Option<String>,
}

/// Classifies a failure by the exception the hook raised, if any, and the lines of the log.
pub fn diagnose(error: Option<&HookError>, log: &[String]) -> Failure {
    error
        .and_then(|error| missing_module(error, log))
        .map(|failure| what_was_being_handled(log).unwrap_or(failure))
        .or_else(|| explained(log))
        .unwrap_or_else(|| unexplained(error, log))
}

/// The failure that a refused wheel is, with what the log has to say of how it came to be refused.
pub fn diagnose_refusal(refused: WheelRefused, log: &[String]) -> Failure {
    let cause = matches!(refused, WheelRefused::FellBackToPure { .. }).then(|| explained(log)).flatten();
    let mut failure = Failure::from(refused);
    failure.evidence.extend(failed_compilation(log).map(str::to_owned));
    if let Some(cause) = cause {
        failure.message = format!("{}; {}", failure.message, cause.message);
        failure.evidence = cause.evidence;
        failure.hint = cause
            .hint
            .map(|hint| format!("{hint}; or take the pure wheel with --expect any"))
            .or(failure.hint);
    }
    failure
}

/// What the first rule that matches a line of the log makes of it, if one does.
fn explained(log: &[String]) -> Option<Failure> {
    RULES.iter().find_map(|rule| {
        let pattern = Regex::new(rule.pattern).expect("the patterns of the table are tested");
        let mut evidence = Vec::new();
        let mut first = None;
        for line in log {
            let Some(finding) = pattern.captures(line).and_then(|found| (rule.explain)(&found)) else {
                continue;
            };
            let first = first.get_or_insert_with(|| finding.clone());
            if finding.class == first.class && evidence.len() < 5 {
                evidence.push(shorten(line));
            }
        }
        evidence.dedup();
        let LogFinding { class, message, hint } = first?;
        Some(Failure { evidence, hint, ..Failure::new(class, message) })
    })
}

/// The first line in which a compiler fails, if any: the sign that an extension was given up.
pub fn failed_compilation(log: &[String]) -> Option<&str> {
    let pattern = Regex::new(
        r"(?i)command '[^']*' failed|command '\[.*\]' returned non-zero|failed to build (?:the )?(?:extension|c module)|building extension .* failed|extensions? (?:module )?(?:could not|cannot|failed to) be? ?compiled?|unable to execute '|(?:compilation|compile) (?:of .*)?(?:failed|error)|failed building (?:the )?(?:c )?extension|^error compiling cython file|\.(?:c|cc|cpp|cxx|h|hh|hpp):\d+:\d+: (?:fatal )?error: ",
    )
    .expect("a constant pattern");
    log.iter().map(String::as_str).find(|line| pattern.is_match(line))
}

/// Why the code that then could not import something ran at all, if that was a failure of another
/// kind: setup.py may import modules only to tell what went wrong.
fn what_was_being_handled(log: &[String]) -> Option<Failure> {
    use FailureClass::{Killed, MissingSystemLibrary, MissingTool, NetworkAccess};
    let handling = |line: &String| line.starts_with("During handling of the above exception");
    let before = &log[..log.iter().rposition(handling)?];
    explained(before)
        .filter(|cause| [Killed, MissingSystemLibrary, MissingTool, NetworkAccess].contains(&cause.class))
}

fn missing_module(error: &HookError, log: &[String]) -> Option<Failure> {
    if error.kind != "ModuleNotFoundError" && error.kind != "ImportError" {
        return None;
    }
    let module = error.module.as_deref()?;
    if error.kind == "ImportError" && !error.text.contains("No module named") {
        return None;
    }
    let LogFinding { class, message, hint } = module_finding(module)?;
    let evidence = log.iter().filter(|line| line.contains(module) && line.contains("No module named"));
    let evidence = evidence.map(|line| shorten(line)).take(3).collect();
    Some(Failure { evidence, hint, ..Failure::new(class, message) })
}

fn unexplained(error: Option<&HookError>, log: &[String]) -> Failure {
    let message = match error {
        Some(HookError { stage, kind, text, .. }) => match text.lines().next() {
            Some(line) if !line.is_empty() => format!("{stage} failed with {kind}: {line}"),
            _ => format!("{stage} failed with {kind}"),
        },
        None => "the backend's process ended without an answer".into(),
    };
    // Nothing certain: such an exception from within a backend can have many reasons, but a project
    // that was written for another version of it is the most common one.
    let hint = error.filter(|error| ["AttributeError", "ImportError", "TypeError"].contains(&&*error.kind)).map(
        |_| {
            "if the project is older than its build requirements, give it those of its time with --constraint FILE (for example a line `setuptools<60`), or an older --python".to_owned()
        },
    );
    Failure { evidence: telling_lines(log), hint, ..Failure::new(FailureClass::BackendError, message) }
}

/// The first lines that look like a compiler's or a build system's error, and the last lines: what
/// failed is often far above the traceback of what gave up because of it.
fn telling_lines(log: &[String]) -> Vec<String> {
    const ERRORS: usize = 8;
    const LINES: usize = 20;
    let pattern =
        Regex::new(r"^\S+:\d+(?::\d+)?: (?:fatal )?error: |^CMake Error|: ERROR: |^error(?:\[E\d+\])?: ")
            .expect("a constant pattern");
    let errors = log.iter().enumerate().filter(|(_, line)| pattern.is_match(line)).map(|(index, _)| index);
    let mut chosen: BTreeSet<usize> = errors.take(ERRORS).collect();
    let filled = (0..log.len()).rev().filter(|index| !log[*index].trim().is_empty());
    for index in filled {
        if chosen.len() == LINES {
            break;
        }
        chosen.insert(index);
    }
    chosen.into_iter().map(|index| shorten(&log[index])).collect()
}

fn shorten(line: &str) -> String {
    const LIMIT: usize = 400;
    let line = line.trim_end();
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    fn hook_error(kind: &str, text: &str, module: Option<&str>) -> HookError {
        HookError {
            stage: "build_wheel".into(),
            kind: kind.into(),
            text: text.into(),
            module: module.map(str::to_owned),
        }
    }

    #[test]
    fn the_exception_of_the_hook_beats_the_log() {
        let error = hook_error("ModuleNotFoundError", "No module named 'hatchling'", Some("hatchling"));
        let failure = diagnose(Some(&error), &lines(&["ModuleNotFoundError: No module named 'hatchling'"]));
        assert_eq!(failure.class, FailureClass::MissingBuildRequirement);
        assert!(failure.hint.unwrap().contains("--build-requires 'hatchling'"));
    }

    /// setup.py of bcrypt 4.1.3 imports pkg_resources to print versions when the build has failed.
    #[test]
    fn a_module_wanted_only_to_report_a_failure_does_not_hide_it() {
        let log = lines(&[
            "SystemExit: error: can't find Rust compiler",
            "",
            "During handling of the above exception, another exception occurred:",
            "",
            "ModuleNotFoundError: No module named 'pkg_resources'",
        ]);
        let error =
            hook_error("ModuleNotFoundError", "No module named 'pkg_resources'", Some("pkg_resources"));
        assert_eq!(diagnose(Some(&error), &log).class, FailureClass::MissingTool);
        let plain = diagnose(Some(&error), &log[4..]);
        assert_eq!(plain.class, FailureClass::MissingBuildRequirement);
    }

    #[test]
    fn what_no_rule_explains_keeps_the_end_of_the_log() {
        let failure = diagnose(None, &lines(&["one", "", "two"]));
        assert_eq!(failure.class, FailureClass::BackendError);
        assert_eq!(failure.evidence, ["one", "two"]);
        assert_eq!(failure.hint, None);
    }

    /// PyInstaller's bootloader: twenty lines of traceback stand between the error and the end.
    #[test]
    fn the_error_of_a_compiler_is_kept_however_long_the_traceback_is() {
        let error =
            "../../src/pyi_utils.c:1070:29: error: comparison of integer expressions of different signedness";
        let mut log =
            lines(&["[ 5/17] Compiling src/pyi_main.c", error, "cc1: all warnings being treated as errors"]);
        log.extend((0..40).map(|line| format!("  File \"setup.py\", line {line}, in run")));
        let failure = diagnose(Some(&hook_error("SystemExit", "", None)), &log);
        assert_eq!(failure.evidence[0], error);
        assert_eq!(failure.evidence.len(), 20);
        assert_eq!(failure.message, "build_wheel failed with SystemExit");
    }

    #[test]
    fn an_exception_that_smells_of_age_gets_a_cautious_hint() {
        let error = hook_error("AttributeError", "'Command' object has no attribute '_old'", None);
        let failure = diagnose(Some(&error), &[]);
        assert_eq!(failure.class, FailureClass::BackendError);
        assert!(failure.hint.unwrap().contains("--constraint"));
    }

    /// Lines that MarkupSafe, setproctitle, dbus-fast, google-crc32c and aiohttp print before they
    /// make a pure wheel.
    #[test]
    fn a_compilation_given_up_is_recognised() {
        for line in [
            "error: command '/usr/bin/gcc' failed with exit code 1",
            "WARNING: The C extension could not be compiled, speedups are not enabled.",
            "Failed to build extension a._a: Command '['/bin/false', '-c', 'a.c']' returned non-zero exit status 1.",
            "building extension \"a._speedups\" failed: command 'false' failed with exit code 1",
            "Error compiling Cython file:",
            "src/google_crc32c/_crc32c.c:3:10: fatal error: crc32c/crc32c.h: No such file or directory",
            "aiohttp/_websocket.c:196:12: fatal error: longintrepr.h: No such file or directory",
        ] {
            assert!(failed_compilation(&lines(&[line])).is_some(), "{line}");
        }
        assert!(
            failed_compilation(&lines(&["building 'a' extension", "a.c:1:2: warning: error: no"])).is_none()
        );
    }

    /// google-crc32c 1.5.0 says "Falling back to pure Python build", and exits with 0.
    #[test]
    fn a_fall_back_to_a_pure_wheel_is_laid_at_the_door_of_what_failed() {
        let log = lines(&[
            "src/google_crc32c/_crc32c.c:3:10: fatal error: openssl/evp.h: No such file or directory",
            "Compiling the C Extension for the crc32c library failed. Falling back to pure Python build.",
        ]);
        let refused = || WheelRefused::FellBackToPure { wheel: "a-1-py3-none-any.whl".into() };
        let failure = diagnose_refusal(refused(), &log);
        assert_eq!(failure.class, FailureClass::WheelRefused);
        assert!(failure.message.contains("the header openssl/evp.h"), "{failure:?}");
        let hint = failure.hint.unwrap();
        assert!(hint.contains("libssl-dev") && hint.contains("--expect any"), "{hint}");
        assert!(diagnose_refusal(refused(), &[]).hint.unwrap().contains("--expect any"));
    }

    proptest! {
        #[test]
        fn arbitrary_logs_never_panic(lines in proptest::collection::vec("\\PC{0,80}", 0..20)) {
            let _ = diagnose(None, &lines);
            let _ = failed_compilation(&lines);
        }
    }
}

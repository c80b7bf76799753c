//! When the wheel that was built for one target is right for another. Knows nothing of how either is built.

use crate::contract::{Expect, Report};
use crate::packaging::interpreter::Interpreter;

/// Whether what `report` speaks of is what a build with `python`, of another target, would make: a wheel for any
/// platform, and that not only because nothing was compiled of what could have been (an extension that is optional
/// makes no pure wheel where there is a compiler), by code that does not look at the machine as far as one can see,
/// with a Python of the same version, for which markers and `Requires-Python` say the same.
pub(crate) fn is_right_for(report: &Report, expect: Expect, python: &Interpreter) -> bool {
    let (major, minor, _) = python.version;
    report.pure
        && !report.native_sources
        && !report.mentions_machine
        && expect != Expect::Native
        && report.tags.iter().all(|tag| tag.ends_with("-none-any"))
        && report.python_version.starts_with(&format!("{major}.{minor}."))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of a pure wheel for linux_amd64, built with `python`.
    pub fn report(python: &Interpreter) -> Report {
        let text = serde_json::json!({
            "file_name": "a-1-py3-none-any.whl", "name": "a", "version": "1",
            "tags": ["py2-none-any", "py3-none-any"], "pure": true, "native_sources": false,
            "mentions_machine": false,
            "sha256": "00".repeat(32), "size_bytes": 1, "glibc_floor": null, "target": "linux_amd64",
            "python_version": python.version_text(), "sdist_sha256": "00".repeat(32), "backend": "inner",
            "build_requirements": [], "dynamic_requirements": [],
            "isolation": {"sandbox": "namespaces", "network": "namespace"}, "seconds": {},
            "peak_memory_bytes": 0, "own_peak_memory_bytes": 0,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_pure_wheel_of_a_pure_project_is_right_for_every_target() {
        let python = Interpreter::find("3", tempfile::tempdir().unwrap().path()).unwrap();
        for expect in [Expect::Auto, Expect::Pure, Expect::Any] {
            assert!(is_right_for(&report(&python), expect, &python), "{expect}");
        }
    }

    #[test]
    fn what_could_be_another_wheel_elsewhere_is_built_there() {
        let python = Interpreter::find("3", tempfile::tempdir().unwrap().path()).unwrap();
        let pure = report(&python);
        assert!(!is_right_for(&pure, Expect::Native, &python));
        let others = [
            Report { pure: false, ..pure.clone() },
            Report { native_sources: true, ..pure.clone() },
            Report { mentions_machine: true, ..pure.clone() },
            Report { tags: vec!["py3-none-any".into(), "py3-none-linux_x86_64".into()], ..pure.clone() },
            Report { python_version: "3.1.0".into(), ..pure.clone() },
        ];
        for other in others {
            assert!(!is_right_for(&other, Expect::Auto, &python), "{other:?}");
        }
    }

    #[test]
    fn a_report_that_does_not_tell_of_the_sources_is_not_trusted() {
        let python = Interpreter::find("3", tempfile::tempdir().unwrap().path()).unwrap();
        for left_out in ["native_sources", "mentions_machine"] {
            let mut text = serde_json::to_value(report(&python)).unwrap();
            text.as_object_mut().unwrap().remove(left_out);
            let old: Report = serde_json::from_value(text).unwrap();
            assert!(!is_right_for(&old, Expect::Auto, &python), "{left_out}");
        }
    }
}

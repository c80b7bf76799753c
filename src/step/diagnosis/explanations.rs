//! What failed, and what to do about it, in words: for headers, libraries and programs that were not found, and for
//! projects of another age than what builds them. Knows nothing of the lines of logs that tell.

use super::debian_packages::{for_header, for_library, for_tool};
use super::log_finding::{LogFinding, give_requirement, log_finding};
use crate::contract::FailureClass;

pub fn missing_header(header: &str) -> Option<LogFinding> {
    let python_package = [("numpy/", "numpy"), ("pybind11/", "pybind11"), ("nanobind/", "nanobind")];
    if let Some((_, package)) = python_package.iter().find(|(prefix, _)| header.starts_with(prefix)) {
        return missing_requirement(Some(package));
    }
    if ["asdl.h", "graminit.h", "longintrepr.h", "parsetok.h", "Python-ast.h", "ucnhash.h"].contains(&header)
    {
        return older_python(format!(
            "the project's C code includes {header}, which this Python no longer has"
        ));
    }
    let hint = match for_header(header) {
        Some(package) => format!("on Debian and Ubuntu: apt-get install {package}"),
        None => format!("install the development package with {header}, on the machine that builds"),
    };
    let message = format!("the compiler did not find the header {header}");
    log_finding(FailureClass::MissingSystemLibrary, message, Some(hint))
}

pub fn missing_library(library: &str) -> Option<LogFinding> {
    if let "pybind11" | "nanobind" | "numpy" = library {
        return missing_requirement(Some(library));
    }
    let hint = match for_library(library) {
        Some(package) => format!("on Debian and Ubuntu: apt-get install {package}"),
        None => format!("install the development package of {library}, on the machine that builds"),
    };
    let message = format!("the build did not find the library {library}");
    log_finding(FailureClass::MissingSystemLibrary, message, Some(hint))
}

pub fn missing_tool(tool: &str) -> Option<LogFinding> {
    let tool = tool.to_ascii_lowercase();
    let (class, what) = if tool.ends_with("_config") || (tool.ends_with("-config") && tool != "pkg-config") {
        (FailureClass::MissingSystemLibrary, "the build did not find")
    } else {
        (FailureClass::MissingTool, "the build needs the program")
    };
    let hint = match for_tool(&tool) {
        Some(package) => format!("on Debian and Ubuntu: apt-get install {package}"),
        None => format!("install {tool} on the machine that builds, or add its directory with --path DIR"),
    };
    log_finding(class, format!("{what} {tool}"), Some(hint))
}

pub fn missing_requirement(requirement: Option<&str>) -> Option<LogFinding> {
    let requirement = requirement?;
    log_finding(
        FailureClass::MissingBuildRequirement,
        format!("the build needs {requirement}, which the project does not declare as a build requirement"),
        Some(give_requirement(requirement)),
    )
}

pub fn drift(message: impl Into<String>, hint: impl Into<String>) -> Option<LogFinding> {
    log_finding(FailureClass::InvalidMetadata, message, Some(hint.into()))
}

pub fn older_python(message: String) -> Option<LogFinding> {
    drift(message, "choose an older Python with --python, or build a newer release of the project")
}

pub fn rejected_metadata(example: &str) -> Option<LogFinding> {
    let hint = format!(
        "the backend rejects this project's configuration; try the backend's version of the time, with --constraint FILE (for example a line `{example}`)"
    );
    drift("the backend rejects the project's metadata or configuration", hint)
}

/// What has been removed, in words, and the way around it.
pub fn known_drift(sign: &str) -> Option<LogFinding> {
    let constraint = |line: &str| format!("give it an older one with --constraint FILE and a line `{line}`");
    let (what, hint) = match sign {
        "use_2to3" => ("2to3, which setuptools 58 dropped", constraint("setuptools<58")),
        "Feature" => ("setuptools.Feature, which setuptools 46 dropped", constraint("setuptools<46")),
        "dry_run" => ("an argument of distutils that setuptools 81 dropped", constraint("setuptools<81")),
        "cython_sources" => ("what only Cython 0.29 had", constraint("cython<3")),
        "maximum supported version" => {
            let hint =
                "choose an older Python with --python, or add --env PYO3_USE_ABI3_FORWARD_COMPATIBILITY=1";
            ("a PyO3 that does not know this Python", hint.into())
        }
        "SafeConfigParser" | "ImpImporter" => {
            let hint =
                "choose a Python older than 3.12 with --python, or build a newer release of the project";
            ("a part of Python that 3.12 dropped", hint.into())
        }
        _ => {
            let hint = "add --env CMAKE_POLICY_VERSION_MINIMUM=3.5, or give it an older one with --constraint FILE and a line `cmake<4`";
            ("a version of CMake's language that CMake 4 dropped", hint.into())
        }
    };
    drift(format!("the project does not fit its build requirements: it uses {what}"), hint)
}

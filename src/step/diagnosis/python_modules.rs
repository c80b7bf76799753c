//! What it means that a build could not import a module: which project would bring it, or which
//! Python or build requirement no longer does. Tables, not a search.

use super::log_finding::{LogFinding, give_requirement, log_finding};
use crate::contract::FailureClass;

/// What to say of a build that imports `module` in vain.
pub fn module_finding(module: &str) -> Option<LogFinding> {
    let top = module.split('.').next().unwrap_or(module);
    if let Some((_, removed_in)) = REMOVED_FROM_PYTHON.iter().find(|(name, _)| *name == top) {
        let message = format!("the build imports `{top}`, which Python {removed_in} no longer has");
        let hint = format!(
            "choose a Python older than {removed_in} with --python, or a newer release of the project"
        );
        return log_finding(FailureClass::InvalidMetadata, message, Some(hint));
    }
    if module != top && LOSE_MODULES_BETWEEN_RELEASES.contains(&top) {
        return removed_from_requirement(module, top);
    }
    let requirement = PROJECT_OF_MODULE
        .iter()
        .find(|(name, _)| *name == top)
        .map_or_else(|| top.replace('_', "-").to_ascii_lowercase(), |(_, project)| (*project).to_owned());
    log_finding(
        FailureClass::MissingBuildRequirement,
        format!("the build imports `{module}`, which no build requirement provides"),
        Some(give_requirement(&requirement)),
    )
}

/// Python names the whole dotted path only when it has found what stands before the last dot.
fn removed_from_requirement(module: &str, top: &str) -> Option<LogFinding> {
    let message = format!("the build imports `{module}`, which this version of {top} does not have");
    let hint = REMOVED_FROM_REQUIREMENT.iter().find(|(name, _)| module.starts_with(name)).map_or_else(
        || format!("give it one that does, with --constraint FILE and a line such as `{top}<VERSION`"),
        |(_, hint)| (*hint).to_owned(),
    );
    log_finding(FailureClass::InvalidMetadata, message, Some(hint))
}

const REMOVED_FROM_PYTHON: &[(&str, &str)] = &[
    ("asynchat", "3.12"),
    ("asyncore", "3.12"),
    ("imp", "3.12"),
    ("smtpd", "3.12"),
    ("cgi", "3.13"),
    ("crypt", "3.13"),
    ("lib2to3", "3.13"),
    ("pipes", "3.13"),
    ("telnetlib", "3.13"),
    ("ConfigParser", "3"),
    ("commands", "3"),
    ("urllib2", "3"),
];

const LOSE_MODULES_BETWEEN_RELEASES: &[&str] =
    &["Cython", "distutils", "numpy", "packaging", "pkg_resources", "setuptools", "wheel"];

const REMOVED_FROM_REQUIREMENT: &[(&str, &str)] = &[
    ("distutils.msvccompiler", "give it one that does, with --constraint FILE and the line `setuptools<74`"),
    ("numpy.distutils", "choose a Python older than 3.12 with --python: for newer ones no numpy has it"),
];

/// Modules whose project has another name than the module.
const PROJECT_OF_MODULE: &[(&str, &str)] = &[
    ("Crypto", "pycryptodome"),
    ("Cython", "cython"),
    ("PIL", "pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cmake", "cmake"),
    ("cv2", "opencv-python"),
    ("dateutil", "python-dateutil"),
    ("distutils", "setuptools"),
    ("flit_core", "flit-core"),
    ("git", "gitpython"),
    ("jinja2", "jinja2"),
    ("mesonpy", "meson-python"),
    ("pdm", "pdm-backend"),
    ("pkg_resources", "setuptools<81"),
    ("poetry", "poetry-core"),
    ("setuptools_rust", "setuptools-rust"),
    ("setuptools_scm", "setuptools-scm"),
    ("skbuild", "scikit-build"),
    ("sklearn", "scikit-learn"),
    ("sipbuild", "sip"),
    ("yaml", "pyyaml"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_is_laid_at_the_right_door() {
        use FailureClass::{InvalidMetadata, MissingBuildRequirement};
        for (module, class, hint) in [
            ("skbuild", MissingBuildRequirement, "'scikit-build'"),
            ("Some_Module.part", MissingBuildRequirement, "'some-module'"),
            ("numpy", MissingBuildRequirement, "'numpy'"),
            ("numpy.distutils", InvalidMetadata, "--python"),
            ("distutils.msvccompiler", InvalidMetadata, "setuptools<74"),
            ("setuptools.convert_path", InvalidMetadata, "setuptools<VERSION"),
            ("imp", InvalidMetadata, "older than 3.12"),
        ] {
            let found = module_finding(module).unwrap();
            assert_eq!(found.class, class, "{module}");
            assert!(found.hint.as_deref().is_some_and(|text| text.contains(hint)), "{module}: {found:?}");
        }
    }
}

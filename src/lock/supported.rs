//! The environments a lock is for: its `environments` and its Pythons, as one marker. Knows nothing of what is installed there.

use pep440_rs::VersionSpecifiers;
use pep508_rs::{MarkerEnvironment, MarkerExpression, MarkerTree, MarkerValueVersion};

use super::decision::{TooComplex, both, bounded, either, simplify_where};

/// What the names of platforms have to do with each other, which PEP 508 leaves open and each Python keeps to: a marker
/// that asks for `sys_platform == 'win32'` and one that asks for `platform_system == 'Linux'` never both hold.
const KNOWN_PLATFORMS: &str = "\
    (sys_platform == 'linux' and platform_system == 'Linux' and os_name == 'posix') or \
    (sys_platform == 'darwin' and platform_system == 'Darwin' and os_name == 'posix') or \
    (sys_platform == 'win32' and platform_system == 'Windows' and os_name == 'nt') or \
    (sys_platform != 'linux' and sys_platform != 'darwin' and sys_platform != 'win32' and \
     platform_system != 'Darwin' and platform_system != 'Windows' and os_name != 'nt')";
const KNOWN_IMPLEMENTATIONS: &str = "\
    (implementation_name == 'cpython' and platform_python_implementation == 'CPython') or \
    (implementation_name == 'pypy' and platform_python_implementation == 'PyPy') or \
    (implementation_name != 'cpython' and implementation_name != 'pypy' and \
     platform_python_implementation != 'CPython' and platform_python_implementation != 'PyPy')";

/// The environments a lock is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportedEnvironments {
    marker: MarkerTree,
    real: MarkerTree,
}

impl SupportedEnvironments {
    /// Those in which one of `environments` holds, or any if there are none, and whose Python is one of `requires_python`.
    pub fn new(environments: &[MarkerTree], requires_python: &VersionSpecifiers) -> Result<Self, TooComplex> {
        let mut marker = if environments.is_empty() { MarkerTree::TRUE } else { MarkerTree::FALSE };
        for environment in environments {
            marker = either(&marker, &bounded(environment.clone())?)?;
        }
        marker = both(&marker, &python_marker(requires_python)?)?;
        let parse = |text: &str| text.parse::<MarkerTree>().unwrap_or_default();
        let real = both(&parse(KNOWN_PLATFORMS), &parse(KNOWN_IMPLEMENTATIONS))?;
        let real = both(&marker, &real)?;
        Ok(Self { marker, real })
    }

    /// When an environment is one of them.
    pub fn marker(&self) -> &MarkerTree {
        &self.marker
    }

    /// Whether `environment` is one of them.
    pub fn include(&self, environment: &MarkerEnvironment) -> bool {
        self.marker.evaluate(environment, &[])
    }

    /// Whether `marker` holds in none of them.
    pub fn exclude(&self, marker: &MarkerTree) -> bool {
        marker.is_false() || marker.is_disjoint(&self.marker)
    }

    /// Where `one` and `other` both hold in one of them, as far as any real platform goes; `None` if nowhere.
    pub fn overlap(&self, one: &MarkerTree, other: &MarkerTree) -> Result<Option<MarkerTree>, TooComplex> {
        let common = both(one, other)?;
        if both(&common, &self.real)?.is_false() { Ok(None) } else { Ok(Some(self.simplify(&common)?)) }
    }

    /// `marker` without what holds in all of them: it gives the same answer in each.
    pub fn simplify(&self, marker: &MarkerTree) -> Result<MarkerTree, TooComplex> {
        simplify_where(marker, &self.marker)
    }
}

/// `requires-python` as a marker.
pub(super) fn python_marker(requires_python: &VersionSpecifiers) -> Result<MarkerTree, TooComplex> {
    let mut marker = MarkerTree::TRUE;
    for specifier in requires_python.iter() {
        let expression = MarkerExpression::Version {
            key: MarkerValueVersion::PythonFullVersion,
            specifier: specifier.clone(),
        };
        marker = both(&marker, &MarkerTree::expression(expression))?;
    }
    Ok(marker)
}

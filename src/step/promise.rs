//! What was promised of a wheel before it is built: the project, the version, the Python, the C library. Whatever is
//! something else is refused. Knows nothing of who promised it.

use std::fmt;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::verify::wheel_refused::WheelRefused;
use crate::packaging::interpreter::Interpreter;
use crate::platform::{LibcFamily, PythonVersion};

/// What must be true of a wheel and of the Python that builds it, as far as somebody said.
#[derive(Clone, Debug, Default)]
pub struct WheelPromise {
    /// The project.
    pub name: Option<PackageName>,
    /// Its version.
    pub version: Option<Version>,
    /// The version of Python.
    pub python: Option<PythonVersion>,
    /// The C library Python runs on.
    pub libc: Option<LibcFamily>,
}

impl WheelPromise {
    /// Whether what `python` builds can be what was promised.
    ///
    /// # Errors
    /// [`WheelRefused`], if it is of another version, or runs on another C library.
    pub fn check_python(&self, python: &Interpreter) -> Result<(), WheelRefused> {
        if let Some(promised) = self.python.as_ref().filter(|promised| !python.has_version(promised)) {
            return Err(WheelRefused::WrongPython {
                python: python.executable.clone(),
                found: python.version_text(),
                promised: promised.to_string(),
            });
        }
        // Nothing but glibc tells its name, and on Linux there is only one other.
        let found = if python.glibc().is_some() { LibcFamily::Glibc } else { LibcFamily::Musl };
        match self.libc {
            Some(promised) if promised != found => {
                Err(WheelRefused::WrongLibc { python: python.executable.clone(), found, promised })
            }
            _ => Ok(()),
        }
    }

    /// Whether name and version, as far as they are known, are those that were promised.
    ///
    /// # Errors
    /// [`WheelRefused::WrongProject`].
    pub fn check_project(
        &self,
        name: Option<&PackageName>,
        version: Option<&Version>,
    ) -> Result<(), WheelRefused> {
        differs("name", self.name.as_ref(), name)?;
        differs("version", self.version.as_ref(), version)
    }
}

fn differs<T: PartialEq + fmt::Display>(
    what: &'static str,
    promised: Option<&T>,
    found: Option<&T>,
) -> Result<(), WheelRefused> {
    match (promised, found) {
        (Some(promised), Some(found)) if promised != found => {
            Err(WheelRefused::WrongProject { what, found: found.to_string(), promised: promised.to_string() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(libc: Option<&str>) -> Interpreter {
        let cache = tempfile::tempdir().unwrap();
        let found = Interpreter::find("3", cache.path()).unwrap();
        Interpreter { version: (3, 11, 7), libc: libc.map(str::to_owned), ..found }
    }

    #[test]
    fn a_python_of_another_version_or_c_library_is_refused() {
        let on_glibc = python(Some("glibc 2.36"));
        let version =
            |text: &str| WheelPromise { python: Some(text.parse().unwrap()), ..WheelPromise::default() };
        for fits in ["3", "3.11", "3.11.7"] {
            version(fits).check_python(&on_glibc).unwrap();
        }
        for other in ["3.1", "3.12", "3.11.8", "2"] {
            let refused = version(other).check_python(&on_glibc).unwrap_err().to_string();
            assert!(refused.contains(&format!("must be for Python {other}, but ")), "{refused}");
        }
        let libc = |libc| WheelPromise { libc: Some(libc), ..WheelPromise::default() };
        libc(LibcFamily::Glibc).check_python(&on_glibc).unwrap();
        libc(LibcFamily::Musl).check_python(&python(None)).unwrap();
        assert!(libc(LibcFamily::Musl).check_python(&on_glibc).is_err());
        assert!(libc(LibcFamily::Glibc).check_python(&python(None)).is_err());
    }

    #[test]
    fn names_and_versions_are_compared_as_their_standards_say() {
        let promised = WheelPromise {
            name: "Some._-Name".parse().ok(),
            version: "1.0-2".parse().ok(),
            ..WheelPromise::default()
        };
        let check = |name: &str, version: &str| {
            promised.check_project(name.parse().ok().as_ref(), version.parse().ok().as_ref())
        };
        check("some-name", "1.post2").unwrap();
        assert!(check("some", "1.post2").unwrap_err().to_string().contains("name `some`"));
        assert!(check("some-name", "1.0").unwrap_err().to_string().contains("version `1.0`"));
        promised.check_project(None, None).unwrap();
    }
}

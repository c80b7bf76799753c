//! What a check is asked for, with everything found that was only named. Knows nothing of how it is done.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use pep508_rs::PackageName;

use crate::contract::{GivenWheels, SandboxMode};
use crate::packaging::interpreter::Interpreter;
use crate::platform::Target;
use crate::step::helper::Helpers;

/// One check.
#[derive(Debug)]
pub struct CheckRequest {
    /// The wheels: files, or directories to choose from.
    pub wheels: Vec<GivenWheels>,
    /// The Python they are for.
    pub interpreter: Interpreter,
    /// The platform that Python must be of.
    pub target: Option<Target>,
    /// How that Python is asked for other things than what is checked.
    pub helpers: Helpers,
    /// Which modules are imported.
    pub imports: ImportedPackages,
    /// pip's own wheel, if pip is to say what is missing and what conflicts.
    pub pip: Option<GivenWheels>,
    /// How long a module may take to be imported.
    pub timeout: Duration,
    /// How much of a sandbox there must be.
    pub sandbox: SandboxMode,
    /// Where unpacked wheels are kept.
    pub cache: PathBuf,
    /// Where to work; a directory of the cache if `None`.
    pub work: Option<PathBuf>,
}

/// The packages whose modules are imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedPackages {
    /// Every one.
    All,
    /// These.
    Named(BTreeSet<PackageName>),
}

impl ImportedPackages {
    /// Whether those of `package` are.
    pub(super) fn include(&self, package: &PackageName) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(package),
        }
    }
}

//! What a hermetic step is asked for. Knows nothing of who asks, nor of how it is done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::backend::cross_compiler::CrossCompiler;
use super::backend::hooks::ConfigSettings;
use super::helper::Helpers;
use super::promise::WheelPromise;
use crate::contract::{ArchiveLimits, Expect, GivenWheels, SandboxMode};
use crate::packaging::interpreter::Interpreter;
use crate::platform::{Glibc, Target};

/// What the backend is run with, whatever it is to make.
#[derive(Debug)]
pub struct BackendRequest {
    /// The Python that builds.
    pub interpreter: Interpreter,
    /// How the programs run that are asked something on the way.
    pub helpers: Helpers,
    /// The wheels of the build requirements.
    pub build_wheels: Vec<GivenWheels>,
    /// PEP 517 `config_settings`.
    pub config_settings: ConfigSettings,
    /// Variables added to the build's environment.
    pub environment: BTreeMap<String, String>,
    /// Directories added to the build's PATH.
    pub tool_directories: Vec<PathBuf>,
    /// The compiler for the interpreter's architecture that builds are told to use.
    pub cross_compiler: Option<CrossCompiler>,
    /// Crates vendored by `cargo vendor`.
    pub crates: Option<PathBuf>,
    /// How long the backend may take.
    pub timeout: Option<Duration>,
    /// How the build is isolated.
    pub sandbox: SandboxMode,
    /// Where interpreters' facts and unpacked wheels are kept between builds.
    pub cache: PathBuf,
    /// Where the workspace is made; a directory of the cache when absent, so that files can be
    /// hard-linked rather than copied.
    pub work: Option<PathBuf>,
    /// Leave the workspace in place afterwards.
    pub keep_work: bool,
}

/// The wheel to make of an sdist, and under which limits.
#[derive(Debug)]
pub struct WheelRequest {
    /// What the backend is run with.
    pub backend: BackendRequest,
    /// The sdist.
    pub sdist: PathBuf,
    /// Directory the wheel is put into; made if absent.
    pub out: PathBuf,
    /// The platform the wheel must be for.
    pub target: Target,
    /// The newest glibc the wheel may need; the interpreter's own when absent.
    pub glibc: Option<Glibc>,
    /// Patch files, applied in order.
    pub patches: Vec<PathBuf>,
    /// Leading components dropped from names in patches.
    pub patch_strip: usize,
    /// Limits of the archive.
    pub limits: ArchiveLimits,
    /// Whether the wheel must hold compiled code.
    pub expect: Expect,
    /// What else must be true of it.
    pub promise: WheelPromise,
}

/// The sdist to make of a source tree.
#[derive(Debug)]
pub struct SdistRequest {
    /// What the backend is run with.
    pub backend: BackendRequest,
    /// The tree. It is not written to.
    pub tree: PathBuf,
    /// The project's directory in it, relative; the tree itself when absent.
    pub subdirectory: Option<PathBuf>,
    /// A directory with what git said of the repository that the tree is of; it is taken to be of none when absent.
    pub git_answers: Option<PathBuf>,
    /// Directory the sdist is put into; made if absent.
    pub out: PathBuf,
}

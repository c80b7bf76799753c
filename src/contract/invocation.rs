//! How the step is called, beside its flags: the program, what the action is called, the variables.

use std::collections::BTreeMap;

use super::number::{CONTRACT, CONTRACT_VARIABLE};
use crate::platform::SYSTEM_PATH;

/// `arguments[0]` of an action that makes a wheel. A worker of crosswheel runs the binary that it is itself.
pub const PROGRAM: &str = "crosswheel";

/// `arguments[1]` of it.
pub const SUBCOMMAND: &str = "wheel";

/// `arguments[1]` of an action that makes an sdist.
pub const SDIST_SUBCOMMAND: &str = "sdist";

/// What such actions are called (`RequestMetadata.action_mnemonic`, and the mnemonic of Bazel's rules).
pub const MNEMONIC: &str = "PySdistBuild";

/// What actions are called that make an sdist of a source tree.
pub const SDIST_MNEMONIC: &str = "PySdist";

/// `arguments[1]` of an action that checks wheels.
pub const CHECK_SUBCOMMAND: &str = "check";

/// What such actions are called.
pub const CHECK_MNEMONIC: &str = "PyWheelsCheck";

/// Where programs are looked for: the Python that builds, and crosswheel itself on workers of others.
pub const PATH_VARIABLE: &str = "PATH";

/// Where the step keeps what may be used again (`--cache-dir`). A worker sets it, clients do not.
pub const CACHE_VARIABLE: &str = "CROSSWHEEL_CACHE_DIR";

/// The cross compiler (`--cross-cc`). A worker sets it, unless the action does.
pub const CROSS_CC_VARIABLE: &str = "CROSSWHEEL_CROSS_CC";

/// Where the step builds (`--work-dir`).
pub const WORK_VARIABLE: &str = "CROSSWHEEL_WORK_DIR";

/// The environment of an action that makes a wheel or an sdist, or checks wheels: all that whoever asks has to set.
pub fn environment() -> BTreeMap<String, String> {
    let variables = [(PATH_VARIABLE, SYSTEM_PATH.to_owned()), (CONTRACT_VARIABLE, CONTRACT.to_string())];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

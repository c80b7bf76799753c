//! What the user wants done with every source, and what of it must be checked before anything starts.
//! Knows nothing of the flags that say it.

use std::path::PathBuf;

use super::customisation::{Customisation, Patch};
use super::inputs::sdists::Sdists;
use super::settings::index_settings::IndexFlags;
use super::targets::placement::RemotePlacement;
use crate::contract::{Expect, Failure, FailureClass, Flag, KeyValue, SandboxMode};
use crate::packaging::requirement_text::parse_requirement;
use crate::platform::{Glibc, Target};

/// What the user wants done with every source.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// The Python to build with: a version, a command or a path.
    pub python: String,
    /// Files of requirements (pip's `-r`), each of which names sources and may say where packages come from.
    pub requirements: Vec<PathBuf>,
    /// The directory for wheels.
    pub out: PathBuf,
    /// The cache directory.
    pub cache_directory: PathBuf,
    /// The workers that steps run on, if not on this machine.
    pub remote: Option<RemotePlacement>,
    /// Where packages come from, as far as flags say.
    pub index: IndexFlags,
    /// Changes to the builds of the sources.
    pub build_requires: Vec<String>,
    /// `KEY=VALUE` for the backends' `config_settings`.
    pub config_settings: Vec<String>,
    /// `KEY=VALUE` for the backends' environment.
    pub env: Vec<String>,
    /// Directories of tools for the backends' PATH.
    pub tool_directories: Vec<PathBuf>,
    /// Whether wheels must hold compiled code.
    pub expect: Expect,
    /// Patch files.
    pub patches: Vec<PathBuf>,
    /// Leading path components to strip from the names in patches.
    pub patch_strip: usize,
    /// The platforms, in the order in which their results are wanted; if there are none, the interpreter's.
    pub targets: Vec<Target>,
    /// Root file systems in which the steps for a target run, if they run on this machine.
    pub roots: Vec<(Target, PathBuf)>,
    /// Whether each of them is meant for this run, rather than for whichever needs it.
    pub roots_of_this_run: bool,
    /// The compiler of this machine that emulated builds use, as the executor understands it; their own if `None`.
    pub cross_compiler: Option<String>,
    /// The newest glibc wheels may need.
    pub glibc: Option<Glibc>,
    /// The same for those targets that have their own.
    pub target_glibc: Vec<(Target, Glibc)>,
    /// How much isolation there must be.
    pub sandbox: SandboxMode,
    /// Seconds a backend may take.
    pub timeout: Option<u64>,
    /// How many sources are built at a time.
    pub jobs: usize,
    /// Build sources even if their wheels are in the cache.
    pub rebuild: bool,
    /// Build on every target, whatever could be shared.
    pub no_share: bool,
    /// Ask indexes again.
    pub refresh: bool,
    /// The lock file.
    pub lock: Option<PathBuf>,
    /// Whether what the lock file does not have yet is added to it, and not refused.
    pub lock_grows: bool,
    /// Resolve anew and rewrite the lock file.
    pub update_lock: bool,
    /// Show the backends' output.
    pub verbose: bool,
}

impl BuildOptions {
    /// The newest glibc that wheels for `target` may need, if that was said.
    pub(super) fn glibc_for(&self, target: Target) -> Option<Glibc> {
        let own = self.target_glibc.iter().find(|(of, _)| *of == target).map(|(_, glibc)| *glibc);
        own.or(self.glibc)
    }

    /// What they change about the builds of the sources.
    pub(super) fn customisation(&self, sdists: &Sdists) -> Result<Customisation, Failure> {
        for requirement in &self.build_requires {
            if let Err(reason) = parse_requirement(requirement) {
                return Err(invalid(format!("--build-requires `{requirement}`: {reason}")));
            }
        }
        let patch = |path: &PathBuf| -> Result<Patch, Failure> {
            let path = fs_err::canonicalize(path)?;
            let bytes = fs_err::read(&path)?;
            let touches_pyproject = bytes.windows(14).any(|window| window == b"pyproject.toml");
            Ok(Patch { sha256: sdists.digest(&path)?, path, touches_pyproject })
        };
        Ok(Customisation {
            build_requires: self.build_requires.clone(),
            pins: Vec::new(),
            config_settings: key_values(Flag::ConfigSetting, &self.config_settings)?,
            env: key_values(Flag::Env, &self.env)?,
            tool_directories: self.tool_directories.clone(),
            expect: self.expect,
            patches: self.patches.iter().map(patch).collect::<Result<_, _>>()?,
            patch_strip: self.patch_strip,
        })
    }
}

fn key_values(flag: Flag, texts: &[String]) -> Result<Vec<KeyValue>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|_| invalid(format!("--{} `{text}` is not of the form KEY=VALUE", flag.name())))
    };
    texts.iter().map(parse).collect()
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

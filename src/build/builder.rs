//! What builds for one target: its Python, and what wheels that Python takes.
//! Knows nothing of sources, nor of the other targets.

use std::sync::Arc;

use super::progress::Task;
use super::resolve::lock::LockEnvironment;
use super::run::Run;
use super::steps::runner::Runner;
use super::targets::destination::Destination;
use super::targets::placement::Placement;
use crate::contract::Failure;
use crate::packaging::compatible_tags::CompatibleTags;
use crate::packaging::interpreter::Interpreter;
use crate::platform::{Glibc, Target};

/// Builds for one target, with what the run has for all of them.
pub(super) struct Builder {
    pub(super) run: Arc<Run>,
    pub(super) interpreter: Interpreter,
    pub(super) target: Target,
    /// The glibc that build requirements may need: they run where the build does, whatever the wheel may need.
    pub(super) build_glibc: Option<Glibc>,
    pub(super) tags: CompatibleTags,
    pub(super) environment: LockEnvironment,
    pub(super) runner: Runner,
}

impl Builder {
    /// What builds for `destination`; asks its Python about itself, if it is not the one that is here.
    ///
    /// # Errors
    /// What fails every source for this target.
    pub(super) fn new(run: Arc<Run>, destination: &Destination, task: &Task) -> Result<Self, Failure> {
        let target = destination.target;
        let placement = destination.placement.clone()?;
        let interpreter = match known_python(&run, &placement, target) {
            Some(local) => local,
            None => run.python_at(&placement, target, task)?,
        };
        let build_glibc = match (run.options.glibc_for(target), interpreter.glibc()) {
            (Some(wanted), Some(there)) => Some(wanted.min(there)),
            (_, there) => there,
        };
        let (major, minor, _) = interpreter.version;
        let (executor, interrupt) = (Arc::clone(&run.executor), Arc::clone(&run.interrupt));
        Ok(Self {
            tags: CompatibleTags::new((major, minor), &interpreter.abi_flags, target, build_glibc),
            environment: LockEnvironment { python: format!("{major}.{minor}"), target },
            runner: Runner::new(executor, target, placement, interrupt, run.options.verbose),
            run,
            interpreter,
            target,
            build_glibc,
        })
    }
}

/// The Python of this machine, if steps at `placement` use it, or one like it.
fn known_python(run: &Run, placement: &Placement, target: Target) -> Option<Interpreter> {
    let named = match placement {
        Placement::Here => false,
        Placement::Root(_) => true,
        Placement::Remote(remote) => remote.python.is_some(),
    };
    let local = run.local.as_ref().ok().filter(|local| !named && local.target() == target)?;
    Some(local.clone())
}

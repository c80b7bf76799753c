//! For who runs many commands. Knows nothing of what they do.

use super::error::SandboxError;
use super::isolation::{Isolation, Sandbox};
use super::spec::Spec;
use super::tree::ProcessTree;

/// Starts commands, any number of them at a time and from any thread.
#[derive(Debug)]
pub struct Spawner {
    sandbox: Sandbox,
}

impl Spawner {
    /// A spawner of commands that get what those of `sandbox` get.
    ///
    /// # Errors
    /// Those of [`Sandbox::detect`].
    pub fn start(sandbox: &Sandbox) -> Result<Self, SandboxError> {
        Ok(Self { sandbox: sandbox.clone() })
    }

    /// What every command gets.
    pub fn isolation(&self) -> &Isolation {
        self.sandbox.isolation()
    }

    /// As [`Sandbox::spawn`].
    ///
    /// # Errors
    /// Those of [`Sandbox::spawn`].
    pub fn spawn(&self, spec: Spec) -> Result<ProcessTree, SandboxError> {
        self.sandbox.spawn(spec)
    }
}

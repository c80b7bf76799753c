//! Whether the wheels of a target work together, there: by an action at its placement, whose good answer is kept as any
//! result is.
//! Knows nothing of how the wheels came about, or of what is done about what is wrong with them.

use std::path::PathBuf;

use pep508_rs::PackageName;

use super::builder::Builder;
use super::cache::KeyBuilder;
use super::progress::Task;
use super::steps::check_step::CheckStep;
use super::steps::pip::pip_for;
use crate::contract::{CheckReport, Failure};
use crate::digest::Sha256;

/// A wheel, and its digest.
type Wheel = (PathBuf, Sha256);

impl Builder {
    /// Installs `wheels`, looks for what they require among them, and imports the modules of the packages `imports`.
    /// What is wrong with them is in the report ([`CheckReport::failure`]).
    ///
    /// # Errors
    /// If it could not be found out.
    pub(super) fn check(
        &self,
        wheels: &[Wheel],
        imports: &[PackageName],
        task: &Task,
    ) -> Result<CheckReport, Failure> {
        let (pip, note) = self.pip()?;
        let step = self.check_step(wheels, imports, pip);
        let mut report = self.runner.check(&step, self.run.options.rebuild, task)?;
        report.notes.extend(note);
        Ok(report)
    }

    /// A key that changes with what would make it another check.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn check_key(&self, wheels: &[Wheel], imports: &[PackageName]) -> Result<Sha256, Failure> {
        let (pip, _) = self.pip()?;
        let job = self.check_step(wheels, imports, pip).job(self.runner.placement())?;
        Ok(KeyBuilder::default().part("check", job.digest().hex()).finish())
    }

    fn check_step<'a>(
        &'a self,
        wheels: &'a [Wheel],
        imports: &'a [PackageName],
        pip: Option<Wheel>,
    ) -> CheckStep<'a> {
        CheckStep {
            wheels,
            imports,
            pip,
            interpreter: &self.interpreter,
            target: self.target,
            sandbox: self.run.options.sandbox,
        }
    }

    /// pip's wheel, if it can be had; else why not. Without it less is sure, but nothing is wrong.
    fn pip(&self) -> Result<(Option<Wheel>, Option<String>), Failure> {
        let (major, minor, _) = self.interpreter.version;
        let found = pip_for((major, minor), &self.run.cache, &self.run.index, &self.run.downloads);
        self.run.interrupt.check()?;
        Ok(match found {
            Ok(pip) => (pip, None),
            Err(failure) => (
                None,
                Some(format!("pip cannot be had, so crosswheel checked instead of it: {}", failure.message)),
            ),
        })
    }
}

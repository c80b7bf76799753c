//! One sdist for several targets: built for each, but a wheel that is pure is built for one and shared with the others.
//! Knows nothing of where the sdist comes from, nor of the order of the targets.

use std::path::PathBuf;

use parking_lot::Mutex;

use super::builders::Builders;
use super::built::Built;
use super::customisation::Customisation;
use super::inputs::sdists::Sdist;
use super::progress::Task;
use super::resolve::lock::LockedSdist;
use super::results::SourceStatus;
use super::targets::sharing::is_right_for;
use super::wheel_cache::{Published, publish};
use crate::contract::{Failure, FailureClass, Report};
use crate::platform::Target;

/// The wheels that there are of an sdist.
pub(super) struct SharedBuilds<'a> {
    pub(super) builders: &'a Builders,
    done: Mutex<Vec<Done>>,
}

/// A wheel, with the target that it was built for.
#[derive(Clone)]
struct Done {
    target: Target,
    report: Report,
    worker: String,
    published: PathBuf,
}

/// A wheel where the user wants it.
pub(super) struct Delivered {
    pub(super) status: SourceStatus,
    pub(super) report: Report,
    pub(super) wheel: PathBuf,
    /// Whether a different file of that name was replaced.
    pub(super) replaced: bool,
    /// The target that it was built for, if that is another one.
    pub(super) shared_from: Option<Target>,
    /// The worker that built it, as the executor names it; may be empty.
    pub(super) worker: String,
    /// What goes into the lock file for it.
    pub(super) locks: Vec<LockedSdist>,
}

impl<'a> SharedBuilds<'a> {
    /// There are none yet.
    pub(super) fn new(builders: &'a Builders) -> Self {
        Self { builders, done: Mutex::default() }
    }

    /// Adds the wheel at `published`, which was built for `target` by another run.
    pub(super) fn add(&self, target: Target, report: Report, worker: String, published: PathBuf) {
        self.done.lock().push(Done { target, report, worker, published });
    }

    /// The wheel of `sdist` for the destination at `index`, in the output directory: one that was built for another
    /// target, if it is right for this one, or else built. `check` may refuse what was built.
    pub(super) fn deliver(
        &self,
        index: usize,
        sdist: &Sdist,
        customisation: &Customisation,
        check: impl Fn(&Report) -> Result<(), Failure>,
        task: &Task,
    ) -> Result<Delivered, Failure> {
        let run = &*self.builders.run;
        let builder = self.builders.builder(index, task)?;
        let writes_lock = run.lock_to_write().is_some();
        // What a patched pyproject.toml asks for only a build can tell the lock.
        let may_share = !(run.options.no_share || writes_lock && customisation.touches_pyproject());
        let is_right = |done: &&Done| {
            may_share
                // Of a project of the index, another Python may have got another version.
                && done.report.sdist_sha256 == sdist.sha256
                && is_right_for(&done.report, customisation.expect, &builder.interpreter)
        };
        let shared = self.done.lock().iter().find(is_right).cloned();
        if let Some(done) = shared {
            let locks = match writes_lock {
                true => builder.locks_of_shared(sdist, customisation, &done.report, task)?,
                false => Vec::new(),
            };
            return Ok(Delivered {
                status: SourceStatus::Shared,
                report: done.report,
                wheel: done.published,
                replaced: false,
                shared_from: Some(done.target),
                worker: done.worker,
                locks,
            });
        }
        let built = builder.build_sdist(sdist, customisation, run.options.rebuild, &[sdist], task)?;
        run.interrupt.check()?;
        check(&built.report)?;
        // Held until the wheel is where it belongs: another target's may have its name.
        let mut done = self.done.lock();
        check_distinct(&done, builder.target, &built.report)?;
        let (out, sha256) = (&run.options.out, built.report.sha256);
        let (wheel, published) = publish(&built.wheel, sha256, out, None, &run.sdists, &run.interrupt)?;
        let Built { report, worker, cached, locks, .. } = built;
        let (of_report, of_worker) = (report.clone(), worker.clone());
        let (target, published_at) = (builder.target, wheel.clone());
        done.push(Done { target, report: of_report, worker: of_worker, published: published_at });
        Ok(Delivered {
            status: if cached { SourceStatus::Cached } else { SourceStatus::Built },
            report,
            wheel,
            replaced: published == Published::Replaced,
            shared_from: None,
            worker,
            locks,
        })
    }
}

/// Fails if the wheel for `target` has the name of one that is `done` for another, and other bytes: one of the two
/// would be installed where the other belongs.
fn check_distinct(done: &[Done], target: Target, report: &Report) -> Result<(), Failure> {
    let is_other =
        |done: &&Done| done.report.file_name == report.file_name && done.report.sha256 != report.sha256;
    let Some(other) = done.iter().find(is_other) else { return Ok(()) };
    let message = format!(
        "{} for {target} is not the same as for {}, and nothing in its name tells them apart",
        report.file_name, other.target
    );
    let hint = "its build depends on the platform and says that it does not; build for one target at a time, with an --out for each";
    Err(Failure::new(FailureClass::WheelRefused, message).with_hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::targets::sharing::tests::report;
    use crate::digest::Sha256;
    use crate::packaging::interpreter::Interpreter;
    use crate::platform::Arch;

    #[test]
    fn two_wheels_of_one_name_must_be_one_wheel() {
        let report = report(&Interpreter::find("3", tempfile::tempdir().unwrap().path()).unwrap());
        let [amd64, arm64] = [Arch::Amd64, Arch::Arm64].map(|arch| Target { arch });
        let done = [Done {
            target: amd64,
            report: report.clone(),
            worker: String::new(),
            published: PathBuf::new(),
        }];
        check_distinct(&done, arm64, &report).unwrap();
        let sha256 = Sha256::of(b"other bytes");
        let renamed = Report { file_name: "a-1-py3-none-linux_aarch64.whl".into(), sha256, ..report.clone() };
        check_distinct(&done, arm64, &renamed).unwrap();
        let failure = check_distinct(&done, arm64, &Report { sha256, ..report }).unwrap_err();
        assert_eq!(failure.class.exit_code(), 19);
        assert!(failure.message.contains("is not the same as for linux_amd64"), "{failure}");
    }
}

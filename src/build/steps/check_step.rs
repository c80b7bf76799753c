//! What to run to know whether wheels work together on a target: one `crosswheel check` as an action. Knows nothing of
//! processes, nor of where the wheels come from.

use std::path::PathBuf;

use pep508_rs::PackageName;

use super::step_action::{add, python, salt};
use crate::build::targets::placement::Placement;
use crate::client::{InputRoot, Job};
use crate::contract::{
    CHECK_MNEMONIC, CheckCommand, Failure, GivenWheels, RELEASE, SandboxMode, environment,
};
use crate::digest::Sha256;
use crate::packaging::interpreter::Interpreter;
use crate::platform::Target;

/// One run of `crosswheel check`.
#[derive(Clone, Debug)]
pub struct CheckStep<'a> {
    /// The wheels that are to work together, and their digests.
    pub wheels: &'a [(PathBuf, Sha256)],
    /// The packages among them whose modules are imported.
    pub imports: &'a [PackageName],
    /// pip's own wheel, and its digest; crosswheel does what pip does if `None`.
    pub pip: Option<(PathBuf, Sha256)>,
    /// The Python they are for.
    pub interpreter: &'a Interpreter,
    /// The platform they are for.
    pub target: Target,
    /// How much isolation there must be.
    pub sandbox: SandboxMode,
}

impl CheckStep<'_> {
    /// The action that checks them; it has no outputs but its answer. Where it ends by itself is bounded for each import, and so
    /// is all of it.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(crate) fn job(&self, placement: &Placement) -> Result<Job, Failure> {
        let mut inputs = InputRoot::default();
        let mut give = |directory: &str, (wheel, sha256): &(PathBuf, Sha256)| {
            let path = add(&mut inputs, directory, wheel, *sha256)?.into();
            Ok::<_, Failure>(GivenWheels { path, sha256: Some(*sha256) })
        };
        let wheels = self.wheels.iter().map(|wheel| give("wheels", wheel)).collect::<Result<_, _>>()?;
        let pip = self.pip.as_ref().map(|wheel| give("pip", wheel)).transpose()?;
        let command = CheckCommand {
            python: python(self.interpreter, placement)?,
            target: Some(self.target),
            imports: self.imports.to_vec(),
            no_imports: self.imports.is_empty(),
            pip,
            sandbox: self.sandbox,
            json: true,
            ..CheckCommand::new(wheels)
        };
        Ok(Job {
            arguments: command.render()?,
            environment: environment(),
            inputs,
            platform: placement.platform(self.target),
            salt: salt(placement, RELEASE, self.interpreter, None),
            mnemonic: CHECK_MNEMONIC.to_owned(),
            target: self.target.to_string(),
            ..Job::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::targets::placement::RemotePlacement;
    use crate::build::targets::target_root::TargetRoot;

    fn with_step<T>(use_step: impl Fn(&mut CheckStep) -> T) -> T {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = directory.path().join(name);
            fs_err::write(&path, name).unwrap();
            (path, Sha256::of(name.as_bytes()))
        };
        let interpreter = Interpreter::find("3", directory.path()).unwrap();
        let wheels = [file("a-1-py3-none-any.whl"), file("b-1-py3-none-any.whl")];
        let mut step = CheckStep {
            wheels: &wheels,
            imports: &["a".parse().unwrap()],
            pip: Some(file("pip-26.2-py3-none-any.whl")),
            interpreter: &interpreter,
            target: interpreter.target(),
            sandbox: SandboxMode::Required,
        };
        use_step(&mut step)
    }

    #[test]
    fn the_command_line_names_the_wheels_and_nothing_of_this_machine_travels() {
        with_step(|step| {
            let job = step.job(&Placement::Remote(RemotePlacement::default())).unwrap();
            let (a, pip) = (Sha256::of(b"a-1-py3-none-any.whl"), Sha256::of(b"pip-26.2-py3-none-any.whl"));
            let text = job.arguments.join(" ");
            for part in [
                &format!("crosswheel check wheels/a-1-py3-none-any.whl#sha256={a} wheels/b-1"),
                &format!(
                    "--target={} --import=a --pip=pip/pip-26.2-py3-none-any.whl#sha256={pip}",
                    step.target
                ),
                "--sandbox=required --json",
            ] {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert!(!job.arguments.iter().any(|argument| argument.contains("=/")), "{text}");
            assert!(job.salt.is_empty());
            step.imports = &[];
            assert!(step.job(&Placement::Here).unwrap().arguments.contains(&"--no-imports".to_owned()));
        });
    }

    #[test]
    fn the_action_follows_what_decides_the_answer() {
        let root = |stamp: &str| {
            let (directory, stamp) = ("/srv/root".into(), stamp.into());
            Placement::Root(TargetRoot { directory, stamp, cross_compiler: None })
        };
        let digest = |placement: &Placement, change: &dyn Fn(&mut CheckStep)| {
            with_step(|step| {
                change(step);
                step.job(placement).unwrap().digest()
            })
        };
        let unchanged = digest(&Placement::Here, &|_| ());
        assert_eq!(digest(&Placement::Here, &|_| ()), unchanged);
        assert_ne!(digest(&Placement::Here, &|step| step.wheels = &step.wheels[..1]), unchanged);
        assert_ne!(digest(&Placement::Here, &|step| step.imports = &[]), unchanged);
        assert_ne!(digest(&Placement::Here, &|step| step.pip = None), unchanged);
        assert_ne!(digest(&root("one"), &|_| ()), digest(&root("another"), &|_| ()));
        assert_ne!(digest(&root("one"), &|_| ()), unchanged);
    }
}

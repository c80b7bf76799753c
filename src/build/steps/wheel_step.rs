//! What to run: one hermetic `crosswheel wheel` as an action. Knows nothing of processes, nor of how actions get
//! to where they run.

use std::path::{Path, PathBuf};

use super::rust_inputs::RustInputs;
use super::step_action::{
    OUT, Step, add, give_crates, give_wheels, python, salt, text_of_name, timeout_of_action,
    tool_directories, with_interpreter, with_settings,
};
use crate::build::cache::KeyBuilder;
use crate::build::customisation::{Customisation, Patch};
use crate::build::targets::placement::Placement;
use crate::client::{InputRoot, Job};
use crate::contract::{Failure, MNEMONIC, RELEASE, Report, SandboxMode, WheelCommand, environment};
use crate::digest::Sha256;
use crate::packaging::interpreter::Interpreter;
use crate::platform::{Glibc, Target};

/// One run of `crosswheel wheel`.
#[derive(Clone, Debug)]
pub struct WheelStep<'a> {
    /// The sdist.
    pub sdist: &'a Path,
    /// SHA-256 of the sdist.
    pub sdist_sha256: Sha256,
    /// Wheels of the build requirements and their digests.
    pub build_wheels: Vec<(PathBuf, Sha256)>,
    /// The Python to build with.
    pub interpreter: &'a Interpreter,
    /// The platform the wheel is for.
    pub target: Target,
    /// The newest glibc the wheel may need.
    pub glibc: Option<Glibc>,
    /// What it needs to compile Rust.
    pub rust: Option<RustInputs>,
    /// What the user changes about it.
    pub customisation: &'a Customisation,
    /// How much isolation it must have.
    pub sandbox: SandboxMode,
    /// Seconds the backend may take.
    pub timeout: Option<u64>,
}

impl Step for WheelStep<'_> {
    type Report = Report;

    /// The action that makes the wheel, in [`OUT`]. Paths of this machine are in it only if it runs here.
    ///
    /// # Errors
    /// What cannot travel to a worker elsewhere; files that cannot be read.
    fn job(&self, placement: &Placement) -> Result<Job, Failure> {
        let mut inputs = InputRoot::default();
        let command = self.command(placement, &mut inputs)?;
        Ok(Job {
            arguments: command.render()?,
            environment: environment(),
            inputs,
            output_paths: vec![OUT.to_owned()],
            platform: placement.platform(self.target),
            timeout: timeout_of_action(self.timeout),
            salt: salt(placement, RELEASE, self.interpreter, self.rust.as_ref()),
            skip_cache: false,
            mnemonic: MNEMONIC.to_owned(),
            target: text_of_name(self.sdist)?,
        })
    }

    fn timeout(&self) -> Option<u64> {
        self.timeout
    }
}

impl WheelStep<'_> {
    /// What is to be run; adds to `inputs` what it needs.
    fn command(&self, placement: &Placement, inputs: &mut InputRoot) -> Result<WheelCommand, Failure> {
        let custom = self.customisation;
        let sdist = add(inputs, "sdist", self.sdist, self.sdist_sha256)?;
        Ok(WheelCommand {
            python: python(self.interpreter, placement)?,
            build_wheels: give_wheels(&self.build_wheels, inputs)?,
            target: Some(self.target),
            glibc: self.glibc,
            tool_directories: tool_directories(custom, self.rust.as_ref(), placement, self.target)?,
            crates: give_crates(self.rust.as_ref(), inputs)?,
            expect: custom.expect,
            sandbox: self.sandbox,
            config_settings: custom.config_settings.clone(),
            environment: custom.env.clone(),
            patches: self.patches(inputs)?,
            patch_strip: custom.patch_strip,
            timeout: self.timeout,
            json: true,
            ..WheelCommand::new(sdist, OUT)
        })
    }

    fn patches(&self, inputs: &mut InputRoot) -> Result<Vec<PathBuf>, Failure> {
        let mut give = |(index, patch): (usize, &Patch)| {
            // Their order counts, and two may have one name.
            Ok(add(inputs, &format!("patches/{index}"), &patch.path, patch.sha256)?.into())
        };
        self.customisation.patches.iter().enumerate().map(&mut give).collect()
    }

    /// What the answer of the backend's requires hook depends on.
    pub fn learning_key(&self) -> Sha256 {
        let key = KeyBuilder::default()
            .part("sdist", self.sdist_sha256.to_string())
            .part("target", self.target.to_string());
        self.with_customisation(with_interpreter(key, self.interpreter)).finish()
    }

    /// Changes with everything that decides the wheel, but for its build requirements, and the Rust that compiles it.
    pub(crate) fn planned_key(&self, placement: &Placement) -> Sha256 {
        let key = KeyBuilder::default()
            .part("step", self.learning_key().to_string())
            .parts("build requirement", &self.customisation.build_requires)
            .parts("pin", self.customisation.pins.iter().map(|(name, version)| format!("{name}=={version}")))
            .part("glibc", self.glibc.map(|glibc| glibc.to_string()).unwrap_or_default())
            .part("sandbox", self.sandbox.to_string())
            .part("salt", salt(placement, RELEASE, self.interpreter, None));
        match placement {
            Placement::Here | Placement::Root(_) => key.finish(),
            Placement::Remote(remote) => key
                .parts("remote python", &remote.python)
                .parts("property", remote.properties.iter().map(|(name, value)| format!("{name}={value}")))
                .finish(),
        }
    }

    fn with_customisation(&self, key: KeyBuilder) -> KeyBuilder {
        let custom = self.customisation;
        with_settings(key, custom)
            .part("expect", custom.expect.to_string())
            .parts("patch", custom.patches.iter().map(|patch| patch.sha256.to_string()))
            .part("patch-strip", custom.patch_strip.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::customisation::Patch;
    use crate::build::targets::placement::RemotePlacement;
    use crate::build::targets::target_root::TargetRoot;
    use crate::contract::Expect;

    fn remote() -> Placement {
        Placement::Remote(RemotePlacement::default())
    }

    fn root(stamp: &str) -> Placement {
        Placement::Root(TargetRoot {
            directory: "/srv/root".into(),
            stamp: stamp.into(),
            cross_compiler: None,
        })
    }

    fn with_step<T>(customisation: &Customisation, use_step: impl Fn(&mut WheelStep) -> T) -> T {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = directory.path().join(name);
            fs_err::write(&path, name).unwrap();
            (path, Sha256::of(name.as_bytes()))
        };
        let interpreter = Interpreter::find("3", directory.path()).unwrap();
        let (sdist, sdist_sha256) = file("a-1.tar.gz");
        let mut step = WheelStep {
            sdist: &sdist,
            sdist_sha256,
            build_wheels: vec![file("one.whl"), file("two.whl")],
            interpreter: &interpreter,
            target: interpreter.target(),
            glibc: "2.28".parse().ok(),
            rust: None,
            customisation,
            sandbox: SandboxMode::Required,
            timeout: Some(90),
        };
        use_step(&mut step)
    }

    fn patched(directory: &Path) -> Customisation {
        let path = directory.join("fix.patch");
        fs_err::write(&path, "fix").unwrap();
        let patch = Patch { path, sha256: Sha256::of(b"fix"), touches_pyproject: false };
        Customisation {
            config_settings: vec!["--opt=1".parse().unwrap()],
            env: vec!["CC=gcc".parse().unwrap()],
            patches: vec![patch.clone(), patch],
            patch_strip: 2,
            expect: Expect::Native,
            ..Customisation::default()
        }
    }

    #[test]
    fn every_setting_reaches_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let customisation =
            Customisation { tool_directories: vec!["/opt/tools".into()], ..patched(directory.path()) };
        with_step(&customisation, |step| {
            let mut crates = InputRoot::default();
            crates.add_bytes("config.toml", "".into()).unwrap();
            step.rust = Some(RustInputs {
                toolchain: "/rust/bin".into(),
                version: "rustc 1".into(),
                crates: Some(crates),
            });
            let text = step.job(&Placement::Here).unwrap().arguments.join(" ");
            let (one, two) = (Sha256::of(b"one.whl"), Sha256::of(b"two.whl"));
            for part in [
                "crosswheel wheel sdist/a-1.tar.gz --out=out --python=/",
                &format!(
                    "--build-wheels=wheels/one.whl#sha256={one} --build-wheels=wheels/two.whl#sha256={two} --target=linux_"
                ),
                "--glibc=2.28 --expect=native",
                "--patch=patches/0/fix.patch --patch=patches/1/fix.patch --patch-strip=2",
                "--config-setting=--opt=1 --env=CC=gcc --path=/rust/bin --path=/opt/tools --crates=crates",
                "--timeout=90 --sandbox=required --json",
            ] {
                assert!(text.contains(part), "{part} in {text}");
            }
        });
    }

    #[test]
    fn no_path_of_this_machine_travels() {
        let directory = tempfile::tempdir().unwrap();
        with_step(&patched(directory.path()), |step| {
            step.rust =
                Some(RustInputs { toolchain: "/rust/bin".into(), version: "rustc 1".into(), crates: None });
            let job = step.job(&remote()).unwrap();
            assert!(!job.arguments.iter().any(|argument| argument.contains("=/")), "{:?}", job.arguments);
            let (major, minor, _) = step.interpreter.version;
            assert!(job.arguments.contains(&format!("--python=python{major}.{minor}")));
        });
        let tools = Customisation { tool_directories: vec!["/opt/tools".into()], ..Customisation::default() };
        for elsewhere in [remote(), root("")] {
            let refused = with_step(&tools, |step| step.job(&elsewhere).unwrap_err());
            assert!(refused.message.contains("--path /opt/tools"), "{refused}");
        }
    }

    #[test]
    fn in_a_root_file_system_the_python_is_the_one_in_there() {
        let directory = tempfile::tempdir().unwrap();
        with_step(&patched(directory.path()), |step| {
            step.rust =
                Some(RustInputs { toolchain: "/rust/bin".into(), version: "rustc 1".into(), crates: None });
            let arguments = step.job(&root("")).unwrap().arguments;
            let paths: Vec<_> = arguments.iter().filter(|argument| argument.contains("=/")).collect();
            assert_eq!(paths, [&format!("--python={}", step.interpreter.executable.display())]);
            let digest = |placement: &Placement| step.job(placement).unwrap().digest();
            assert_eq!(digest(&root("one")), digest(&root("one")));
            assert_ne!(digest(&root("one")), digest(&root("another")));
            assert_ne!(digest(&root("one")), digest(&Placement::Here));
            let Placement::Root(one) = root("one") else { panic!("it is one") };
            let cross = TargetRoot { cross_compiler: Some("on".into()), ..one };
            assert_ne!(digest(&Placement::Root(cross)), digest(&root("one")));
        });
    }

    /// Elsewhere another release than the one that asks may build, and the same one whoever asks.
    #[test]
    fn results_are_kept_apart_by_release_where_it_is_the_one_that_builds() {
        with_step(&Customisation::default(), |step| {
            let salts = |placement: &Placement| {
                ["1.0.0", "1.0.1"]
                    .map(|release| salt(placement, release, step.interpreter, step.rust.as_ref()))
            };
            for ours in [Placement::Here, root("one")] {
                let [older, newer] = salts(&ours);
                assert_ne!(older, newer);
            }
            let [older, newer] = salts(&remote());
            assert_eq!(older, newer);
            let texts = step.job(&remote()).unwrap();
            let said = texts.arguments.iter().chain(texts.environment.values());
            assert!(said.into_iter().all(|text| !text.contains(RELEASE)), "{texts:?}");
        });
    }

    #[test]
    fn the_action_follows_what_decides_the_wheel() {
        let directory = tempfile::tempdir().unwrap();
        let plain = Customisation::default();
        let digest = |change: &dyn Fn(&mut WheelStep)| {
            with_step(&plain, |step| {
                change(step);
                step.job(&Placement::Here).unwrap().digest()
            })
        };
        let unchanged = digest(&|_| ());
        assert_eq!(digest(&|_| ()), unchanged);
        let other =
            with_step(&patched(directory.path()), |step| step.job(&Placement::Here).unwrap().digest());
        assert_ne!(other, unchanged);
        assert_ne!(digest(&|step| drop(step.build_wheels.pop())), unchanged);
        assert_ne!(digest(&|step| step.glibc = None), unchanged);
        assert_ne!(digest(&|step| step.sandbox = SandboxMode::Auto), unchanged);
        let rust = || RustInputs { toolchain: "/rust/bin".into(), version: "rustc 1".into(), crates: None };
        let with_rust = digest(&|step| step.rust = Some(rust()));
        assert_ne!(with_rust, unchanged);
        assert_ne!(
            digest(&|step| step.rust = Some(RustInputs { version: "rustc 2".into(), ..rust() })),
            with_rust
        );
    }
}

//! What to run: one hermetic `crosswheel wheel` as an action. Knows nothing of processes, nor of how actions get
//! to where they run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rust_inputs::RustInputs;
use crate::build::cache::KeyBuilder;
use crate::build::customisation::Customisation;
use crate::build::failure::{BuildFailure, BuildFailureClass};
use crate::build::targets::placement::Placement;
use crate::client::{ClientError, InputRoot, Job};
use crate::digest::{Digest, DigestFunction, Sha256};
use crate::packaging::interpreter::Interpreter;
use crate::platform::{Glibc, SYSTEM_PATH, Target};
use crate::sandbox::Mode;

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
    pub sandbox: Mode,
    /// Seconds the backend may take.
    pub timeout: Option<u64>,
}

/// The directory of the exec root that a step puts its wheel into.
pub(crate) const OUT: &str = "out";

/// Tells a worker which crosswheel is meant, so that it can refuse to be another one, and keeps results of
/// different versions apart (`execute::own_binary`).
const VERSION_VARIABLE: &str = "CROSSWHEEL_VERSION";

/// How long a step may take beside its backend, on a machine with much else to do.
const SLACK: Duration = Duration::from_secs(600);

impl WheelStep<'_> {
    /// The action that makes the wheel, in [`OUT`]. Paths of this machine are in it only if it runs here.
    ///
    /// # Errors
    /// What cannot travel to a worker elsewhere; files that cannot be read.
    pub(crate) fn job(&self, placement: &Placement) -> Result<Job, BuildFailure> {
        let mut inputs = InputRoot::default();
        let arguments = self.arguments(placement, &mut inputs)?;
        let variables = [("PATH", SYSTEM_PATH), (VERSION_VARIABLE, env!("CARGO_PKG_VERSION"))];
        Ok(Job {
            arguments,
            environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            inputs,
            output_paths: vec![OUT.to_owned()],
            platform: placement.platform(self.target),
            timeout: self.timeout.map(|seconds| Duration::from_secs(seconds).saturating_add(SLACK)),
            salt: self.salt(placement),
            skip_cache: false,
            mnemonic: "PySdistBuild".to_owned(),
            target: text_of_name(self.sdist)?,
        })
    }

    /// The command line, from the program's name on; adds to `inputs` what it needs.
    fn arguments(&self, placement: &Placement, inputs: &mut InputRoot) -> Result<Vec<String>, BuildFailure> {
        let sdist = add(inputs, "sdist", self.sdist, self.sdist_sha256)?;
        let mut arguments = vec!["crosswheel".to_owned(), "wheel".to_owned(), sdist];
        // One argument each: a value may begin with a dash.
        let mut flag = |name: &str, value: &str| arguments.push(format!("{name}={value}"));
        flag("--out", OUT);
        flag("--python", &self.python(placement)?);
        for (wheel, sha256) in &self.build_wheels {
            flag("--build-wheels", &format!("{}#sha256={sha256}", add(inputs, "wheels", wheel, *sha256)?));
        }
        flag("--target", &self.target.to_string());
        if let Some(glibc) = self.glibc {
            flag("--glibc", &glibc.to_string());
        }
        if let Some(rust) = &self.rust {
            // Elsewhere it is the worker's own that compiles.
            if *placement == Placement::Here {
                flag("--path", text(&rust.toolchain)?);
            }
            if let Some(crates) = &rust.crates {
                inputs.add_root("crates", crates.clone()).map_err(ClientError::from)?;
                flag("--crates", "crates");
            }
        }
        for directory in &self.customisation.tool_directories {
            if *placement != Placement::Here {
                return Err(cannot_travel(directory, placement, self.target));
            }
            flag("--path", text(directory)?);
        }
        flag("--expect", &self.customisation.expect.to_string());
        flag("--sandbox", &self.sandbox.to_string());
        for setting in &self.customisation.config_settings {
            flag("--config-setting", setting);
        }
        for variable in &self.customisation.env {
            flag("--env", variable);
        }
        for (index, patch) in self.customisation.patches.iter().enumerate() {
            // Their order counts, and two may have one name.
            flag("--patch", &add(inputs, &format!("patches/{index}"), &patch.path, patch.sha256)?);
        }
        if !self.customisation.patches.is_empty() {
            flag("--patch-strip", &self.customisation.patch_strip.to_string());
        }
        if let Some(seconds) = self.timeout {
            flag("--timeout", &seconds.to_string());
        }
        arguments.push("--json".to_owned());
        Ok(arguments)
    }

    fn python(&self, placement: &Placement) -> Result<String, BuildFailure> {
        let (major, minor, _) = self.interpreter.version;
        match placement {
            Placement::Here | Placement::Root(_) => text(&self.interpreter.executable).map(str::to_owned),
            Placement::Remote(remote) => {
                Ok(remote.python.clone().unwrap_or_else(|| format!("python{major}.{minor}")))
            }
        }
    }

    /// What decides the wheel and is not in the action otherwise: the Python and the Rust of this machine, or what
    /// is installed in the root file system, its Python, and which cross compiler builds in it see. Compilers and libraries of this machine are not part of it; nor is what
    /// the workers have elsewhere.
    fn salt(&self, placement: &Placement) -> Vec<u8> {
        let key = match placement {
            Placement::Here => {
                KeyBuilder::default().parts("rust", self.rust.iter().map(|rust| &rust.version))
            }
            Placement::Root(root) => {
                let key = KeyBuilder::default().part("root", &root.stamp);
                let program = self.interpreter.executable.to_string_lossy();
                key.part("program", root.stamp_of(&program)).parts("cross compiler", &root.cross_compiler)
            }
            Placement::Remote(_) => return Vec::new(),
        };
        with_interpreter(key, self.interpreter).finish().to_string().into_bytes()
    }

    /// What the answer of the backend's requires hook depends on.
    pub fn learning_key(&self) -> Sha256 {
        let key = KeyBuilder::default()
            .part("sdist", self.sdist_sha256.to_string())
            .part("target", self.target.to_string());
        self.with_customisation(with_interpreter(key, self.interpreter)).finish()
    }

    fn with_customisation(&self, key: KeyBuilder) -> KeyBuilder {
        let custom = self.customisation;
        key.parts("config-setting", &custom.config_settings)
            .parts("env", &custom.env)
            .parts("path", custom.tool_directories.iter().map(|path| path.as_os_str().as_encoded_bytes()))
            .part("expect", custom.expect.to_string())
            .parts("patch", custom.patches.iter().map(|patch| patch.sha256.to_string()))
            .part("patch-strip", custom.patch_strip.to_string())
    }
}

fn with_interpreter(key: KeyBuilder, interpreter: &Interpreter) -> KeyBuilder {
    key.part("python", interpreter.executable.as_os_str().as_encoded_bytes())
        .part("version", interpreter.markers.python_full_version().to_string())
        .part("abi", format!("{} {}", interpreter.cache_tag, interpreter.abi_flags))
        .part("platform", format!("{} {}", interpreter.platform, interpreter.libc.as_deref().unwrap_or("")))
}

/// Adds the file `host` to `inputs`, in `directory` and under its own name; its path there.
fn add(inputs: &mut InputRoot, directory: &str, host: &Path, sha256: Sha256) -> Result<String, BuildFailure> {
    let path = format!("{directory}/{}", text_of_name(host)?);
    let size_bytes = fs_err::metadata(host)?.len();
    inputs.add_file(&path, host, blob_digest(sha256, size_bytes), false).map_err(ClientError::from)?;
    Ok(path)
}

/// A digest of the packaging world as one of the API.
pub(crate) fn blob_digest(sha256: Sha256, size_bytes: u64) -> Digest {
    Digest { function: DigestFunction::Sha256, hash: *sha256.as_bytes(), size_bytes }
}

fn text_of_name(path: &Path) -> Result<String, BuildFailure> {
    text(Path::new(path.file_name().unwrap_or_default())).map(str::to_owned)
}

/// Paths in actions are UTF-8.
fn text(path: &Path) -> Result<&str, BuildFailure> {
    path.to_str().ok_or_else(|| {
        BuildFailure::new(BuildFailureClass::InvalidSource, format!("{path:?} has a name that is not UTF-8"))
    })
}

fn cannot_travel(directory: &Path, placement: &Placement, target: Target) -> BuildFailure {
    let directory = directory.display();
    let (runs, hint) = match placement {
        Placement::Root(root) => {
            let root = root.directory.display();
            (format!("for {target} runs in {root}"), "install the tools in there".to_owned())
        }
        Placement::Here | Placement::Remote(_) => (
            "runs elsewhere".to_owned(),
            "install the tools on the workers, or build here, without --remote".to_owned(),
        ),
    };
    let message = format!("--path {directory} is a directory of this machine, and the build {runs}");
    BuildFailure::new(BuildFailureClass::InvalidSource, message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::customisation::Patch;
    use crate::build::targets::placement::RemotePlacement;
    use crate::build::targets::target_root::TargetRoot;
    use crate::step::expect::Expect;

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
            sandbox: Mode::Required,
            timeout: Some(90),
        };
        use_step(&mut step)
    }

    fn patched(directory: &Path) -> Customisation {
        let path = directory.join("fix.patch");
        fs_err::write(&path, "fix").unwrap();
        let patch = Patch { path, sha256: Sha256::of(b"fix"), touches_pyproject: false };
        Customisation {
            config_settings: vec!["--opt=1".into()],
            env: vec!["CC=gcc".into()],
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
                "--glibc=2.28 --path=/rust/bin --crates=crates --path=/opt/tools --expect=native",
                "--sandbox=required --config-setting=--opt=1 --env=CC=gcc",
                "--patch=patches/0/fix.patch --patch=patches/1/fix.patch --patch-strip=2 --timeout=90 --json",
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
        assert_ne!(digest(&|step| step.sandbox = Mode::Auto), unchanged);
        let rust = || RustInputs { toolchain: "/rust/bin".into(), version: "rustc 1".into(), crates: None };
        let with_rust = digest(&|step| step.rust = Some(rust()));
        assert_ne!(with_rust, unchanged);
        assert_ne!(
            digest(&|step| step.rust = Some(RustInputs { version: "rustc 2".into(), ..rust() })),
            with_rust
        );
    }
}

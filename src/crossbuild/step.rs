//! What to run: one hermetic `crosswheel wheel` as a value, apart from where it runs.
//! Knows nothing of processes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::cache::KeyBuilder;
use super::rust::RustInputs;
use crate::digest::Sha256;
use crate::platform::{Glibc, Target};
use crate::sandbox::Mode;
use crate::sdist::build::Expect;
use crate::sdist::interpreter::Interpreter;

/// A patch to apply before the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The patch file.
    pub path: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// Whether it changes pyproject.toml, and with it perhaps the build requirements.
    pub touches_pyproject: bool,
}

/// What the user changes about the build of a source. Requirements built on the way have none of it.
#[derive(Clone, Debug, Default)]
pub struct Customisation {
    /// PEP 508 requirements to install in addition.
    pub build_requires: Vec<String>,
    /// `KEY=VALUE` for the backend's `config_settings` (PEP 517), in order.
    pub config_settings: Vec<String>,
    /// `KEY=VALUE` for the backend's environment, in order.
    pub env: Vec<String>,
    /// Directories of tools for the backend's PATH.
    pub tool_directories: Vec<PathBuf>,
    /// Whether the wheel must hold compiled code.
    pub expect: Expect,
    /// Patches, in order.
    pub patches: Vec<Patch>,
    /// Leading path components to strip from the names in patches.
    pub patch_strip: usize,
}

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

impl WheelStep<'_> {
    /// The command line after the program's name. The wheel is to appear in `out`.
    pub fn arguments(&self, out: &Path, cache: &Path) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["wheel".into(), self.sdist.into()];
        // One argument each: a value may begin with a dash.
        let mut flag = |name: &str, value: OsString| {
            let mut argument = OsString::from(format!("{name}="));
            argument.push(value);
            arguments.push(argument);
        };
        flag("--out", out.into());
        flag("--python", self.interpreter.executable.clone().into());
        for (wheel, sha256) in &self.build_wheels {
            let mut known = wheel.clone().into_os_string();
            known.push(format!("#sha256={sha256}"));
            flag("--build-wheels", known);
        }
        flag("--target", self.target.to_string().into());
        if let Some(glibc) = self.glibc {
            flag("--glibc", glibc.to_string().into());
        }
        if let Some(rust) = &self.rust {
            flag("--path", rust.toolchain.clone().into());
            if let Some(crates) = &rust.crates {
                flag("--crates", crates.into());
            }
        }
        for directory in &self.customisation.tool_directories {
            flag("--path", directory.into());
        }
        flag("--expect", self.customisation.expect.to_string().into());
        flag("--cache-dir", cache.into());
        flag("--sandbox", self.sandbox_name().into());
        for setting in &self.customisation.config_settings {
            flag("--config-setting", setting.into());
        }
        for variable in &self.customisation.env {
            flag("--env", variable.into());
        }
        for patch in &self.customisation.patches {
            flag("--patch", patch.path.clone().into());
        }
        if !self.customisation.patches.is_empty() {
            flag("--patch-strip", self.customisation.patch_strip.to_string().into());
        }
        if let Some(seconds) = self.timeout {
            flag("--timeout", seconds.to_string().into());
        }
        arguments.push("--end-with-stdin".into());
        arguments.push("--json".into());
        arguments
    }

    fn sandbox_name(&self) -> &'static str {
        match self.sandbox {
            Mode::Auto => "auto",
            Mode::Required => "required",
            Mode::Off => "off",
        }
    }

    /// The key of the wheel this step makes: equal steps make equal wheels. A timeout decides only
    /// whether there is a wheel. Compilers and libraries of the host are not part of it.
    pub fn key(&self) -> Sha256 {
        let mut wheels: Vec<String> =
            self.build_wheels.iter().map(|(_, sha256)| sha256.to_string()).collect();
        wheels.sort();
        let key = KeyBuilder::default()
            .part("crosswheel", env!("CARGO_PKG_VERSION"))
            .part("sdist", self.sdist_sha256.to_string())
            .parts("wheel", wheels)
            .parts("rust", self.rust.iter().map(|rust| &rust.version))
            .part("target", self.target.to_string())
            .part("glibc", self.glibc.map(|glibc| glibc.to_string()).unwrap_or_default())
            .part("sandbox", self.sandbox_name());
        self.with_customisation(with_interpreter(key, self.interpreter)).finish()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with_step<T>(customisation: &Customisation, use_step: impl Fn(&mut WheelStep) -> T) -> T {
        let cache = tempfile::tempdir().unwrap();
        let interpreter = Interpreter::find("3", cache.path()).unwrap();
        let mut step = WheelStep {
            sdist: Path::new("/x/a-1.tar.gz"),
            sdist_sha256: Sha256::of(b"sdist"),
            build_wheels: vec![
                ("/w/one.whl".into(), Sha256::of(b"one")),
                ("/w/two.whl".into(), Sha256::of(b"two")),
            ],
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

    #[test]
    fn every_setting_reaches_the_command_line() {
        let customisation = Customisation {
            config_settings: vec!["--opt=1".into()],
            env: vec!["CC=gcc".into()],
            patches: vec![Patch {
                path: "/p/fix.patch".into(),
                sha256: Sha256::of(b"fix"),
                touches_pyproject: false,
            }],
            patch_strip: 2,
            tool_directories: vec!["/opt/tools".into()],
            expect: Expect::Native,
            ..Customisation::default()
        };
        with_step(&customisation, |step| {
            step.rust = Some(RustInputs {
                toolchain: "/rust/bin".into(),
                version: "rustc 1".into(),
                crates: Some("/crates".into()),
            });
            let arguments = step.arguments(Path::new("/out"), Path::new("/cache"));
            let text: Vec<_> = arguments.iter().map(|text| text.to_str().unwrap()).collect();
            let text = text.join(" ");
            let (one, two) = (Sha256::of(b"one"), Sha256::of(b"two"));
            assert!(text.contains(&format!(
                "--build-wheels=/w/one.whl#sha256={one} --build-wheels=/w/two.whl#sha256={two} --target=linux_"
            )));
            for part in [
                "wheel /x/a-1.tar.gz --out=/out --python=/",
                "--glibc=2.28 --path=/rust/bin --crates=/crates --path=/opt/tools --expect=native",
                "--expect=native --cache-dir=/cache --sandbox=required --config-setting=--opt=1 --env=CC=gcc",
                "--patch=/p/fix.patch --patch-strip=2 --timeout=90 --end-with-stdin --json",
            ] {
                assert!(text.contains(part), "{part} in {text}");
            }
        });
    }

    #[test]
    fn the_key_follows_what_decides_the_wheel_and_nothing_else() {
        let plain = Customisation::default();
        let settings = Customisation { config_settings: vec!["a=b".into()], ..Customisation::default() };
        let key = with_step(&plain, |step| step.key());
        assert_eq!(
            with_step(&plain, |step| {
                step.build_wheels.reverse();
                step.key()
            }),
            key
        );
        assert_eq!(
            with_step(&plain, |step| {
                step.timeout = None;
                step.key()
            }),
            key
        );
        assert_ne!(with_step(&settings, |step| step.key()), key);
        assert_ne!(
            with_step(&plain, |step| {
                step.build_wheels.pop();
                step.key()
            }),
            key
        );
        assert_ne!(
            with_step(&plain, |step| {
                step.glibc = None;
                step.key()
            }),
            key
        );
        assert_ne!(
            with_step(&plain, |step| {
                step.sdist_sha256 = Sha256::of(b"x");
                step.key()
            }),
            key
        );
    }
}

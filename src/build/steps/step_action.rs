//! What the actions of both steps have in common: the wheels that they are given, the Python, what is in their keys.
//! Knows nothing of what they make.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rust_inputs::RustInputs;
use crate::build::cache::KeyBuilder;
use crate::build::customisation::Customisation;
use crate::build::targets::placement::Placement;
use crate::client::{ClientError, InputRoot, Job};
use crate::contract::{
    Answer, Failure, FailureClass, GivenWheels, IsolationReport, KeyValue, NotUnicode, Report,
    SDIST_SUBCOMMAND, SUBCOMMAND, SdistReport,
};
use crate::digest::{Digest, DigestFunction, Sha256};
use crate::packaging::interpreter::Interpreter;
use crate::platform::Target;

/// The directory of the exec root that a step puts its file into.
pub(crate) const OUT: &str = "out";

/// The directory of the exec root with the crates.
pub(super) const CRATES: &str = "crates";

/// How long a step may take beside its backend, on a machine with much else to do.
const SLACK: Duration = Duration::from_secs(600);

/// A step, as an action to run.
pub(crate) trait Step {
    /// What it reports of the file that it makes.
    type Report: StepReport;

    /// The action that makes the file, in [`OUT`]. Paths of this machine are in it only if it runs here.
    ///
    /// # Errors
    /// What cannot travel to a worker elsewhere; files that cannot be read.
    fn job(&self, placement: &Placement) -> Result<Job, Failure>;

    /// Seconds the backend may take.
    fn timeout(&self) -> Option<u64>;
}

/// What a step reports of the file that it makes.
pub(crate) trait StepReport: Sized {
    /// The subcommand whose report it is.
    const SUBCOMMAND: &'static str;

    /// The report in `answer`, if it is one of this kind.
    fn of(answer: Answer) -> Option<Box<Self>>;
    fn file_name(&self) -> &str;
    fn sha256(&self) -> Sha256;
    fn isolation(&self) -> &IsolationReport;
}

impl StepReport for Report {
    const SUBCOMMAND: &'static str = SUBCOMMAND;

    fn of(answer: Answer) -> Option<Box<Self>> {
        match answer {
            Answer::Built(report) => Some(report),
            _ => None,
        }
    }

    fn file_name(&self) -> &str {
        &self.file_name
    }

    fn sha256(&self) -> Sha256 {
        self.sha256
    }

    fn isolation(&self) -> &IsolationReport {
        &self.isolation
    }
}

impl StepReport for SdistReport {
    const SUBCOMMAND: &'static str = SDIST_SUBCOMMAND;

    fn of(answer: Answer) -> Option<Box<Self>> {
        match answer {
            Answer::Sdist(report) => Some(report),
            _ => None,
        }
    }

    fn file_name(&self) -> &str {
        &self.file_name
    }

    fn sha256(&self) -> Sha256 {
        self.sha256
    }

    fn isolation(&self) -> &IsolationReport {
        &self.isolation
    }
}

/// How long an action may take whose backend may take `seconds`.
pub(super) fn timeout_of_action(seconds: Option<u64>) -> Option<Duration> {
    seconds.map(|seconds| Duration::from_secs(seconds).saturating_add(SLACK))
}

pub(super) fn give_wheels(
    wheels: &[(PathBuf, Sha256)],
    inputs: &mut InputRoot,
) -> Result<Vec<GivenWheels>, Failure> {
    let mut give = |(wheel, sha256): &(PathBuf, Sha256)| {
        let path = add(inputs, "wheels", wheel, *sha256)?.into();
        Ok(GivenWheels { path, sha256: Some(*sha256) })
    };
    wheels.iter().map(&mut give).collect()
}

pub(super) fn give_crates(
    rust: Option<&RustInputs>,
    inputs: &mut InputRoot,
) -> Result<Option<PathBuf>, Failure> {
    let Some(crates) = rust.and_then(|rust| rust.crates.as_ref()) else { return Ok(None) };
    inputs.add_root(CRATES, crates.clone()).map_err(ClientError::from)?;
    Ok(Some(CRATES.into()))
}

/// Directories of this machine that are on the build's PATH.
pub(super) fn tool_directories(
    customisation: &Customisation,
    rust: Option<&RustInputs>,
    placement: &Placement,
    target: Target,
) -> Result<Vec<PathBuf>, Failure> {
    let given = &customisation.tool_directories;
    if *placement == Placement::Here {
        return Ok(rust.iter().map(|rust| &rust.toolchain).chain(given).cloned().collect());
    }
    // Rust is the worker's own there.
    given.first().map_or(Ok(Vec::new()), |first| Err(cannot_travel(first, placement, target)))
}

pub(super) fn python(interpreter: &Interpreter, placement: &Placement) -> Result<String, Failure> {
    let (major, minor, _) = interpreter.version;
    match placement {
        Placement::Here | Placement::Root(_) => text(&interpreter.executable).map(str::to_owned),
        Placement::Remote(remote) => {
            Ok(remote.python.clone().unwrap_or_else(|| format!("python{major}.{minor}")))
        }
    }
}

/// What decides the result and is not in the action otherwise: this release, which is the one that builds; the
/// Python and the Rust of this machine, or what is installed in the root file system, its Python, and which cross
/// compiler builds in it see. Compilers and libraries of this machine are not part of it; nor is what the workers
/// have elsewhere, be it another release (`contract/number.rs` says why).
pub(super) fn salt(
    placement: &Placement,
    release: &str,
    interpreter: &Interpreter,
    rust: Option<&RustInputs>,
) -> Vec<u8> {
    let key = KeyBuilder::default().part("crosswheel", release);
    let key = match placement {
        Placement::Here => key.parts("rust", rust.iter().map(|rust| &rust.version)),
        Placement::Root(root) => {
            let key = key.part("root", &root.stamp);
            let program = interpreter.executable.to_string_lossy();
            key.part("program", root.stamp_of(&program)).parts("cross compiler", &root.cross_compiler)
        }
        Placement::Remote(_) => return Vec::new(),
    };
    with_interpreter(key, interpreter).finish().to_string().into_bytes()
}

/// Adds what the user tells every backend.
pub(crate) fn with_settings(key: KeyBuilder, custom: &Customisation) -> KeyBuilder {
    key.parts("config-setting", custom.config_settings.iter().map(KeyValue::to_string))
        .parts("env", custom.env.iter().map(KeyValue::to_string))
        .parts("path", custom.tool_directories.iter().map(|path| path.as_os_str().as_encoded_bytes()))
}

pub(crate) fn with_interpreter(key: KeyBuilder, interpreter: &Interpreter) -> KeyBuilder {
    key.part("python", interpreter.executable.as_os_str().as_encoded_bytes())
        .part("version", interpreter.markers.python_full_version().to_string())
        .part("abi", format!("{} {}", interpreter.cache_tag, interpreter.abi_flags))
        .part("platform", format!("{} {}", interpreter.platform, interpreter.libc.as_deref().unwrap_or("")))
}

/// Adds the file `host` to `inputs`, in `directory` and under its own name; its path there.
pub(super) fn add(
    inputs: &mut InputRoot,
    directory: &str,
    host: &Path,
    sha256: Sha256,
) -> Result<String, Failure> {
    let path = format!("{directory}/{}", text_of_name(host)?);
    let size_bytes = fs_err::metadata(host)?.len();
    inputs.add_file(&path, host, blob_digest(sha256, size_bytes), false).map_err(ClientError::from)?;
    Ok(path)
}

/// A digest of the packaging world as one of the API.
pub(crate) fn blob_digest(sha256: Sha256, size_bytes: u64) -> Digest {
    Digest { function: DigestFunction::Sha256, hash: *sha256.as_bytes(), size_bytes }
}

pub(super) fn text_of_name(path: &Path) -> Result<String, Failure> {
    text(Path::new(path.file_name().unwrap_or_default())).map(str::to_owned)
}

/// Paths in actions are UTF-8.
pub(super) fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| NotUnicode(path.to_owned()).into())
}

impl From<NotUnicode> for Failure {
    fn from(error: NotUnicode) -> Self {
        Self::new(FailureClass::InvalidSource, error.to_string())
    }
}

fn cannot_travel(directory: &Path, placement: &Placement, target: Target) -> Failure {
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
    Failure::new(FailureClass::InvalidSource, message).with_hint(hint)
}

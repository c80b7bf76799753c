//! `crosswheel wheel`: the hermetic step, from archive to verified wheel in one process.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use pep440_rs::Version;
use pep508_rs::PackageName;
use serde::Serialize;
use tempfile::TempDir;

use super::failure_text;
use super::output::{complain, print};
use super::signals::{end_on_signals, exit_code_of};
use crate::archive::ArchiveLimits;
use crate::cancellation::{Cancellation, Cancelled};
use crate::packaging::interpreter::Interpreter;
use crate::platform::{Glibc, LibcFamily, Target};
use crate::sandbox::Mode;
use crate::step::Failure;
use crate::step::backend::cross_compiler::CrossCompiler;
use crate::step::build::{build_wheel, publish};
use crate::step::error::StepError;
use crate::step::expect::Expect;
use crate::step::promise::{PromisedPython, WheelPromise};
use crate::step::report::{CompilerKind, CompilerReport, Outcome, Report};
use crate::step::request::WheelRequest;
use crate::step::venv::wheelhouse::GivenWheels;

const AFTER_HELP: &str = "\
Examples:
  crosswheel wheel cowsay-6.0.tar.gz --out dist --python 3.11 --build-wheels wheelhouse/
  crosswheel wheel markupsafe-2.1.5.tar.gz --out dist --python /usr/bin/python3.11 \\
      --build-wheels setuptools-75.1.0-py3-none-any.whl --expect native --json

The backend's output goes to standard error. Nothing is fetched: what the build requires must be
given with --build-wheels (`crosswheel build` finds and fetches it).";

/// Build one verified wheel from one sdist, without network, in a venv of its own.
#[derive(Args)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{}", failure_text::EXIT_CODES))]
pub struct WheelArguments {
    /// The sdist: .tar.gz, .tar.bz2, .tar.xz, .tar.zst, .tar or .zip
    sdist: PathBuf,
    /// Directory the wheel is written to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The Python that builds: a version (3.12), a command or a path
    #[arg(long, value_name = "PYTHON", default_value = "3")]
    python: String,
    /// Wheels of the build requirements: directories to choose from, or files, whose digest may be given as in a.whl#sha256=...
    #[arg(long, value_name = "DIR_OR_WHEEL", num_args = 1.., value_parser = OsStringValueParser::new().try_map(GivenWheels::parse))]
    build_wheels: Vec<GivenWheels>,
    /// Platform the wheel must be for: linux_amd64 or linux_arm64 [default: the interpreter's]
    #[arg(long)]
    target: Option<Target>,
    /// Newest glibc the wheel may need, such as 2.28 [default: the interpreter's]
    #[arg(long, value_name = "VERSION")]
    glibc: Option<Glibc>,
    /// Whether the wheel must hold compiled code; auto refuses a pure wheel when the sdist has native sources and a compiler failed
    #[arg(long, value_enum, default_value_t)]
    expect: Expect,
    /// Build nothing but this project
    #[arg(long, value_name = "NAME")]
    expect_name: Option<PackageName>,
    /// Build nothing but this version of the project
    #[arg(long, value_name = "VERSION")]
    expect_version: Option<Version>,
    /// Build with nothing but this version of Python, such as 3.11, whatever --python finds
    #[arg(long, value_name = "VERSION")]
    expect_python: Option<PromisedPython>,
    /// Build with nothing but a Python that runs on this C library
    #[arg(long, value_enum, value_name = "LIBC")]
    expect_libc: Option<LibcFamily>,
    /// Patch file for the sources; may be given several times
    #[arg(long = "patch", value_name = "FILE")]
    patches: Vec<PathBuf>,
    /// Leading directories to drop from the names in patch files
    #[arg(long, value_name = "N", default_value_t = 1)]
    patch_strip: usize,
    /// Setting for the backend (PEP 517 config_settings); several of one key make a list
    #[arg(long = "config-setting", value_name = "K=V", value_parser = key_value)]
    config_settings: Vec<(String, String)>,
    /// Variable for the build's environment; PATH, CFLAGS and CXXFLAGS are joined to ours
    #[arg(long = "env", value_name = "K=V", value_parser = key_value)]
    environment: Vec<(String, String)>,
    /// Directory of tools for the build's PATH; may be given several times
    #[arg(long = "path", value_name = "DIR")]
    tool_directories: Vec<PathBuf>,
    /// A cross compiler that runs natively where Python is emulated, with flags perhaps: "PROGRAM FLAGS..."
    #[arg(long, value_name = "PROGRAM", env = "CROSSWHEEL_CROSS_CC")]
    cross_cc: Option<String>,
    /// Crates for Rust extensions, as `cargo vendor` writes them
    #[arg(long, value_name = "DIR")]
    crates: Option<PathBuf>,
    /// End the build after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// Cut the build off from this host: as far as possible, or not start, or only from its network
    #[arg(long, value_enum, default_value_t)]
    sandbox: Mode,
    /// Most bytes the sdist may unpack to
    #[arg(long, value_name = "BYTES", default_value_t = ArchiveLimits::default().bytes)]
    limit_bytes: u64,
    /// Most members the sdist may have
    #[arg(long, value_name = "N", default_value_t = ArchiveLimits::default().members)]
    limit_members: u64,
    /// Highest compression ratio, beyond the first 64 MiB unpacked
    #[arg(long, value_name = "N", default_value_t = ArchiveLimits::default().ratio)]
    limit_ratio: u64,
    /// Deepest path in the sdist
    #[arg(long, value_name = "N", default_value_t = ArchiveLimits::default().depth)]
    limit_depth: usize,
    /// Where unpacked wheels and facts about interpreters are kept [default: crosswheel in the user's cache directory]
    #[arg(long, value_name = "DIR", env = "CROSSWHEEL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Where to build [default: a directory of the cache]
    #[arg(long, value_name = "DIR", env = "CROSSWHEEL_WORK_DIR")]
    work_dir: Option<PathBuf>,
    /// Leave the build's directory in place, and say where it is
    #[arg(long)]
    keep_work: bool,
    /// Print one JSON document on standard output: {"built": {...}}, {"failed": {...}}, or, where it is not the
    /// project's fault (exit codes 1 and 2), {"error": {...}}; nothing when interrupted
    #[arg(long)]
    json: bool,
    /// Write that document, whatever it says, to this file, too
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Keep the backend's output to ourselves, and with --report say nothing of success; a failure still shows its lines
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the subcommand.
pub fn run(mut arguments: WheelArguments) -> ExitCode {
    let quiet = arguments.quiet;
    let answer = Answer { json: arguments.json, report: arguments.report.take(), quiet };
    let cancellation = Arc::new(Cancellation::default());
    let to_cancel = Arc::clone(&cancellation);
    let signal = match end_on_signals(GRACE, move || to_cancel.cancel()) {
        Ok(signal) => signal,
        Err(error) => return answer.internal(&format!("cannot listen for signals: {error}")),
    };
    if let Err(message) = check_version() {
        return answer.internal(&message);
    }
    let (cache, _temporary) = match cache_directory(arguments.cache_dir.clone()) {
        Ok(directory) => directory,
        Err(message) => return answer.internal(&message),
    };
    let request = match request(arguments, cache) {
        Ok(request) => request,
        Err(_) if signal.load(Ordering::SeqCst) != 0 => return interrupted(&signal),
        Err(message) => return answer.usage(&message),
    };
    let mut output: Box<dyn Write + Send> =
        if quiet { Box::new(std::io::sink()) } else { Box::new(std::io::stderr()) };
    match build_wheel(&request, &cancellation, &mut output) {
        Ok(report) => answer.built(report, &request.out),
        // Whatever else went wrong then: an interrupt from a terminal also reaches our helpers.
        Err(_) if signal.load(Ordering::SeqCst) != 0 => interrupted(&signal),
        Err(StepError::Failed(failure)) => answer.failed(failure),
        Err(StepError::Input(message)) => answer.usage(&message),
        Err(StepError::Cancelled(_)) => interrupted(&signal),
        Err(error @ StepError::Host { .. }) => answer.internal(&error.to_string()),
    }
}

/// Where the answer goes.
struct Answer {
    json: bool,
    report: Option<PathBuf>,
    quiet: bool,
}

impl Answer {
    fn built(&self, report: Report, out: &Path) -> ExitCode {
        let wheel = out.join(&report.file_name);
        let remarks = remarks(&report);
        if let Err(message) = self.document(&Outcome::Built(Box::new(report))) {
            return failure_text::internal(self.json, &message);
        }
        // Who asked for a report and for quiet reads there what was built: Bazel, say, which shows each word of an action.
        let told = self.quiet && self.report.is_some();
        if !self.json && !told {
            print(&wheel.display().to_string());
            remarks.iter().for_each(|remark| complain(&format!("note: {remark}")));
        }
        ExitCode::SUCCESS
    }

    fn failed(&self, failure: Failure) -> ExitCode {
        let (code, text) = (failure.class.exit_code(), failure_text::describe(&failure));
        if let Err(message) = self.document(&Outcome::Failed(failure)) {
            complain(text.trim_end());
            return failure_text::internal(self.json, &message);
        }
        if !self.json {
            complain(text.trim_end());
        }
        ExitCode::from(code)
    }

    fn usage(&self, message: &str) -> ExitCode {
        self.complaint(failure_text::USAGE, message);
        failure_text::usage(self.json, message)
    }

    fn internal(&self, message: &str) -> ExitCode {
        self.complaint(failure_text::HOST, message);
        failure_text::internal(self.json, message)
    }

    /// The message is shown anyway, so a report that cannot be written is only one more.
    fn complaint(&self, kind: &str, message: &str) {
        if let Err(error) = self.write(&failure_text::complaint(kind, message)) {
            complain(&format!("error: {error}"));
        }
    }

    /// Writes `document` to wherever it was asked for; to standard output only if all else went well.
    fn document(&self, document: &Outcome) -> Result<(), String> {
        self.write(document)?;
        if self.json {
            failure_text::print_json(document);
        }
        Ok(())
    }

    fn write(&self, document: &impl Serialize) -> Result<(), String> {
        let Some(path) = &self.report else { return Ok(()) };
        let cannot = |error: std::io::Error| format!("cannot write the report {}: {error}", path.display());
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut bytes = serde_json::to_vec(document).map_err(|error| cannot(error.into()))?;
        bytes.push(b'\n');
        publish(&mut bytes.as_slice(), directory.unwrap_or(Path::new(".")), name).map_err(cannot)
    }
}

/// What a person should know of a wheel beside its name.
fn remarks(report: &Report) -> Vec<String> {
    let mut remarks = report.notes.clone();
    if report.emulated {
        remarks.push(format!("Python {} was emulated", report.python_version));
    }
    if let Some(CompilerReport { kind, program, version }) = &report.compiler
        && *kind != CompilerKind::Native
    {
        let version = version.iter().map(|version| format!(" ({version})")).collect::<String>();
        remarks.push(format!("the C compiler was {kind}: {program}{version}"));
    }
    remarks.extend(report.isolation.lost.iter().cloned());
    remarks
}

fn interrupted(signal: &AtomicI32) -> ExitCode {
    complain(&format!("error: {Cancelled}"));
    ExitCode::from(exit_code_of(signal.load(Ordering::SeqCst)))
}

/// Fails if somebody wants another crosswheel than this. Workers of our own look at it, too; others start
/// whichever they have.
fn check_version() -> Result<(), String> {
    let own = env!("CARGO_PKG_VERSION");
    match std::env::var("CROSSWHEEL_VERSION") {
        Ok(wanted) if wanted != own => {
            Err(format!("crosswheel {wanted} is wanted (CROSSWHEEL_VERSION), and this is crosswheel {own}"))
        }
        _ => Ok(()),
    }
}

/// The cache directory, and what removes it if it is one for this build only: workers may have no home.
fn cache_directory(given: Option<PathBuf>) -> Result<(PathBuf, Option<TempDir>), String> {
    match super::directories::cache_directory(given) {
        Ok(directory) => Ok((directory, None)),
        Err(_) => {
            let directory = tempfile::Builder::new().prefix("crosswheel-cache-").tempdir();
            let directory = directory.map_err(|error| format!("cannot make a cache directory: {error}"))?;
            Ok((directory.path().to_owned(), Some(directory)))
        }
    }
}

fn request(arguments: WheelArguments, cache: PathBuf) -> Result<WheelRequest, String> {
    let cross_compiler = arguments.cross_cc.as_deref().filter(|given| !given.trim().is_empty());
    let cross_compiler = cross_compiler.map(str::parse::<CrossCompiler>).transpose();
    let cross_compiler = cross_compiler.map_err(|error| error.to_string())?;
    let interpreter = Interpreter::find(&arguments.python, &cache).map_err(|error| error.to_string())?;
    let mut config_settings = BTreeMap::<String, Vec<String>>::new();
    for (key, value) in arguments.config_settings {
        config_settings.entry(key).or_default().push(value);
    }
    Ok(WheelRequest {
        sdist: arguments.sdist,
        out: arguments.out,
        target: arguments.target.unwrap_or_else(|| interpreter.target()),
        interpreter,
        build_wheels: arguments.build_wheels,
        glibc: arguments.glibc,
        patches: arguments.patches,
        patch_strip: arguments.patch_strip,
        config_settings,
        environment: arguments.environment.into_iter().collect(),
        tool_directories: super::directories::directories("--path", &arguments.tool_directories)?,
        cross_compiler,
        crates: arguments.crates,
        limits: ArchiveLimits {
            bytes: arguments.limit_bytes,
            members: arguments.limit_members,
            ratio: arguments.limit_ratio,
            depth: arguments.limit_depth,
        },
        timeout: arguments.timeout.map(Duration::from_secs),
        sandbox: arguments.sandbox,
        expect: arguments.expect,
        promise: WheelPromise {
            name: arguments.expect_name,
            version: arguments.expect_version,
            python: arguments.expect_python,
            libc: arguments.expect_libc,
        },
        cache,
        work: arguments.work_dir,
        keep_work: arguments.keep_work,
    })
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".into()),
    }
}

/// How long the build may take to notice a signal.
const GRACE: Duration = Duration::from_secs(4);

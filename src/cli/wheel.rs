//! `crosswheel wheel`: the hermetic step, from archive to verified wheel in one process.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::failure_text;
use super::output::{complain, print};
use crate::platform::{Glibc, Target};
use crate::sandbox::Mode;
use crate::sandbox::{Cancellation, Cancelled};
use crate::sdist::archive::Limits;
use crate::sdist::build::{Expect, WheelRequest, build_wheel};
use crate::sdist::interpreter::Interpreter;
use crate::sdist::report::Outcome;
use crate::sdist::step_error::StepError;
use crate::sdist::wheelhouse::GivenWheels;

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
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bytes)]
    limit_bytes: u64,
    /// Most members the sdist may have
    #[arg(long, value_name = "N", default_value_t = Limits::default().members)]
    limit_members: u64,
    /// Highest compression ratio, beyond the first 64 MiB unpacked
    #[arg(long, value_name = "N", default_value_t = Limits::default().ratio)]
    limit_ratio: u64,
    /// Deepest path in the sdist
    #[arg(long, value_name = "N", default_value_t = Limits::default().depth)]
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
    /// End the build when standard input ends: for whoever starts this and may be killed
    #[arg(long, hide = true)]
    end_with_stdin: bool,
    /// Print one JSON document on standard output: {"built": {...}}, {"failed": {...}}, or, where it is not the
    /// project's fault (exit codes 1 and 2), {"error": {...}}; nothing when interrupted
    #[arg(long)]
    json: bool,
    /// Keep the backend's output to ourselves; a failure still shows its lines
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the subcommand.
pub fn run(arguments: WheelArguments) -> ExitCode {
    let (json, quiet) = (arguments.json, arguments.quiet);
    let cancellation = Arc::new(Cancellation::default());
    let signal = match cancel_on_signals(&cancellation) {
        Ok(signal) => signal,
        Err(error) => return failure_text::internal(json, &format!("cannot listen for signals: {error}")),
    };
    if arguments.end_with_stdin
        && let Err(error) = cancel_at_end_of_stdin(&cancellation)
    {
        return failure_text::internal(json, &format!("cannot watch standard input: {error}"));
    }
    let request = match request(arguments) {
        Ok(request) => request,
        Err(_) if signal.load(Ordering::SeqCst) != 0 => return interrupted(&signal),
        Err(message) => return failure_text::usage(json, &message),
    };
    let mut output: Box<dyn Write + Send> =
        if quiet { Box::new(std::io::sink()) } else { Box::new(std::io::stderr()) };
    match build_wheel(&request, &cancellation, &mut output) {
        Ok(report) => {
            if json {
                failure_text::print_json(&Outcome::Built(Box::new(report)));
            } else {
                print(&request.out.join(&report.file_name).display().to_string());
                report.notes.iter().for_each(|note| complain(&format!("note: {note}")));
                report.isolation.lost.iter().for_each(|lost| complain(&format!("note: {lost}")));
            }
            ExitCode::SUCCESS
        }
        // Whatever else went wrong then: an interrupt from a terminal also reaches our helpers.
        Err(_) if signal.load(Ordering::SeqCst) != 0 => interrupted(&signal),
        Err(StepError::Failed(failure)) => {
            let code = failure.class.exit_code();
            if json {
                failure_text::print_json(&Outcome::Failed(failure));
            } else {
                complain(failure_text::describe(&failure).trim_end());
            }
            ExitCode::from(code)
        }
        Err(StepError::Input(message)) => failure_text::usage(json, &message),
        Err(StepError::Cancelled(_)) => interrupted(&signal),
        Err(error @ StepError::Host { .. }) => failure_text::internal(json, &error.to_string()),
    }
}

fn interrupted(signal: &AtomicI32) -> ExitCode {
    complain(&format!("error: {Cancelled}"));
    ExitCode::from(exit_code_of(signal.load(Ordering::SeqCst)))
}

fn exit_code_of(signal: i32) -> u8 {
    128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}

fn request(arguments: WheelArguments) -> Result<WheelRequest, String> {
    let cache = super::cache_directory(arguments.cache_dir)?;
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
        tool_directories: super::directories("--path", &arguments.tool_directories)?,
        crates: arguments.crates,
        limits: Limits {
            bytes: arguments.limit_bytes,
            members: arguments.limit_members,
            ratio: arguments.limit_ratio,
            depth: arguments.limit_depth,
        },
        timeout: arguments.timeout.map(Duration::from_secs),
        sandbox: arguments.sandbox,
        expect: arguments.expect,
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

/// Ends the build once whoever holds the other end of standard input is gone.
fn cancel_at_end_of_stdin(cancellation: &Arc<Cancellation>) -> std::io::Result<()> {
    let cancellation = Arc::clone(cancellation);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        cancellation.cancel();
    })?;
    Ok(())
}

/// How long the build may take to notice a signal. Less than `crosswheel build` gives us.
const GRACE: Duration = Duration::from_secs(4);

/// Ends the build on the first signal; what it was is kept for the exit code. A build that does not notice,
/// for unpacking something huge, say, or waiting for an interpreter that does not answer, is left to the next
/// one to sweep up; a second signal does not wait for it.
fn cancel_on_signals(cancellation: &Arc<Cancellation>) -> std::io::Result<Arc<AtomicI32>> {
    let received = Arc::new(AtomicI32::new(0));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (shared, cancellation) = (Arc::clone(&received), Arc::clone(cancellation));
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        shared.store(signal, Ordering::SeqCst);
        cancellation.cancel();
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline && signals.pending().next().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::process::exit(exit_code_of(signal).into());
    })?;
    Ok(received)
}

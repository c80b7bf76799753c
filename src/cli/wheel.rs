//! `crosswheel wheel`: the hermetic step, from archive to verified wheel in one process.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit_codes::{self, Subcommand};
use super::failure_text;
use super::output::{complain, print};
use crate::cancellation::{Cancellation, Cancelled};
use crate::contract::{
    Answer, AnswerError, CompilerKind, CompilerReport, ErrorKind, Failure, KeyValue, Report, WheelCommand,
    asked_contract,
};
use crate::scratch::file::{self, FileAccess};
use crate::scratch::home::LockedHome;
use crate::signals::{FirstSignal, MoreSignals, on_first_signal};
use crate::step::backend::cross_compiler::CrossCompiler;
use crate::step::build::build_wheel;
use crate::step::error::StepError;
use crate::step::helper::{Helpers, find_interpreter};
use crate::step::promise::WheelPromise;
use crate::step::request::WheelRequest;

const AFTER_HELP: &str = "\
Examples:
  crosswheel wheel cowsay-6.0.tar.gz --out dist --python 3.11 --build-wheels wheelhouse/
  crosswheel wheel markupsafe-2.1.5.tar.gz --out dist --python /usr/bin/python3.11 \\
      --build-wheels setuptools-75.1.0-py3-none-any.whl --expect native --json

The backend's output goes to standard error. Nothing is fetched: what the build requires must be
given with --build-wheels (`crosswheel build` finds and fetches it).";

/// Build one verified wheel from one sdist, without network, in a venv of its own.
#[derive(Args)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{}", Subcommand::Wheel.help()))]
pub struct WheelArguments {
    #[command(flatten)]
    command: WheelCommand,
}

/// Runs the subcommand.
pub fn run(arguments: WheelArguments) -> ExitCode {
    let command = arguments.command;
    let quiet = command.quiet;
    let reply = Reply { json: command.json, report: command.report.clone(), quiet };
    let cancellation = Arc::new(Cancellation::default());
    let to_cancel = Arc::clone(&cancellation);
    let signal = FirstSignal::default();
    let end = move |more: &mut MoreSignals| {
        to_cancel.cancel();
        more.wait(GRACE, || false);
    };
    if let Err(error) = on_first_signal(&signal, end) {
        return reply.error(AnswerError::host(format!("cannot listen for signals: {error}")));
    }
    // Workers of our own look at it, too; others start whichever crosswheel they have. Nobody asks at a terminal.
    if let Err(refused) = asked_contract(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    {
        return reply.error(AnswerError::host(refused.to_string()));
    }
    let (cache, _temporary) = match cache_directory(command.cache_dir.clone()) {
        Ok(directory) => directory,
        Err(message) => return reply.error(AnswerError::host(message)),
    };
    let request = match request(command, cache) {
        Ok(request) => request,
        Err(_) if signal.exit_code().is_some() => return interrupted(&signal),
        Err(message) => return reply.error(AnswerError::usage(message)),
    };
    let mut output: Box<dyn Write + Send> =
        if quiet { Box::new(std::io::sink()) } else { Box::new(std::io::stderr()) };
    match build_wheel(&request, &cancellation, &mut output) {
        Ok(report) => reply.built(report, &request.out),
        // Whatever else went wrong then: an interrupt from a terminal also reaches our helpers.
        Err(_) if signal.exit_code().is_some() => interrupted(&signal),
        Err(StepError::Failed(failure)) => reply.failed(failure),
        Err(StepError::Input(message)) => reply.error(AnswerError::usage(message)),
        Err(StepError::Cancelled(_)) => interrupted(&signal),
        Err(error @ StepError::Host { .. }) => reply.error(AnswerError::host(error.to_string())),
    }
}

/// Where the answer goes.
struct Reply {
    json: bool,
    report: Option<PathBuf>,
    quiet: bool,
}

impl Reply {
    fn built(&self, report: Report, out: &Path) -> ExitCode {
        let wheel = out.join(&report.file_name);
        let remarks = remarks(&report);
        // Whoever relies on it has to know, wherever the report goes.
        let isolation: Vec<String> = report.isolation.remarks().collect();
        if let Err(message) = self.document(&Answer::Built(Box::new(report))) {
            return failure_text::internal(self.json, &message);
        }
        // Who asked for a report and for quiet reads there what was built: Bazel, say, which shows each word of an action.
        let told = self.quiet && self.report.is_some();
        if !self.json && !told {
            print(&wheel.display().to_string());
            remarks.iter().for_each(|remark| complain(&format!("note: {remark}")));
        }
        isolation.iter().for_each(|remark| complain(&format!("note: {remark}")));
        ExitCode::SUCCESS
    }

    fn failed(&self, failure: Failure) -> ExitCode {
        let (code, text) = (failure.class.exit_code(), failure_text::describe(&failure));
        let isolation = failure.isolation.clone();
        if let Err(message) = self.document(&Answer::Failed(failure)) {
            complain(text.trim_end());
            return failure_text::internal(self.json, &message);
        }
        if !self.json {
            complain(text.trim_end());
        }
        let remarks = isolation.iter().flat_map(|isolation| isolation.remarks());
        remarks.for_each(|remark| complain(&format!("note: {remark}")));
        ExitCode::from(code)
    }

    /// The message is shown anyway, so a report that cannot be written is only one more.
    fn error(&self, error: AnswerError) -> ExitCode {
        let (kind, message) = (error.kind, error.message.clone());
        if let Err(error) = self.write(&Answer::Error(error)) {
            complain(&format!("error: {error}"));
        }
        match kind {
            ErrorKind::Usage => failure_text::usage(self.json, &message),
            ErrorKind::Host => failure_text::internal(self.json, &message),
        }
    }

    /// Writes `document` to wherever it was asked for; to standard output only if all else went well.
    fn document(&self, document: &Answer) -> Result<(), String> {
        self.write(document)?;
        if self.json {
            failure_text::print_json(document);
        }
        Ok(())
    }

    fn write(&self, document: &Answer) -> Result<(), String> {
        let Some(path) = &self.report else { return Ok(()) };
        let cannot = |error: std::io::Error| format!("cannot write the report {}: {error}", path.display());
        let mut bytes = serde_json::to_vec(document).map_err(|error| cannot(error.into()))?;
        bytes.push(b'\n');
        fs_err::create_dir_all(path.parent().unwrap_or(Path::new("")))
            .and_then(|()| file::write(path, &bytes, FileAccess::Mode(0o644)))
            .map_err(cannot)
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
    remarks
}

pub(super) fn interrupted(signal: &FirstSignal) -> ExitCode {
    complain(&format!("error: {Cancelled}"));
    ExitCode::from(signal.exit_code().unwrap_or(exit_codes::FAILED))
}

/// The cache directory, and what removes it if it is one for this build only: workers may have no home.
pub(super) fn cache_directory(given: Option<PathBuf>) -> Result<(PathBuf, Option<LockedHome>), String> {
    const PREFIX: &str = "crosswheel-cache-";
    match super::directories::cache_directory(given) {
        Ok(directory) => Ok((directory, None)),
        Err(_) => {
            let base = std::env::temp_dir();
            let home =
                LockedHome::sweep(&base, PREFIX).and_then(|()| LockedHome::create(&base, PREFIX, 0o700));
            let directory = home.map_err(|error| format!("cannot make a cache directory: {error}"))?;
            Ok((directory.path().to_owned(), Some(directory)))
        }
    }
}

fn request(command: WheelCommand, cache: PathBuf) -> Result<WheelRequest, String> {
    let cross_compiler = command.cross_cc.as_deref().filter(|given| !given.trim().is_empty());
    let cross_compiler = cross_compiler.map(str::parse::<CrossCompiler>).transpose();
    let cross_compiler = cross_compiler.map_err(|error| error.to_string())?;
    let helpers = Helpers::of_build(command.sandbox, &cache);
    let interpreter =
        find_interpreter(&command.python, &cache, &helpers).map_err(|error| error.to_string())?;
    let mut config_settings = BTreeMap::<String, Vec<String>>::new();
    for KeyValue { key, value } in command.config_settings {
        config_settings.entry(key).or_default().push(value);
    }
    Ok(WheelRequest {
        sdist: command.sdist,
        out: command.out,
        target: command.target.unwrap_or_else(|| interpreter.target()),
        interpreter,
        helpers,
        build_wheels: command.build_wheels,
        glibc: command.glibc,
        patches: command.patches,
        patch_strip: command.patch_strip,
        config_settings,
        environment: command.environment.into_iter().map(|variable| (variable.key, variable.value)).collect(),
        tool_directories: super::directories::directories("--path", &command.tool_directories)?,
        cross_compiler,
        crates: command.crates,
        limits: command.limits,
        timeout: command.timeout.map(Duration::from_secs),
        sandbox: command.sandbox,
        expect: command.expect,
        promise: WheelPromise {
            name: command.expect_name,
            version: command.expect_version,
            python: command.expect_python,
            libc: command.expect_libc,
        },
        cache,
        work: command.work_dir,
        keep_work: command.keep_work,
    })
}

/// How long the build may take to notice a signal.
pub(super) const GRACE: Duration = Duration::from_secs(4);

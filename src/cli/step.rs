//! What the subcommands of the steps have in common: signals, the contract, the cache, and the answer.
//! Knows nothing of what a step makes.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::exit_codes;
use super::failure_text;
use super::output::{complain, print};
use crate::cancellation::{Cancellation, Cancelled};
use crate::contract::{
    Answer, AnswerError, ErrorKind, Failure, GivenWheels, IsolationReport, KeyValue, SandboxMode,
    asked_contract,
};
use crate::scratch::file::{self, FileAccess};
use crate::scratch::home::LockedHome;
use crate::signals::{FirstSignal, MoreSignals, on_first_signal};
use crate::step::backend::cross_compiler::CrossCompiler;
use crate::step::error::StepError;
use crate::step::helper::{Helpers, find_interpreter};
use crate::step::request::BackendRequest;

/// How long the build may take to notice a signal.
pub(super) const GRACE: Duration = Duration::from_secs(4);

/// What every step is told beside what it is to make.
pub(super) struct Surroundings {
    pub json: bool,
    pub report: Option<PathBuf>,
    pub quiet: bool,
    pub cache_dir: Option<PathBuf>,
}

/// What a step has made.
pub(super) struct Made {
    pub answer: Answer,
    /// The file.
    pub path: PathBuf,
    /// What a person should know beside its name.
    pub remarks: Vec<String>,
    pub isolation: IsolationReport,
}

/// Runs a step: `work` is given the cache directory, what ends it, and where the backend's output goes.
pub(super) fn run(
    surroundings: Surroundings,
    work: impl FnOnce(PathBuf, &Cancellation, &mut (dyn Write + Send)) -> Result<Made, StepError>,
) -> ExitCode {
    let Surroundings { json, report, quiet, cache_dir } = surroundings;
    let reply = Reply { json, report, quiet };
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
    let (cache, _temporary) = match cache_directory(cache_dir) {
        Ok(directory) => directory,
        Err(message) => return reply.error(AnswerError::host(message)),
    };
    let mut output: Box<dyn Write + Send> =
        if quiet { Box::new(std::io::sink()) } else { Box::new(std::io::stderr()) };
    match work(cache, &cancellation, &mut output) {
        Ok(made) => reply.made(made),
        // Whatever else went wrong then: an interrupt from a terminal also reaches our helpers.
        Err(_) if signal.exit_code().is_some() => interrupted(&signal),
        Err(StepError::Failed(failure)) => reply.failed(failure),
        Err(StepError::Input(message)) => reply.error(AnswerError::usage(message)),
        Err(StepError::Cancelled(_)) => interrupted(&signal),
        Err(error @ StepError::Host { .. }) => reply.error(AnswerError::host(error.to_string())),
    }
}

/// What both command lines say of how the backend is run.
pub(super) struct Backend<'a> {
    pub python: &'a str,
    pub build_wheels: Vec<GivenWheels>,
    pub config_settings: Vec<KeyValue>,
    pub environment: Vec<KeyValue>,
    pub tool_directories: &'a [PathBuf],
    pub cross_cc: Option<&'a str>,
    pub crates: Option<PathBuf>,
    pub timeout: Option<u64>,
    pub sandbox: SandboxMode,
    pub work_dir: Option<PathBuf>,
    pub keep_work: bool,
}

impl Backend<'_> {
    /// The same as a request; asks the interpreter about itself.
    pub(super) fn request(self, cache: PathBuf) -> Result<BackendRequest, String> {
        let cross_compiler = self.cross_cc.filter(|given| !given.trim().is_empty());
        let cross_compiler = cross_compiler.map(str::parse::<CrossCompiler>).transpose();
        let cross_compiler = cross_compiler.map_err(|error| error.to_string())?;
        let helpers = Helpers::of_build(self.sandbox, &cache);
        let interpreter =
            find_interpreter(self.python, &cache, &helpers).map_err(|error| error.to_string())?;
        let mut config_settings = BTreeMap::<String, Vec<String>>::new();
        for KeyValue { key, value } in self.config_settings {
            config_settings.entry(key).or_default().push(value);
        }
        Ok(BackendRequest {
            interpreter,
            helpers,
            build_wheels: self.build_wheels,
            config_settings,
            environment: self
                .environment
                .into_iter()
                .map(|variable| (variable.key, variable.value))
                .collect(),
            tool_directories: super::directories::directories("--path", self.tool_directories)?,
            cross_compiler,
            crates: self.crates,
            timeout: self.timeout.map(Duration::from_secs),
            sandbox: self.sandbox,
            cache,
            work: self.work_dir,
            keep_work: self.keep_work,
        })
    }
}

/// Where the answer goes.
struct Reply {
    json: bool,
    report: Option<PathBuf>,
    quiet: bool,
}

impl Reply {
    fn made(&self, made: Made) -> ExitCode {
        // Whoever relies on it has to know, wherever the report goes.
        let isolation: Vec<String> = made.isolation.remarks().collect();
        if let Err(message) = self.document(&made.answer) {
            return failure_text::internal(self.json, &message);
        }
        // Who asked for a report and for quiet reads there what was made: Bazel, say, which shows each word of an action.
        let told = self.quiet && self.report.is_some();
        if !self.json && !told {
            print(&made.path.display().to_string());
            made.remarks.iter().for_each(|remark| complain(&format!("note: {remark}")));
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

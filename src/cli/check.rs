//! `crosswheel check`: whether wheels work together, in one process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::exit_codes::{self, Subcommand};
use super::failure_text;
use super::output::{complain, print};
use super::step::{GRACE, cache_directory, interrupted};
use crate::cancellation::Cancellation;
use crate::contract::{CheckAnswer, CheckCommand, CheckReport, FailureClass, asked_contract};
use crate::signals::{FirstSignal, MoreSignals, on_first_signal};
use crate::step::check::{CheckRequest, ImportedPackages, check_wheels};
use crate::step::error::StepError;
use crate::step::helper::{Helpers, find_interpreter};

const AFTER_HELP: &str = "\
Examples:
  crosswheel check wheels/ --python 3.11
  crosswheel check wheels/*.whl --import numpy --import scipy --json

The wheels are installed into a venv that is thrown away; nothing is fetched. Then what they require is looked
for among them, and their modules are imported, each in a process of its own, without network.";

/// Check that wheels can be installed together, have what they require, and can be imported.
#[derive(Args)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{}", Subcommand::Check.help()))]
pub struct CheckArguments {
    #[command(flatten)]
    command: CheckCommand,
}

/// Runs the subcommand.
pub fn run(arguments: CheckArguments) -> ExitCode {
    let command = arguments.command;
    let json = command.json;
    let cancellation = Arc::new(Cancellation::default());
    let to_cancel = Arc::clone(&cancellation);
    let signal = FirstSignal::default();
    let end = move |more: &mut MoreSignals| {
        to_cancel.cancel();
        more.wait(GRACE, || false);
    };
    if let Err(error) = on_first_signal(&signal, end) {
        return failure_text::internal(json, &format!("cannot listen for signals: {error}"));
    }
    if let Err(refused) = asked_contract(|name| Some(std::env::var_os(name)?.to_string_lossy().into_owned()))
    {
        return failure_text::internal(json, &refused.to_string());
    }
    let (cache, _temporary) = match cache_directory(command.cache_dir.clone()) {
        Ok(directory) => directory,
        Err(message) => return failure_text::internal(json, &message),
    };
    let checked = request(command, cache).map_err(StepError::Input);
    let checked = checked.and_then(|request| check_wheels(&request, &cancellation));
    match checked {
        Ok(report) => reply(report, json),
        // Whatever else went wrong then: an interrupt from a terminal also reaches our helpers.
        Err(_) if signal.exit_code().is_some() => interrupted(&signal),
        Err(StepError::Input(message)) => failure_text::usage(json, &message),
        Err(StepError::Cancelled(_)) => interrupted(&signal),
        Err(error) => failure_text::internal(json, &error.to_string()),
    }
}

fn request(command: CheckCommand, cache: PathBuf) -> Result<CheckRequest, String> {
    let helpers = Helpers::of_build(command.sandbox, &cache);
    let interpreter =
        find_interpreter(&command.python, &cache, &helpers).map_err(|error| error.to_string())?;
    let all = command.imports.is_empty() && !command.no_imports;
    Ok(CheckRequest {
        wheels: command.wheels,
        interpreter,
        target: command.target,
        helpers,
        imports: if all {
            ImportedPackages::All
        } else {
            ImportedPackages::Named(command.imports.into_iter().collect())
        },
        pip: command.pip,
        timeout: Duration::from_secs(command.timeout),
        sandbox: command.sandbox,
        cache,
        work: command.work_dir,
    })
}

fn reply(report: CheckReport, json: bool) -> ExitCode {
    let code =
        if report.problems.is_empty() { exit_codes::SUCCESS } else { FailureClass::CheckFailed.exit_code() };
    report.notes.iter().for_each(|note| complain(&format!("note: {note}")));
    report.isolation.lost.iter().for_each(|lost| complain(&format!("note: checked without {lost}")));
    if json {
        failure_text::print_json(&CheckAnswer::Checked(Box::new(report)));
        return ExitCode::from(code);
    }
    for problem in &report.problems {
        complain(&format!("error: {problem}"));
        problem.evidence.iter().for_each(|line| complain(&format!("  | {line}")));
    }
    print(&summary(&report));
    ExitCode::from(code)
}

/// `3 wheels installed, 2 modules imported, 1 problem`
fn summary(report: &CheckReport) -> String {
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    let emulated = if report.emulated { ", emulated" } else { "" };
    format!(
        "{} installed, {} imported, {} (Python {} of {}{emulated})",
        count(report.installed, "wheel"),
        count(report.imported.len(), "module"),
        count(report.problems.len(), "problem"),
        report.python_version,
        report.target,
    )
}

//! `crosswheel sdist`: the step before the hermetic step, from a source tree to an sdist, in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit_codes::Subcommand;
use super::step::{self, Backend, Made, Surroundings};
use crate::contract::{Answer, SdistCommand};
use crate::step::error::StepError;
use crate::step::request::SdistRequest;
use crate::step::sdist::make::make_sdist;

const AFTER_HELP: &str = "\
Examples:
  crosswheel sdist . --out dist --build-wheels wheelhouse/
  crosswheel sdist checkout --subdirectory packages/core --out dist --build-wheels wheelhouse/ --json

The tree is not written to: the backend works on a copy. There is no network, and no repository: `crosswheel build DIR`
finds out what the backend asks git. Nothing is fetched: what build_sdist requires must be given with --build-wheels.";

/// Make an sdist of a source tree: the backend's build_sdist, without network, on a copy of the tree.
#[derive(Args)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{}", Subcommand::Sdist.help()))]
pub struct SdistArguments {
    #[command(flatten)]
    command: SdistCommand,
}

/// Runs the subcommand.
pub fn run(arguments: SdistArguments) -> ExitCode {
    let command = arguments.command;
    let surroundings = Surroundings {
        json: command.json,
        report: command.report.clone(),
        quiet: command.quiet,
        cache_dir: command.cache_dir.clone(),
    };
    step::run(surroundings, |cache, cancellation, output| {
        let request = request(command, cache).map_err(StepError::Input)?;
        let report = make_sdist(&request, cancellation, output)?;
        Ok(Made {
            path: request.out.join(&report.file_name),
            remarks: Vec::new(),
            isolation: report.isolation.clone(),
            answer: Answer::Sdist(Box::new(report)),
        })
    })
}

fn request(command: SdistCommand, cache: PathBuf) -> Result<SdistRequest, String> {
    let backend = Backend {
        python: &command.python,
        build_wheels: command.build_wheels,
        config_settings: command.config_settings,
        environment: command.environment,
        tool_directories: &command.tool_directories,
        // Nothing is compiled that anybody gets.
        cross_cc: None,
        crates: command.crates,
        timeout: command.timeout,
        sandbox: command.sandbox,
        work_dir: command.work_dir,
        keep_work: command.keep_work,
    };
    Ok(SdistRequest {
        backend: backend.request(cache)?,
        tree: command.tree,
        subdirectory: command.subdirectory,
        git_answers: command.git_answers,
        out: command.out,
    })
}

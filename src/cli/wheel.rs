//! `crosswheel wheel`: the hermetic step, from archive to verified wheel in one process.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit_codes::Subcommand;
use super::step::{self, Backend, Made, Surroundings};
use crate::contract::{Answer, CompilerKind, CompilerReport, Report, WheelCommand};
use crate::step::build::build_wheel;
use crate::step::error::StepError;
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
    let surroundings = Surroundings {
        json: command.json,
        report: command.report.clone(),
        quiet: command.quiet,
        cache_dir: command.cache_dir.clone(),
    };
    step::run(surroundings, |cache, cancellation, output| {
        let request = request(command, cache).map_err(StepError::Input)?;
        let report = build_wheel(&request, cancellation, output)?;
        Ok(Made {
            path: request.out.join(&report.file_name),
            remarks: remarks(&report),
            isolation: report.isolation.clone(),
            answer: Answer::Built(Box::new(report)),
        })
    })
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

fn request(command: WheelCommand, cache: PathBuf) -> Result<WheelRequest, String> {
    let backend = Backend {
        python: &command.python,
        build_wheels: command.build_wheels,
        config_settings: command.config_settings,
        environment: command.environment,
        tool_directories: &command.tool_directories,
        cross_cc: command.cross_cc.as_deref(),
        crates: command.crates,
        timeout: command.timeout,
        sandbox: command.sandbox,
        work_dir: command.work_dir,
        keep_work: command.keep_work,
    };
    let backend = backend.request(cache)?;
    Ok(WheelRequest {
        sdist: command.sdist,
        out: command.out,
        target: command.target.unwrap_or_else(|| backend.interpreter.target()),
        backend,
        glibc: command.glibc,
        patches: command.patches,
        patch_strip: command.patch_strip,
        limits: command.limits,
        expect: command.expect,
        promise: WheelPromise {
            name: command.expect_name,
            version: command.expect_version,
            python: command.expect_python,
            libc: command.expect_libc,
        },
    })
}

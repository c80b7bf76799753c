//! `crosswheel build`: flags in, results out. Knows nothing of how anything is done.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::build_settings::BuildSettings;
use super::executor::Executor;
use super::exit_codes::Subcommand;
use super::output::{complain, print};
use crate::build::{BuildOptions, SourceResult, SourceStatus, build};
use crate::contract::{CompilerKind, Expect, Failure};
use crate::platform::{Arch, Target};

const AFTER_HELP: &str = "\
Examples:
  crosswheel build dist/cowsay-6.0.tar.gz --python 3.12
      Builds the wheel of a local sdist into dist/.
  crosswheel build cowsay==6.0 pyyaml==6.0.2 --out wheels --jobs 4
      Fetches both sdists from the index, checks their hashes, builds them side by side.
  crosswheel build -r requirements.txt --target linux_arm64
      Builds what the file names, checked by the hashes in it.
  crosswheel build cowsay==6.0 --lock crosswheel.lock
      Writes the exact build requirements into the lock file, or uses them if there is one.
  crosswheel build lib-1.0.tar.gz --build-requires 'cython<3' --constraint constraints.txt
      Adds a requirement the project forgot to declare, and bounds the others.
  crosswheel build lib-1.0.tar.gz --no-index --find-links wheelhouse
      Takes build requirements from a directory only.
  crosswheel build cowsay==6.0 markupsafe==2.1.5 --target linux_amd64 --target linux_arm64
      Builds for both platforms; what is pure is built once and shared. For the platform that is not
      this machine's, in the root file system that `crosswheel rootfs create --arch arm64` makes.
  crosswheel build markupsafe==2.1.5 --target linux_arm64 --rootfs linux_arm64=/srv/debian-arm64 --cross-cc
      Builds in another one, with the cross compiler of this machine, as the one in there is slow.
  crosswheel build cowsay==6.0 --remote grpc://buildbox:8980
      Builds on a worker of that server, with the build requirements resolved here.

Indexes and credentials come from the flags, from UV_DEFAULT_INDEX, UV_INDEX, UV_FIND_LINKS, UV_OFFLINE
and UV_EXCLUDE_NEWER, from PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX and PIP_CONSTRAINT,
from uv.toml and from pip.conf, in this order; logins also from UV_INDEX_<NAME>_USERNAME/_PASSWORD and
~/.netrc. Answers of indexes are reused for 10 minutes (--refresh: not at all; --offline: forever).";

/// Build wheels from sdists: fetch, resolve build requirements, build each in isolation, verify.
#[derive(Args)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{}", Subcommand::Build.help()))]
pub struct BuildArguments {
    /// An sdist file, an http(s) or file URL (optionally ending in #sha256=...), or a project of the index, such as
    /// cowsay, 'cowsay>=5,<6' or cowsay==6.0; with a name, `name @ URL`; with a marker, 'cowsay; python_version > "3.9"'
    #[arg(value_name = "SOURCE", required_unless_present = "requirements")]
    sources: Vec<String>,

    /// Also build what this file names, as pip reads it: requirements with markers and hashes, and its options
    #[arg(long = "requirement", short, value_name = "FILE")]
    requirements: Vec<PathBuf>,

    /// Directory the wheels are put into
    #[arg(long, short, value_name = "DIR", default_value = "dist")]
    out: PathBuf,

    #[command(flatten)]
    settings: BuildSettings,

    /// Use exactly the build requirements of this file; write it if there is none
    #[arg(long, value_name = "FILE", help_heading = "Build requirements")]
    lock: Option<PathBuf>,

    /// Resolve anew and rewrite the entries of these sources in the lock file
    #[arg(long, requires = "lock", help_heading = "Build requirements")]
    update_lock: bool,

    /// Print one JSON document on standard output, and nothing else there
    #[arg(long)]
    json: bool,

    /// Setting for the backend (PEP 517)
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true, help_heading = "Builds")]
    config_setting: Vec<String>,

    /// Environment variable for the backend
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Builds")]
    env: Vec<String>,

    /// Whether the wheels must hold compiled code; auto refuses a pure wheel when the sdist has native sources and a compiler failed
    #[arg(long, value_enum, default_value_t, help_heading = "Builds")]
    expect: Expect,

    /// Patch to apply to every SOURCE before it is built
    #[arg(long, value_name = "FILE", help_heading = "Builds")]
    patch: Vec<PathBuf>,

    /// Leading directories to strip from the names in patches
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Builds")]
    patch_strip: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    results: &'a [SourceResult],
}

/// Runs the subcommand.
pub fn run(arguments: BuildArguments) -> ExitCode {
    let (sources, json) = (arguments.sources.clone(), arguments.json);
    let files: Vec<_> = arguments.requirements.iter().map(|file| format!("-r {}", file.display())).collect();
    let targets = arguments.settings.targets();
    let summary = prepare(arguments).and_then(|(options, executor)| {
        let summary = build(&sources, options, executor.connect(), |result| {
            if !json {
                print_result(result, targets.len() > 1);
            }
            complain_of_isolation(result, targets.len() > 1);
        });
        executor.stop();
        summary
    });
    match summary {
        Ok(summary) => {
            if json {
                print_document(&summary.results);
            }
            if let Some(failure) = &summary.lock_failure {
                complain(&format!("crosswheel build: the lock file was not written: {failure}"));
            }
            ExitCode::from(summary.exit_code())
        }
        Err(failure) => {
            let code = failure.class.exit_code();
            if json {
                let host = [Target { arch: Arch::host() }];
                let targets = if targets.is_empty() { &host[..] } else { &targets };
                let failed = |source: &String, target: &Target| {
                    SourceResult::failed(source, *target, failure.clone(), 0.0)
                };
                let of_source = |source| targets.iter().map(move |target| failed(source, target));
                let sources = if sources.is_empty() { &files } else { &sources };
                print_document(&sources.iter().flat_map(of_source).collect::<Vec<_>>());
            } else {
                let mut lines = vec![format!("crosswheel build: {failure}")];
                lines.extend(details(&failure));
                complain(&lines.join("\n"));
            }
            ExitCode::from(code)
        }
    }
}

/// What to do, and the executor that is to do it, not yet reached.
fn prepare(arguments: BuildArguments) -> Result<(BuildOptions, Executor), Failure> {
    let most = arguments.requirements.is_empty().then_some(arguments.sources.len());
    let (options, executor) = arguments.settings.prepare(arguments.out, most)?;
    let options = BuildOptions {
        requirements: arguments.requirements,
        config_settings: arguments.config_setting,
        env: arguments.env,
        expect: arguments.expect,
        patches: arguments.patch,
        patch_strip: arguments.patch_strip,
        lock: arguments.lock,
        update_lock: arguments.update_lock,
        ..options
    };
    Ok((options, executor))
}

/// Says of which target it is if there are several.
fn print_result(result: &SourceResult, several: bool) {
    let target = if several { format!("{}  ", result.target) } else { String::new() };
    let mut lines = Vec::new();
    match (&result.wheel, &result.failure) {
        (Some(wheel), _) => {
            let name = wheel.file_name().unwrap_or_default().to_string_lossy();
            lines.push(format!("{:<8}{target}{name}  ({})", title(result.status), remarks(result)));
            let report = result.report.as_ref().filter(|_| result.status != SourceStatus::Shared);
            let notes = report.into_iter().flat_map(|report| &report.notes);
            lines.extend(notes.map(|note| format!("        note: {note}")));
        }
        (None, Some(failure)) => {
            lines.push(format!("failed  {target}{}: {failure}", result.source));
            lines.extend(details(failure));
        }
        (None, None) => {
            lines.push(format!(
                "{:<8}{target}{}  (its marker does not hold)",
                title(result.status),
                result.source
            ));
        }
    }
    print(&lines.join("\n"));
}

/// Says what a build's isolation lacked, wherever its result goes.
fn complain_of_isolation(result: &SourceResult, several: bool) {
    let target = if several { format!("{}  ", result.target) } else { String::new() };
    let isolation = match (&result.report, &result.failure) {
        (Some(report), _) => Some(&report.isolation),
        (None, Some(failure)) => failure.isolation.as_deref(),
        (None, None) => None,
    };
    for remark in isolation.into_iter().flat_map(|isolation| isolation.remarks()) {
        complain(&format!("note: {target}{}: {remark}", result.source));
    }
}

fn title(status: SourceStatus) -> &'static str {
    match status {
        SourceStatus::Built => "built",
        SourceStatus::Cached => "cached",
        SourceStatus::Shared => "shared",
        SourceStatus::Skipped => "skipped",
        SourceStatus::Failed => "failed",
    }
}

fn remarks(result: &SourceResult) -> String {
    let mut remarks = match result.shared_from {
        Some(target) => vec![format!("that of {target}")],
        None => vec![format!("{:.2} s", result.seconds)],
    };
    if result.status == SourceStatus::Built && result.report.as_ref().is_some_and(|report| report.emulated) {
        remarks.push("emulated".to_owned());
    }
    let compiler = result.report.as_ref().and_then(|report| report.compiler.as_ref());
    if result.status == SourceStatus::Built
        && compiler.is_some_and(|compiler| compiler.kind == CompilerKind::Cross)
    {
        remarks.push("cross compiler".to_owned());
    }
    if result.replaced {
        remarks.push("replaced a different file".to_owned());
    }
    remarks.join(", ")
}

/// What a failure has to say beyond its message.
fn details(failure: &Failure) -> Vec<String> {
    let mut lines: Vec<String> = failure.evidence.iter().map(|line| format!("        | {line}")).collect();
    lines.extend(failure.hint.iter().map(|hint| format!("        hint: {hint}")));
    lines
}

fn print_document(results: &[SourceResult]) {
    let text = serde_json::to_string(&Document { results }).expect("results have only string keys");
    print(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a command line means.
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: BuildArguments,
    }

    #[test]
    fn a_cross_compiler_is_known_by_what_the_executor_starts() {
        let compiler = |text: &str| {
            let line = ["build", "a-1.tar.gz", "--cache-dir", "/no/such/cache", text];
            let line = <Line as clap::Parser>::try_parse_from(line).unwrap();
            prepare(line.arguments).unwrap().0.cross_compiler
        };
        let here = std::env::current_dir().unwrap();
        assert_eq!(compiler("--cross-cc=tools/gcc"), Some(here.join("tools/gcc").display().to_string()));
        assert_eq!(compiler("--cross-cc=some-gcc").as_deref(), Some("some-gcc"));
        assert_eq!(compiler("--cross-cc").as_deref(), Some("on"));
        assert_eq!(compiler("--cross-cc=off"), None);
    }
}

//! `crosswheel wheelhouse`: flags in, a plan or results out. Knows nothing of how anything is done.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::build_settings::BuildSettings;
use super::executor::Executor;
use super::exit_codes::Subcommand;
use super::failure_text::{describe, print_json};
use super::output::{complain, print};
use super::wheelhouse_output::{
    complain_of_conditions, plan_document, plan_table, print_summary, summary_document,
};
use crate::build::{
    BuildOptions, FileFlags, PackageSet, WheelhouseInput, WheelhousePlan, WheelhouseRequest, make_wheelhouse,
    plan_wheelhouse,
};
use crate::contract::{Failure, FailureClass};
use crate::lock::Selection;

const AFTER_HELP: &str = "\
Examples:
  crosswheel wheelhouse --project . --target linux_amd64 --target linux_arm64 --out wheels
      Everything that uv.lock has for the project and its default groups, for both platforms.
  crosswheel wheelhouse --project . --extra cpu --no-default-groups --target linux_arm64 --plan
      Only says what that would be, and builds nothing.
  crosswheel wheelhouse 'flask>=3' pyyaml --no-binary pyyaml --out wheels
      What these are resolved to; pyyaml is built, although there are wheels.
  crosswheel wheelhouse -r requirements.txt --target linux_arm64 --out wheels
      What a requirements file says.
  crosswheel wheelhouse pylock.toml --out wheels
      What a lock file of the standard says (PEP 751).
  pip install --no-index --find-links wheels -r wheels/requirements-linux_amd64.txt
      Installs it.

Without --project, REQUIREMENT and -r, the project is the one whose uv.lock is in the current directory or above it.
What a project's packages are built with is locked in crosswheel.lock, beside its uv.lock.";

/// Make a wheelhouse: all wheels that have to be installed, for every target. What an index has is fetched; the rest is built.
#[derive(Args)]
#[command(after_long_help = format!("{AFTER_HELP}\n\n{}", Subcommand::Wheelhouse.help()))]
pub struct WheelhouseArguments {
    /// What has to be installed (PEP 508, a path or a URL), or one pylock.toml
    #[arg(value_name = "REQUIREMENT")]
    requirements: Vec<String>,

    /// What has to be installed: what this requirements file says
    #[arg(long, short, value_name = "FILE")]
    requirement: Vec<PathBuf>,

    /// Directory the wheels are put into
    #[arg(long, short, value_name = "DIR", required_unless_present = "plan")]
    out: Option<PathBuf>,

    /// Only say what would be in it, and from where
    #[arg(long)]
    plan: bool,

    /// table; lines: NAME==VERSION FILE for one target, with --plan; pylock: write pylock.TARGET.toml, too (PEP 751)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    format: Format,

    /// Install everything into an environment of each target, see whether it fits together, and import what was built
    #[arg(long, conflicts_with = "plan")]
    check: bool,

    /// Print one JSON document on standard output, and nothing else there
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    project: ProjectArguments,

    /// Build these packages, whatever wheels an index has: names with commas between them, or :all:
    #[arg(long, value_name = "PACKAGES", help_heading = "Files")]
    no_binary: Vec<String>,

    /// Do not build these packages: names with commas between them, or :all:
    #[arg(long, value_name = "PACKAGES", help_heading = "Files")]
    only_binary: Vec<String>,

    /// Build nothing: as --only-binary :all:
    #[arg(long, help_heading = "Files")]
    no_build: bool,

    /// Use exactly the build requirements of this file, and add what it does not have yet [default: crosswheel.lock, beside the uv.lock of a project]
    #[arg(long, value_name = "FILE", help_heading = "Build requirements")]
    lock: Option<PathBuf>,

    /// Resolve build requirements anew and rewrite their entries in the lock file
    #[arg(long, conflicts_with = "plan", help_heading = "Build requirements")]
    update_lock: bool,

    #[command(flatten)]
    settings: BuildSettings,
}

/// What of a project has to be installed: as for `uv sync`.
#[derive(Args)]
struct ProjectArguments {
    /// What has to be installed: what the uv.lock of this project says
    #[arg(long, value_name = "DIR", help_heading = "Project", conflicts_with_all = ["requirements", "requirement"])]
    project: Option<PathBuf>,

    /// Also this group
    #[arg(long, value_name = "GROUP", help_heading = "Project")]
    group: Vec<String>,

    /// All groups
    #[arg(long, help_heading = "Project")]
    all_groups: bool,

    /// Only this group, neither the project nor its default groups
    #[arg(long, value_name = "GROUP", help_heading = "Project")]
    only_group: Vec<String>,

    /// Not this group, whoever asks for it
    #[arg(long, value_name = "GROUP", help_heading = "Project")]
    no_group: Vec<String>,

    /// Not the default groups
    #[arg(long, help_heading = "Project")]
    no_default_groups: bool,

    /// Also this extra
    #[arg(long, value_name = "EXTRA", help_heading = "Project")]
    extra: Vec<String>,

    /// Of all extras, not this one
    #[arg(long, value_name = "EXTRA", help_heading = "Project")]
    no_extra: Vec<String>,

    /// All extras
    #[arg(long, help_heading = "Project")]
    all_extras: bool,

    /// This member of the workspace
    #[arg(long, value_name = "NAME", help_heading = "Project")]
    package: Vec<String>,

    /// All members of the workspace
    #[arg(long, help_heading = "Project")]
    all_packages: bool,
}

/// How a plan is printed, and what is written beside the requirements files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Lines,
    Pylock,
}

/// Runs the subcommand.
pub fn run(arguments: WheelhouseArguments) -> ExitCode {
    let (json, plan, format) = (arguments.json, arguments.plan, arguments.format);
    let ended = prepare(arguments).and_then(|(request, options, executor)| {
        let connect = executor.connect();
        let ended = match plan {
            true => {
                plan_wheelhouse(&request, options, connect).and_then(|plan| show_plan(&plan, format, json))
            }
            false => make_wheelhouse(&request, options, connect).map(|summary| {
                match json {
                    true => print_json(&summary_document(&summary)),
                    false => print_summary(&summary),
                }
                complain_of_conditions(&summary);
                summary.exit_code()
            }),
        };
        executor.stop();
        ended
    });
    ExitCode::from(ended.unwrap_or_else(|failure| {
        match json {
            true => print_json(&serde_json::json!({ "failure": failure })),
            false => complain(&format!("crosswheel wheelhouse: {}", describe(&failure).trim_end())),
        }
        failure.class.exit_code()
    }))
}

/// Prints a plan; returns the exit code.
fn show_plan(plan: &WheelhousePlan, format: Format, json: bool) -> Result<u8, Failure> {
    let code = plan.exit_code();
    match (format, json) {
        (_, true) => print_json(&plan_document(plan)),
        (Format::Table | Format::Pylock, false) => print(&plan_table(plan)),
        (Format::Lines, false) => {
            let [target] = &plan.targets[..] else {
                let message = "--plan prints lines for one target";
                return Err(
                    invalid(message.into()).with_hint("give one --target, or take the table or --json")
                );
            };
            let target = target.plan.as_ref().map_err(Clone::clone)?;
            // Of nothing there is no line, not an empty one.
            if !target.lines.is_empty() {
                print(&target.lines.join("\n"));
            }
        }
    }
    plan.notes.iter().for_each(|note| complain(&format!("note: {note}")));
    Ok(code)
}

/// What to do, and the executor that is to do it, not yet reached.
fn prepare(arguments: WheelhouseArguments) -> Result<(WheelhouseRequest, BuildOptions, Executor), Failure> {
    match (arguments.format, arguments.plan) {
        (Format::Lines, false) => {
            return Err(invalid("--format lines is how a plan is printed".into()).with_hint("add --plan"));
        }
        (Format::Pylock, true) => {
            let message = "--format pylock names the wheels that were made, and --plan makes none";
            return Err(invalid(message.into()).with_hint("leave out --plan"));
        }
        (Format::Lines, true) if arguments.json => {
            return Err(invalid("--format lines and --json are two ways to print a plan".into())
                .with_hint("leave out one"));
        }
        _ => {}
    }
    let request = WheelhouseRequest {
        input: input(&arguments)?,
        files: files(&arguments)?,
        pylock: arguments.format == Format::Pylock,
        check: arguments.check,
    };
    let is_project = matches!(request.input, WheelhouseInput::Project { .. });
    if arguments.update_lock && arguments.lock.is_none() && !is_project {
        let message = "--update-lock is for the lock file of a project, or that of --lock";
        return Err(invalid(message.into()));
    }
    // Nothing is put anywhere by a plan, and no directory of somebody's sources is taken for ours.
    let out = arguments.out.filter(|_| !arguments.plan).unwrap_or_default();
    let (options, executor) = arguments.settings.prepare(out, None)?;
    let options = BuildOptions {
        lock: arguments.lock,
        lock_grows: true,
        update_lock: arguments.update_lock,
        ..options
    };
    Ok((request, options, executor))
}

fn input(arguments: &WheelhouseArguments) -> Result<WheelhouseInput, Failure> {
    let is_lock = |text: &String| {
        let name = Path::new(text).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == "pylock.toml" || name.starts_with("pylock.") && name.ends_with(".toml")
    };
    if let Some(lock) = arguments.requirements.iter().find(|text| is_lock(text)) {
        if arguments.requirements.len() + arguments.requirement.len() > 1 {
            let message =
                format!("{lock} says all that has to be installed; nothing can be asked for beside it");
            return Err(invalid(message).with_hint("make two wheelhouses, or lock what is missing, too"));
        }
        return Ok(WheelhouseInput::Pylock { path: lock.into(), selection: selection(&arguments.project)? });
    }
    if arguments.requirements.is_empty() && arguments.requirement.is_empty() {
        let selection = selection(&arguments.project)?;
        return Ok(WheelhouseInput::Project { directory: project(&arguments.project)?, selection });
    }
    if selection(&arguments.project)? != Selection::default() {
        let message = "groups, extras and members are those of a project, and requirements are given";
        return Err(invalid(message.into())
            .with_hint("write the extras of requirements behind their names: 'name[extra]'"));
    }
    Ok(WheelhouseInput::Requirements {
        requirements: arguments.requirements.clone(),
        files: arguments.requirement.clone(),
    })
}

/// The project that was named, or else the one around the current directory.
fn project(arguments: &ProjectArguments) -> Result<PathBuf, Failure> {
    if let Some(directory) = &arguments.project {
        return Ok(directory.clone());
    }
    let here = std::env::current_dir()?;
    if here.ancestors().any(|directory| directory.join("uv.lock").is_file()) {
        return Ok(here);
    }
    let message =
        "nothing is said of what has to be installed, and no uv.lock is in this directory or above it";
    Err(invalid(message.into())
        .with_hint("give requirements, -r FILE, --project DIR with a uv.lock, or a pylock.toml"))
}

fn selection(arguments: &ProjectArguments) -> Result<Selection, Failure> {
    fn names<T: std::str::FromStr>(flag: &str, texts: &[String]) -> Result<Vec<T>, Failure> {
        let parse =
            |text: &String| text.parse().map_err(|_| invalid(format!("{flag}: `{text}` is not a name")));
        texts.iter().map(parse).collect()
    }
    Ok(Selection {
        groups: names("--group", &arguments.group)?,
        all_groups: arguments.all_groups,
        no_groups: names("--no-group", &arguments.no_group)?,
        only_groups: names("--only-group", &arguments.only_group)?,
        no_default_groups: arguments.no_default_groups,
        extras: names("--extra", &arguments.extra)?,
        no_extras: names("--no-extra", &arguments.no_extra)?,
        all_extras: arguments.all_extras,
        packages: names("--package", &arguments.package)?,
        all_packages: arguments.all_packages,
    })
}

fn files(arguments: &WheelhouseArguments) -> Result<FileFlags, Failure> {
    let set = |flag: &str, texts: &[String]| {
        let mut set = PackageSet::default();
        let added = texts.iter().try_for_each(|text| set.add(text));
        added.map_err(|message| invalid(format!("{flag}: {message}"))).map(|()| set)
    };
    let mut files = FileFlags {
        no_binary: set("--no-binary", &arguments.no_binary)?,
        only_binary: set("--only-binary", &arguments.only_binary)?,
    };
    files.only_binary.all |= arguments.no_build;
    Ok(files)
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

//! `crosswheel generate`: files for build systems, so that their builds find the right workers.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit_codes;
use super::failure_text;
use super::output::{complain, print};
use crate::starlark::{
    BazelModel, BazelVersion, Difference, DifferenceKind, DirectoryError, Emission, ModelError, ModelFile,
    PackageDirectory, PlatformModel, Written,
};

/// Write files for a build system.
#[derive(Args)]
pub struct GenerateArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Bazel(BazelArguments),
}

/// Write a Bazel package: platforms, what places builds on them, and rules that build wheels.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  crosswheel generate bazel --out platforms
  crosswheel generate bazel --out platforms --platform linux_amd64,libc=glibc-2.36 \\
      --platform linux_arm64,name=arm64_linux,libc=glibc-2.36,python=3.11,Pool=wheels
  crosswheel generate bazel --out platforms --model platforms/crosswheel.toml --check

A model says the same as the flags:
  package = \"platforms\"
  bazel-compat = [\"4.2\", \"7\"]

  [[platform]]
  arch = \"arm64\"
  name = \"arm64_linux\"
  libc = \"glibc-2.36\"
  python = [\"3.11\"]
  exec-properties = {{ Pool = \"wheels\" }}

Properties take the place of the generated ones of the same name (in any case, and ISA that of
Arch). With libc=musl, only pure wheels are built so far.

The README.md that is written with them says how a workspace takes the files in.

{}", exit_codes::Subcommand::Generate.help()))]
struct BazelArguments {
    /// The package's directory; other files in it are left alone
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A platform: TARGET[,name=NAME][,libc=glibc-2.36|musl][,libc-property=off][,python=3.11...][,python-property=off][,PROPERTY=VALUE...],
    /// where TARGET is linux_amd64 or linux_arm64; may be given several times [default: both]
    #[arg(long = "platform", value_name = "PLATFORM", value_parser = PlatformModel::parse, conflicts_with = "model")]
    platforms: Vec<PlatformModel>,
    /// A file that says what to generate, instead of --platform
    #[arg(long, value_name = "FILE.toml")]
    model: Option<PathBuf>,
    /// Version of Bazel to write registration files for: 4.2, 7, 8 or 9; may be given several times [default: all]
    #[arg(long = "bazel-compat", value_name = "VERSION", value_parser = str::parse::<BazelVersion>)]
    versions: Vec<BazelVersion>,
    /// The package's path in its workspace [default: what is around DIR tells, or else DIR's own name]
    #[arg(long, value_name = "PATH")]
    package: Option<String>,
    /// Write nothing; say what is different from what would be written
    #[arg(long)]
    check: bool,
    /// Overwrite files that were not generated, too
    #[arg(long, conflicts_with = "check")]
    force: bool,
    /// Print one JSON document: {"written": [...], "unchanged": [...], "removed": [...]}, with --check
    /// {"ok": true, "differences": [...]}, or {"error": {...}}
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(arguments: GenerateArguments) -> ExitCode {
    let What::Bazel(arguments) = arguments.what;
    let json = arguments.json;
    match generate(arguments) {
        Ok(code) => code,
        Err(Problem::Usage(message)) => failure_text::usage(json, &message),
        Err(Problem::Host(message)) => failure_text::internal(json, &message),
    }
}

enum Problem {
    /// The command line's fault, or the model's.
    Usage(String),
    /// This machine's.
    Host(String),
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Io { .. } => Self::Host(error.to_string()),
            DirectoryError::NotOurs(_) | DirectoryError::Hidden { .. } | DirectoryError::NoFile(_) => {
                Self::Usage(error.to_string())
            }
        }
    }
}

fn generate(arguments: BazelArguments) -> Result<ExitCode, Problem> {
    let (check, force, json) = (arguments.check, arguments.force, arguments.json);
    let directory = PackageDirectory::new(&arguments.out);
    let emission = Emission::of(&model(arguments, &directory)?);
    if !check {
        let written = directory.write(&emission, force)?;
        if json {
            failure_text::print_json(&written);
        } else {
            tell(&written);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let differences = directory.differences(&emission)?;
    if json {
        failure_text::print_json(
            &serde_json::json!({ "ok": differences.is_empty(), "differences": differences }),
        );
    } else {
        differences.iter().for_each(tell_difference);
    }
    if differences.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if !json {
        complain("error: the files are not what would be generated; without --check, they will be");
    }
    Ok(ExitCode::from(exit_codes::FAILED))
}

/// What to generate: flags win over the file, and the directory knows its package if nobody says.
fn model(arguments: BazelArguments, directory: &PackageDirectory) -> Result<BazelModel, Problem> {
    let usage = |error: ModelError| Problem::Usage(error.to_string());
    let mut file = match &arguments.model {
        Some(path) => {
            let text = fs_err::read_to_string(path)
                .map_err(|error| Problem::Usage(format!("cannot read the model: {error}")))?;
            let in_file = |error: ModelError| Problem::Usage(format!("{}: {error}", path.display()));
            ModelFile::parse(&text).map_err(in_file)?
        }
        None if arguments.platforms.is_empty() => ModelFile::default(),
        None => ModelFile { platforms: Some(arguments.platforms), ..ModelFile::default() },
    };
    if !arguments.versions.is_empty() {
        file.versions = Some(arguments.versions.into_iter().collect());
    }
    let package = match arguments.package.or(file.package.take()) {
        Some(package) => package,
        None => directory.package()?,
    };
    file.complete(package).map_err(usage)
}

fn tell(written: &Written) {
    for (verb, files) in [("wrote", &written.written), ("removed", &written.removed)] {
        files.iter().for_each(|file| print(&format!("{verb}    {file}")));
    }
    if written.written.is_empty() && written.removed.is_empty() {
        print("everything is as it would be written");
    }
}

fn tell_difference(difference: &Difference) {
    let file = &difference.file;
    match &difference.kind {
        DifferenceKind::Missing => print(&format!("missing      {file}")),
        DifferenceKind::Superfluous => print(&format!("superfluous  {file}")),
        DifferenceKind::Changed { diff } => print(&format!("changed      {file}\n{}", diff.trim_end())),
    }
}

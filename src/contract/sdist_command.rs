//! The command line of `crosswheel sdist`: one type, which the command line is parsed into, and which whoever asks for an
//! sdist renders.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::flag::Flag;
use super::given_wheels::GivenWheels;
use super::invocation::{CACHE_VARIABLE, SDIST_SUBCOMMAND, WORK_VARIABLE};
use super::key_value::KeyValue;
use super::line::{Line, NotUnicode, text};
use super::sandbox_mode::SandboxMode;
use crate::deadline::LONGEST_SECONDS;

/// All that `crosswheel sdist` is told.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct SdistCommand {
    /// The source tree: a directory, which is not written to
    pub tree: PathBuf,
    /// Directory the sdist is written to
    #[arg(long = Flag::Out.name(), value_name = "DIR")]
    pub out: PathBuf,
    /// The project's directory in the tree, such as packages/core [default: the tree itself]
    #[arg(long = Flag::Subdirectory.name(), value_name = "PATH")]
    pub subdirectory: Option<PathBuf>,
    /// What git says of the tree's repository, which is not there itself: a directory with answers.json
    #[arg(long = Flag::GitAnswers.name(), value_name = "DIR")]
    pub git_answers: Option<PathBuf>,
    /// The Python that builds: a version (3.12), a command or a path
    #[arg(long = Flag::Python.name(), value_name = "PYTHON", default_value = "3")]
    pub python: String,
    /// Wheels of the build requirements: directories to choose from, or files, whose digest may be given as in a.whl#sha256=...
    #[arg(long = Flag::BuildWheels.name(), value_name = "DIR_OR_WHEEL", num_args = 1.., value_parser = OsStringValueParser::new().try_map(GivenWheels::parse))]
    pub build_wheels: Vec<GivenWheels>,
    /// Setting for the backend (PEP 517 config_settings); several of one key make a list
    #[arg(long = Flag::ConfigSetting.name(), value_name = "K=V")]
    pub config_settings: Vec<KeyValue>,
    /// Variable for the build's environment; PATH, CFLAGS and CXXFLAGS are joined to ours
    #[arg(long = Flag::Env.name(), value_name = "K=V")]
    pub environment: Vec<KeyValue>,
    /// Directory of tools for the build's PATH; may be given several times
    #[arg(long = Flag::Path.name(), value_name = "DIR")]
    pub tool_directories: Vec<PathBuf>,
    /// Crates for Rust extensions, as `cargo vendor` writes them
    #[arg(long = Flag::Crates.name(), value_name = "DIR")]
    pub crates: Option<PathBuf>,
    /// End the build after this many seconds
    #[arg(long = Flag::Timeout.name(), value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECONDS))]
    pub timeout: Option<u64>,
    /// Cut the build off from this host: as far as possible, or not start, or only from its network
    #[arg(long = Flag::Sandbox.name(), value_enum, default_value_t)]
    pub sandbox: SandboxMode,
    /// Where unpacked wheels and facts about interpreters are kept [default: crosswheel in the user's cache directory]
    #[arg(long = Flag::CacheDir.name(), value_name = "DIR", env = CACHE_VARIABLE)]
    pub cache_dir: Option<PathBuf>,
    /// Where to build [default: a directory of the cache]
    #[arg(long = Flag::WorkDir.name(), value_name = "DIR", env = WORK_VARIABLE)]
    pub work_dir: Option<PathBuf>,
    /// Leave the build's directory in place, and say where it is
    #[arg(long = Flag::KeepWork.name())]
    pub keep_work: bool,
    /// Print one JSON document on standard output: {"sdist": {...}}, {"failed": {...}}, or, where it is not the
    /// project's fault (exit codes 1 and 2), {"error": {...}}; nothing when interrupted
    #[arg(long = Flag::Json.name())]
    pub json: bool,
    /// Write that document, whatever it says, to this file, too
    #[arg(long = Flag::Report.name(), value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Keep the backend's output to ourselves, and with --report say nothing of success; a failure still shows its lines
    #[arg(long = Flag::Quiet.name(), short)]
    pub quiet: bool,
}

impl SdistCommand {
    /// What makes an sdist of `tree` in `out` if nothing else is said.
    pub fn new(tree: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            tree: tree.into(),
            out: out.into(),
            subdirectory: None,
            git_answers: None,
            python: "3".to_owned(),
            build_wheels: Vec::new(),
            config_settings: Vec::new(),
            environment: Vec::new(),
            tool_directories: Vec::new(),
            crates: None,
            timeout: None,
            sandbox: SandboxMode::default(),
            cache_dir: None,
            work_dir: None,
            keep_work: false,
            json: false,
            report: None,
            quiet: false,
        }
    }

    /// The command line, from the program's name on, in the form of [`WheelCommand::render`](super::WheelCommand::render).
    ///
    /// # Errors
    /// If there is a path in it that is not UTF-8.
    pub fn render(&self) -> Result<Vec<String>, NotUnicode> {
        // No `..` here: a field that were left out would be lost on the way.
        let Self {
            tree,
            out,
            subdirectory,
            git_answers,
            python,
            build_wheels,
            config_settings,
            environment,
            tool_directories,
            crates,
            timeout,
            sandbox,
            cache_dir,
            work_dir,
            keep_work,
            json,
            report,
            quiet,
        } = self;
        let mut line = Line::default();
        line.paths(Flag::Out, [out])?;
        line.paths(Flag::Report, report)?;
        line.paths(Flag::Subdirectory, subdirectory)?;
        line.paths(Flag::GitAnswers, git_answers)?;
        line.values(Flag::Python, [python]);
        for wheels in build_wheels {
            line.values(Flag::BuildWheels, [wheels.render(text(&wheels.path)?)]);
        }
        line.values(Flag::ConfigSetting, config_settings);
        line.values(Flag::Env, environment);
        line.paths(Flag::Path, tool_directories)?;
        line.paths(Flag::Crates, crates)?;
        line.values(Flag::Timeout, timeout);
        line.values(Flag::Sandbox, [sandbox]);
        line.paths(Flag::CacheDir, cache_dir)?;
        line.paths(Flag::WorkDir, work_dir)?;
        line.switch(Flag::KeepWork, *keep_work);
        line.switch(Flag::Json, *json);
        line.switch(Flag::Quiet, *quiet);
        Ok(line.around(SDIST_SUBCOMMAND, text(tree)?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Arg, Command, FromArgMatches};

    use super::*;
    use crate::digest::Sha256;

    fn command() -> Command {
        let unset = |argument: Arg| argument.env(None::<&str>);
        SdistCommand::augment_args(Command::new(SDIST_SUBCOMMAND)).no_binary_name(true).mut_args(unset)
    }

    fn full() -> SdistCommand {
        SdistCommand {
            subdirectory: Some("packages/a".into()),
            git_answers: Some("git".into()),
            python: "3.12".into(),
            build_wheels: vec![GivenWheels { path: "a.whl".into(), sha256: Some(Sha256::of(b"a")) }],
            config_settings: vec!["--a=b=c".parse().unwrap()],
            environment: vec!["A=-1".parse().unwrap()],
            tool_directories: vec!["/tools".into()],
            crates: Some("crates".into()),
            timeout: Some(9),
            sandbox: SandboxMode::Required,
            cache_dir: Some("cache".into()),
            work_dir: Some("work".into()),
            keep_work: true,
            json: true,
            report: Some("report".into()),
            quiet: true,
            ..SdistCommand::new("-tree", "out")
        }
    }

    #[test]
    fn what_is_rendered_is_parsed_again() {
        for asked in [SdistCommand::new("tree", "out"), full()] {
            let line = asked.render().unwrap();
            assert_eq!(line[..2], ["crosswheel", "sdist"]);
            let matches = command().try_get_matches_from(&line[2..]).unwrap();
            assert_eq!(SdistCommand::from_arg_matches(&matches).unwrap(), asked);
        }
    }

    /// A worker judges actions by them.
    #[test]
    fn its_flags_are_those_that_the_table_gives_it() {
        let defined: BTreeSet<String> =
            command().get_arguments().filter_map(|argument| Some(argument.get_long()?.to_owned())).collect();
        let known = Flag::ALL.into_iter().filter(|flag| flag.is_of_sdist());
        assert_eq!(defined, known.map(|flag| flag.name().to_owned()).collect());
    }
}

//! The command line of `crosswheel check`: one type, which the command line is parsed into, and which whoever asks for a
//! check renders.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use pep508_rs::PackageName;

use super::flag::Flag;
use super::given_wheels::GivenWheels;
use super::invocation::{CACHE_VARIABLE, CHECK_SUBCOMMAND, WORK_VARIABLE};
use super::line::{Line, NotUnicode, text};
use super::sandbox_mode::SandboxMode;
use crate::deadline::LONGEST_SECONDS;
use crate::platform::Target;

/// All that `crosswheel check` is told.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct CheckCommand {
    /// The wheels that are to work together: files, whose digest may be given as in a.whl#sha256=..., or directories, from which those that fit best are taken
    #[arg(required = true, value_name = "WHEELS", value_parser = OsStringValueParser::new().try_map(GivenWheels::parse))]
    pub wheels: Vec<GivenWheels>,
    /// The Python that they are for: a version (3.12), a command or a path
    #[arg(long = Flag::Python.name(), value_name = "PYTHON", default_value = "3")]
    pub python: String,
    /// Platform of that Python: linux_amd64 or linux_arm64 [default: whichever it is]
    #[arg(long = Flag::Target.name())]
    pub target: Option<Target>,
    /// Import the modules of this package, and of no other that is not named; may be given several times [default: all]
    #[arg(long = Flag::Import.name(), value_name = "PACKAGE", conflicts_with = "no_imports")]
    pub imports: Vec<PackageName>,
    /// Import nothing
    #[arg(long = Flag::NoImports.name())]
    pub no_imports: bool,
    /// pip's own wheel, whose `pip check` then looks for what is missing and what conflicts; may have a digest, too [default: crosswheel looks itself]
    #[arg(long = Flag::Pip.name(), value_name = "WHEEL", value_parser = OsStringValueParser::new().try_map(GivenWheels::parse))]
    pub pip: Option<GivenWheels>,
    /// How many seconds a module may take to be imported
    #[arg(long = Flag::Timeout.name(), value_name = "SECONDS", default_value_t = Self::TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECONDS))]
    pub timeout: u64,
    /// Cut off from this host what is imported: as far as possible, or not start, or only from its network
    #[arg(long = Flag::Sandbox.name(), value_enum, default_value_t)]
    pub sandbox: SandboxMode,
    /// Where unpacked wheels and facts about interpreters are kept [default: crosswheel in the user's cache directory]
    #[arg(long = Flag::CacheDir.name(), value_name = "DIR", env = CACHE_VARIABLE)]
    pub cache_dir: Option<PathBuf>,
    /// Where to work [default: a directory of the cache]
    #[arg(long = Flag::WorkDir.name(), value_name = "DIR", env = WORK_VARIABLE)]
    pub work_dir: Option<PathBuf>,
    /// Print one JSON document on standard output: {"checked": {...}}, or, where it is not the wheels' fault (exit
    /// codes 1 and 2), {"error": {...}}; nothing when interrupted
    #[arg(long = Flag::Json.name())]
    pub json: bool,
}

impl CheckCommand {
    /// `--timeout` if nobody says otherwise: the largest packages there are take an emulated Python a minute or two.
    pub const TIMEOUT: u64 = 600;

    /// What checks `wheels` if nothing else is said.
    pub fn new(wheels: Vec<GivenWheels>) -> Self {
        Self {
            wheels,
            python: "3".to_owned(),
            target: None,
            imports: Vec::new(),
            no_imports: false,
            pip: None,
            timeout: Self::TIMEOUT,
            sandbox: SandboxMode::default(),
            cache_dir: None,
            work_dir: None,
            json: false,
        }
    }

    /// The command line, from the program's name on, as that of [`WheelCommand`](super::wheel_command::WheelCommand).
    ///
    /// # Errors
    /// If there is a path in it that is not UTF-8.
    pub fn render(&self) -> Result<Vec<String>, NotUnicode> {
        // No `..` here: a field that were left out would be lost on the way.
        let Self {
            wheels,
            python,
            target,
            imports,
            no_imports,
            pip,
            timeout,
            sandbox,
            cache_dir,
            work_dir,
            json,
        } = self;
        let given = |wheels: &GivenWheels| Ok(wheels.render(text(&wheels.path)?));
        let wheels = wheels.iter().map(given).collect::<Result<_, NotUnicode>>()?;
        let mut line = Line::default();
        line.values(Flag::Python, [python]);
        line.values(Flag::Target, target);
        line.values(Flag::Import, imports);
        line.switch(Flag::NoImports, *no_imports);
        line.values(Flag::Pip, pip.as_ref().map(given).transpose()?);
        line.values(Flag::Timeout, [timeout]);
        line.values(Flag::Sandbox, [sandbox]);
        line.paths(Flag::CacheDir, cache_dir)?;
        line.paths(Flag::WorkDir, work_dir)?;
        line.switch(Flag::Json, *json);
        Ok(line.around_all(CHECK_SUBCOMMAND, wheels))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Arg, ArgAction, Command, FromArgMatches};
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::contract::invocation::PROGRAM;
    use crate::digest::Sha256;

    /// As `crosswheel check` parses it, with no variables set.
    fn parse(arguments: &[String]) -> Result<CheckCommand, clap::Error> {
        let unset = |argument: Arg| argument.env(None::<&str>);
        let command = CheckCommand::augment_args(Command::new(CHECK_SUBCOMMAND));
        let matches = command.no_binary_name(true).mut_args(unset).try_get_matches_from(arguments)?;
        CheckCommand::from_arg_matches(&matches)
    }

    fn path() -> impl Strategy<Value = PathBuf> {
        "[^\0#]{1,12}".prop_map(PathBuf::from)
    }

    fn wheels() -> impl Strategy<Value = GivenWheels> {
        let sha256 = option::of(any::<[u8; 8]>().prop_map(|bytes| Sha256::of(&bytes)));
        (path(), sha256).prop_map(|(path, sha256)| GivenWheels { path, sha256 })
    }

    fn imports() -> impl Strategy<Value = (Vec<PackageName>, bool)> {
        let name = "[a-z]([a-z0-9-]{0,5}[a-z0-9])?".prop_map(|name| name.parse().unwrap());
        (vec(name, 0..3), any::<bool>()).prop_map(|(names, none)| (names.clone(), none && names.is_empty()))
    }

    prop_compose! {
        fn commands()(
            wheels in vec(wheels(), 1..4),
            python in "[^\0]{0,9}",
            target in option::of(select(vec!["linux_amd64", "linux_arm64"])),
            (imports, no_imports) in imports(),
            pip in option::of(wheels()),
            timeout in 1..=LONGEST_SECONDS,
            sandbox in select(vec![SandboxMode::Auto, SandboxMode::Required, SandboxMode::Off]),
            cache_dir in option::of(path()),
            work_dir in option::of(path()),
            json in any::<bool>(),
        ) -> CheckCommand {
            let target = target.map(|target| target.parse().unwrap());
            CheckCommand {
                wheels, python, target, imports, no_imports, pip, timeout, sandbox, cache_dir, work_dir, json,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_rendered_is_parsed_as_what_it_was(command in commands()) {
            let rendered = command.render().unwrap();
            prop_assert_eq!(&rendered[..2], [PROGRAM, CHECK_SUBCOMMAND]);
            prop_assert_eq!(parse(&rendered[2..]).unwrap(), command);
        }
    }

    /// Both ways: a flag that the command line has and the table has not could not be judged by a worker.
    #[test]
    fn the_flags_of_the_command_line_are_those_of_the_contract() {
        let command = CheckCommand::augment_args(Command::new(CHECK_SUBCOMMAND));
        let flags: BTreeSet<(String, bool)> = command
            .get_opts()
            .map(|option| {
                let takes_value = !matches!(option.get_action(), ArgAction::SetTrue);
                (option.get_long().unwrap().to_owned(), takes_value)
            })
            .collect();
        let known = Flag::ALL.into_iter().filter(|flag| flag.is_of_check());
        assert_eq!(flags, known.map(|flag| (flag.name().to_owned(), flag.takes_value())).collect());
    }

    #[test]
    fn what_is_not_said_is_what_the_command_line_takes_for_it() {
        let given = GivenWheels { path: "a-1-py3-none-any.whl".into(), sha256: None };
        let parsed = parse(&["a-1-py3-none-any.whl".to_owned()]).unwrap();
        assert_eq!(parsed, CheckCommand::new(vec![given]));
    }
}

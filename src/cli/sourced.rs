//! Values of which it matters whether the command line gave them, or a variable that is there for any run.

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// Arguments with a variable for the flag that is called as the field of `T` is, and whether it is from the flag that
/// they are. clap knows; nobody can tell by the values.
pub struct Sourced<T> {
    /// What was given.
    pub given: T,
    /// Whether the command line gave it.
    pub by_flag: bool,
}

impl<T: Args> Args for Sourced<T> {
    fn augment_args(command: Command) -> Command {
        T::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Args> FromArgMatches for Sourced<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let names: Vec<_> =
            T::augment_args(Command::new("")).get_arguments().map(|flag| flag.get_id().clone()).collect();
        let by_flag = |id: &clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        Ok(Self { given: T::from_arg_matches(matches)?, by_flag: names.iter().any(by_flag) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

//! The flags of all settings of a server or a worker. Knows their table, and nothing of what they mean.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};

use super::directories;
use crate::server::settings::{ENTRIES, Entry, Layers, SettingsError, worker_entries};

/// Which settings there are.
pub trait SettingTable {
    /// Where the store is in the user's cache directory, if nobody says otherwise.
    const STORE: &str;

    /// In the order of the help.
    fn entries() -> Vec<&'static Entry>;
}

/// Those of `crosswheel serve`.
pub struct ServerTable;

/// Those of `crosswheel worker`.
pub struct WorkerTable;

impl SettingTable for ServerTable {
    const STORE: &str = "store";

    fn entries() -> Vec<&'static Entry> {
        ENTRIES.iter().collect()
    }
}

impl SettingTable for WorkerTable {
    const STORE: &str = "worker";

    fn entries() -> Vec<&'static Entry> {
        worker_entries()
    }
}

/// The flags of all settings of a table, as they were given.
pub struct SettingArguments<T> {
    given: Vec<(&'static str, Vec<String>)>,
    table: PhantomData<T>,
}

/// What was given in all places.
pub struct GivenSettings {
    pub layers: Layers,
    pub default_store: PathBuf,
}

impl<T: SettingTable> SettingArguments<T> {
    /// What was given on the command line, in the environment and in the file `config`.
    pub fn layers(&self, config: Option<&Path>) -> Result<GivenSettings, String> {
        let here =
            std::env::current_dir().map_err(|error| format!("there is no working directory: {error}"))?;
        let mut layers = Layers::of(T::entries());
        for (name, values) in &self.given {
            layers.flag(name, values.clone(), &here);
        }
        let words = |error: SettingsError| error.to_string();
        layers.environment(|name| std::env::var_os(name), &here).map_err(words)?;
        if let Some(path) = config {
            layers.file(&here.join(path)).map_err(words)?;
        }
        let default_store =
            if layers.get("store").is_some() { here } else { directories::store_directory(None, T::STORE)? };
        Ok(GivenSettings { layers, default_store })
    }
}

impl<T: SettingTable> Args for SettingArguments<T> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(T::entries().into_iter().map(flag))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn flag(entry: &'static Entry) -> Arg {
    let action = if entry.separator.is_some() { ArgAction::Append } else { ArgAction::Set };
    let help = format!("{} [env: {}]", entry.help, entry.variable());
    let argument = Arg::new(entry.name).long(entry.name).value_name(entry.value).help(help).action(action);
    if entry.is_switch() {
        // Who names a switch wants it on.
        argument.num_args(0..=1).default_missing_value("on")
    } else {
        argument
    }
}

impl<T: SettingTable> FromArgMatches for SettingArguments<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |entry: &'static Entry| {
            let values = matches.get_many::<String>(entry.name)?;
            Some((entry.name, values.cloned().collect()))
        };
        Ok(Self { given: T::entries().into_iter().filter_map(given).collect(), table: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

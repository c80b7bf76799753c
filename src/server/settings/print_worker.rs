//! The settings of a worker as the TOML they can be read from.

use std::fmt::Write;

use toml::Value;

use super::print::{line, one, pools};
use super::worker_entries::worker_entries;
use super::worker_settings::{Announce, Engine, WorkerSettings};
use crate::remote::ConnectSettings;

impl WorkerSettings {
    /// The settings as TOML, from which the same settings can be read, but for secrets: with the place that each came from,
    /// if it is no default. What was not given and has no default is left out.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for entry in worker_entries().into_iter().filter(|entry| entry.name != "pool") {
            match own(self, entry.name) {
                Shown::Value(value) => line(entry.name, &value, &self.origin(entry.name), &mut text),
                Shown::Secret => {
                    let _ = writeln!(text, "# {} is not shown; {}", entry.name, self.origin(entry.name));
                }
                Shown::None => {}
            }
        }
        pools(&self.host, &mut text);
        text
    }
}

enum Shown {
    Value(Value),
    Secret,
    None,
}

fn own(settings: &WorkerSettings, name: &str) -> Shown {
    let text = |text: &str| Shown::Value(text.into());
    match name {
        "engine" => text(&settings.engine.to_string()),
        "scheduler" => {
            let addresses = settings.schedulers.iter().map(|scheduler| scheduler.address.to_string().into());
            Shown::Value(Value::Array(addresses.collect()))
        }
        "cas" => text(&settings.cas.address.to_string()),
        "instance" => text(&settings.instance),
        "name" => settings.name.as_deref().map_or(Shown::None, text),
        "announce" => text(match settings.announce {
            Announce::Declared => "declared",
            Announce::All => "all",
        }),
        "size-class" if settings.engine != Engine::Buildbarn => Shown::None,
        "size-class" => Shown::Value(i64::from(settings.size_class).into()),
        _ => match (name.strip_prefix("scheduler-"), name.strip_prefix("cas-")) {
            (Some(part), _) => of_connection(settings.schedulers.first(), part),
            (_, Some(part)) => of_connection(Some(&settings.cas), part),
            _ => Shown::Value(one(&settings.host, name)),
        },
    }
}

fn of_connection(connection: Option<&ConnectSettings>, part: &str) -> Shown {
    let Some(connection) = connection else { return Shown::None };
    let identity = connection.identity.as_ref();
    let path = match part {
        "header" if !connection.headers.is_empty() => return Shown::Secret,
        "ca" => connection.ca_file.as_ref(),
        "cert" => identity.map(|identity| &identity.certificate_file),
        "key" => identity.map(|identity| &identity.key_file),
        _ => None,
    };
    path.map_or(Shown::None, |path| Shown::Value(path.display().to_string().into()))
}

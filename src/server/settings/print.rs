//! Settings as the TOML they can be read from.

use std::fmt::Write;

use toml::Value;

use super::entries::ENTRIES;
use super::host_settings::{LogFormat, Settings};
use super::origin::Origin;
use super::value;
use crate::size::size_text;

impl Settings {
    /// The settings as TOML, from which the same settings can be read: with the place that each came from, if it is no
    /// default.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        // Tables must come last in TOML.
        for entry in ENTRIES.iter().filter(|entry| entry.name != "pool") {
            line(entry.name, &one(self, entry.name), &self.origin(entry.name), &mut text);
        }
        pools(self, &mut text);
        text
    }
}

/// One setting, with the place that it came from.
pub(super) fn line(name: &str, value: &Value, origin: &Origin, text: &mut String) {
    let origin = match origin {
        Origin::Default(_) => String::new(),
        // A path may hold anything, also a line break.
        given => format!("  # {}", given.to_string().escape_debug()),
    };
    let _ = writeln!(text, "{name} = {value}{origin}");
}

/// The pools, as tables.
pub(super) fn pools(settings: &Settings, text: &mut String) {
    let pools: Vec<Value> = settings.pools.iter().map(|pool| pool.to_table().into()).collect();
    let pools = toml::Table::from_iter([("pool".to_owned(), Value::Array(pools))]);
    let _ = write!(text, "\n{pools}");
}

/// The value of one of them.
pub(super) fn one(settings: &Settings, name: &str) -> Value {
    let percent = |percent: u8| Value::from(format!("{percent}%"));
    let size = |bytes| Value::from(size_text(bytes));
    let count = |count| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
    let duration = |duration| Value::from(value::duration_text(duration));
    match name {
        "listen" => Value::Array(settings.listen.iter().map(|address| address.to_string().into()).collect()),
        "http-listen" => match &settings.http_listen {
            Some(address) => address.to_string().into(),
            None => "off".into(),
        },
        "insecure-public" => settings.insecure_public.into(),
        "max-connections" => count(settings.max_connections),
        "max-connections-per-client" => count(settings.max_connections_per_client),
        "first-call-timeout" => duration(settings.first_call_timeout),
        "max-call-bytes" => size(settings.max_call_bytes),
        "store" => settings.store.display().to_string().into(),
        "max-bytes" => settings.max_bytes.map_or_else(|| "unlimited".into(), size),
        "high-water-mark" => percent(settings.high_water_mark),
        "low-water-mark" => percent(settings.low_water_mark),
        "min-free-bytes" => size(settings.min_free_bytes),
        "keep-after-use" => duration(settings.keep_after_use),
        "reverify" => duration(settings.reverify),
        "fsync" => settings.fsync.into(),
        "sandbox" => settings.sandbox.to_string().into(),
        "network" => settings.network.into(),
        "default-timeout" => duration(settings.default_timeout),
        "max-timeout" => duration(settings.max_timeout),
        "max-queued-actions" => count(settings.max_queued_actions),
        "max-queue-bytes" => size(settings.max_queue_bytes),
        "unattended-grace" => duration(settings.unattended_grace),
        "update-action-result" => settings.update_action_result.into(),
        "max-batch-bytes" => size(settings.max_batch_bytes),
        "upload-idle-timeout" => duration(settings.upload_idle_timeout),
        "shutdown-grace" => duration(settings.shutdown_grace),
        "log-format" => match settings.log_format {
            LogFormat::Text => "text".into(),
            LogFormat::Json => "json".into(),
        },
        "log-level" => settings.log_level.clone().into(),
        other => unreachable!("`{other}` stands in the table of settings, so it must stand here, too"),
    }
}

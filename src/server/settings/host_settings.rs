//! What an operator can decide about a host: the same names on the command line, in the environment and in a
//! TOML file, in this order of precedence. Knows nothing of who uses the settings for what.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::statvfs;
use tracing_subscriber::EnvFilter;

use super::error::SettingsError;
use super::layers::Layers;
use super::origin::Origin;
use super::pool::PoolSettings;
use super::reader::Reader;
use super::value;
use crate::contract::SandboxMode;
use crate::server::storage::settings::MAX_BATCH_BYTES;
use crate::server::transport::address::Address;
use crate::server::transport::open_files;
use crate::size::{size, size_text};

const GIBIBYTE: u64 = 1 << 30;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What fits into the largest message we read, with room for digests.
const MOST_BATCH_BYTES: u64 = 48 << 20;

/// The most that a request takes, and as much again.
const LEAST_CALL_BYTES: u64 = 128 << 20;

/// Everything that can be decided about a host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gRPC is served.
    pub listen: Vec<Address>,
    /// Where metrics and health are served over HTTP.
    pub http_listen: Option<Address>,
    /// Whether other machines may reach it.
    pub insecure_public: bool,
    pub max_connections: usize,
    pub max_connections_per_client: usize,
    /// How long a connection may be there without a call.
    pub first_call_timeout: Duration,
    /// Bytes of memory that requests which are being received and answers which wait to be sent may take.
    pub max_call_bytes: u64,
    /// The directory of the blobs and action results.
    pub store: PathBuf,
    /// Most bytes of blobs to keep; no limit if `None`.
    pub max_bytes: Option<u64>,
    /// Percent of `max_bytes` at which eviction starts.
    pub high_water_mark: u8,
    /// Percent of `max_bytes` at which eviction stops.
    pub low_water_mark: u8,
    /// Bytes to leave free on the disk.
    pub min_free_bytes: u64,
    /// How long a blob is safe after it was used.
    pub keep_after_use: Duration,
    /// How long a blob's bytes are taken to be what they were; zero for ever.
    pub reverify: Duration,
    /// Whether blobs are written through to the disk.
    pub fsync: bool,
    /// Never empty; each has its number of slots.
    pub pools: Vec<PoolSettings>,
    pub sandbox: SandboxMode,
    /// Whether actions may use the network.
    pub network: bool,
    /// The timeout of actions that ask for none.
    pub default_timeout: Duration,
    pub max_timeout: Duration,
    pub max_queued_actions: usize,
    /// Bytes of memory that operations which have not ended may take.
    pub max_queue_bytes: u64,
    /// How long an action goes on that nobody waits for.
    pub unattended_grace: Duration,
    /// Whether clients may write to the action cache.
    pub update_action_result: bool,
    pub max_batch_bytes: u64,
    pub upload_idle_timeout: Duration,
    /// How long actions may go on running after the host was asked to end.
    pub shutdown_grace: Duration,
    pub log_format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`.
    pub log_level: String,
    /// What it is to the program it is part of, if it is part of one. No operator decides that.
    pub embedding: Option<Embedding>,
    /// Where the settings that are not defaults came from, in the order of [`ENTRIES`].
    origins: Vec<(&'static str, Origin)>,
}

/// A host in a program that makes all of its actions, such as `crosswheel build`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding {
    /// What actions that run crosswheel share: the program's own cache directory.
    pub cache: PathBuf,
    /// What they see of this machine even below directories that are otherwise their own (`/tmp`).
    pub visible_host_paths: Vec<PathBuf>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Settings {
    /// Takes what `layers` say and defaults for the rest.
    ///
    /// # Errors
    /// The first value that cannot be used, with the place where it was written.
    pub fn resolve(layers: &Layers, default_store: &Path) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(layers);
        let store = reader.path("store")?.unwrap_or_else(|| default_store.to_owned());
        let disk = disk_bytes(&store);
        let high_water_mark = reader.one("high-water-mark", value::percent)?.unwrap_or(95);
        let max_timeout = reader.one("max-timeout", value::duration)?.unwrap_or(24 * HOUR);
        let max_connections =
            reader.one("max-connections", value::count)?.unwrap_or_else(open_files::connections);
        let settings = Self {
            listen: reader
                .many("listen", |text| text.parse().map_err(display))?
                .unwrap_or_else(|| vec![Address::Tcp("127.0.0.1:8980".into())]),
            http_listen: reader
                .one("http-listen", |text| match text {
                    "off" | "false" => Ok(None),
                    _ => text.parse().map(Some).map_err(display),
                })?
                .unwrap_or_else(|| Some(Address::Tcp("127.0.0.1:8981".into()))),
            insecure_public: reader.one("insecure-public", value::switch)?.unwrap_or(false),
            max_connections,
            max_connections_per_client: reader
                .one("max-connections-per-client", value::count)?
                .unwrap_or_else(|| 256.min(max_connections - max_connections / 4)),
            first_call_timeout: reader.one("first-call-timeout", value::duration)?.unwrap_or(MINUTE),
            max_call_bytes: reader.one("max-call-bytes", call_bytes)?.unwrap_or(512 << 20),
            max_bytes: reader
                .one("max-bytes", value::size_or("unlimited"))?
                .unwrap_or(disk.map(|bytes| bytes / 2)),
            high_water_mark,
            low_water_mark: reader
                .one("low-water-mark", value::percent)?
                .unwrap_or_else(|| 85.min(high_water_mark)),
            min_free_bytes: reader
                .one("min-free-bytes", size)?
                .unwrap_or_else(|| disk.map_or(GIBIBYTE, |bytes| bytes / 50).min(2 * GIBIBYTE)),
            keep_after_use: reader.one("keep-after-use", value::duration)?.unwrap_or(10 * MINUTE),
            reverify: reader.one("reverify", value::duration)?.unwrap_or(7 * 24 * HOUR),
            fsync: reader.one("fsync", value::switch)?.unwrap_or(false),
            pools: reader.pools()?,
            sandbox: reader
                .one("sandbox", |text| text.parse().map_err(|_| mode_problem(text)))?
                .unwrap_or_default(),
            network: reader.one("network", value::switch)?.unwrap_or(false),
            default_timeout: reader
                .one("default-timeout", value::duration)?
                .unwrap_or_else(|| HOUR.min(max_timeout)),
            max_timeout,
            max_queued_actions: reader.one("max-queued-actions", value::count)?.unwrap_or(100_000),
            max_queue_bytes: reader.one("max-queue-bytes", size)?.unwrap_or(512 << 20),
            unattended_grace: reader.one("unattended-grace", value::duration)?.unwrap_or(MINUTE),
            update_action_result: reader.one("update-action-result", value::switch)?.unwrap_or(false),
            max_batch_bytes: reader.one("max-batch-bytes", batch_bytes)?.unwrap_or(MAX_BATCH_BYTES),
            upload_idle_timeout: reader.one("upload-idle-timeout", value::duration)?.unwrap_or(10 * MINUTE),
            shutdown_grace: reader.one("shutdown-grace", value::duration)?.unwrap_or(Duration::from_secs(30)),
            log_format: reader.one("log-format", log_format)?.unwrap_or(LogFormat::Text),
            log_level: reader.one("log-level", log_level)?.unwrap_or_else(|| "info".into()),
            store,
            embedding: None,
            origins: reader.origins,
        };
        settings.check()
    }

    /// For a host inside another program: the defaults, and nobody can reach it from outside.
    ///
    /// # Errors
    /// None today; defaults are checked as other values are.
    pub fn embedded(store: &Path, embedding: Embedding) -> Result<Self, SettingsError> {
        let defaults = Self::resolve(&Layers::new(), store)?;
        Ok(Self { listen: Vec::new(), http_listen: None, embedding: Some(embedding), ..defaults })
    }

    /// Where a setting came from.
    pub(super) fn origin(&self, name: &'static str) -> Origin {
        let given = self.origins.iter().find(|(other, _)| *other == name);
        given.map_or(Origin::Default(name), |(_, origin)| origin.clone())
    }

    /// What only makes sense together.
    fn check(self) -> Result<Self, SettingsError> {
        let refuse = |name, problem: String| Err(SettingsError::Value { origin: self.origin(name), problem });
        if self.low_water_mark > self.high_water_mark {
            let (low, high) = (self.low_water_mark, self.high_water_mark);
            return refuse("low-water-mark", format!("{low}% is above the high-water-mark of {high}%"));
        }
        if self.default_timeout > self.max_timeout {
            let [default, most] = [self.default_timeout, self.max_timeout].map(value::duration_text);
            return refuse("default-timeout", format!("{default} is above the max-timeout of {most}"));
        }
        for (index, pool) in self.pools.iter().enumerate() {
            if self.pools[..index].iter().any(|other| other.name == pool.name) {
                return refuse("pool", format!("there are two pools named `{}`", pool.name));
            }
        }
        Ok(self)
    }
}

/// The size of the file system on which `place` is or will be.
fn disk_bytes(place: &Path) -> Option<u64> {
    let existing = place.ancestors().find(|path| path.exists())?;
    let stat = statvfs(existing).ok()?;
    Some(stat.f_blocks.saturating_mul(stat.f_frsize)).filter(|bytes| *bytes > 0)
}

fn batch_bytes(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes @ 1..=MOST_BATCH_BYTES => Ok(bytes),
        _ => Err(format!("`{text}` is not between 1 byte and {}", size_text(MOST_BATCH_BYTES))),
    }
}

/// One client gets three quarters, into which a whole request has to fit.
fn call_bytes(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes @ LEAST_CALL_BYTES.. => Ok(bytes),
        _ => Err(format!("`{text}` is less than {}", size_text(LEAST_CALL_BYTES))),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is neither `text` nor `json`")),
    }
}

fn log_level(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no level; use error, warn, info, debug, trace, or TARGET=LEVEL,…")),
    }
}

fn mode_problem(text: &str) -> String {
    format!("`{text}` is neither `auto` nor `required` nor `off`")
}

fn display(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests;

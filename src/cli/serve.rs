//! `crosswheel serve`: this machine as a remote execution endpoint.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches};
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;

use super::exit_codes::Subcommand;
use super::failure_text;
use super::log_writer::LogWriter;
use super::output::print;
use crate::sandbox::{KernelLimits, OwnExecutable};
use crate::server::settings::{ENTRIES, Entry, Layers, LogFormat, Settings, SettingsError};
use crate::server::{Address, Exposure, Host, HostError, HttpServer, ListenError, Summary, check_exposure};
use crate::signals::{each_signal, exit_code};
use crate::size::about;

/// Serve the Remote Execution API on this machine: cache, execution, and the workers.
#[derive(Args)]
#[command(after_long_help = format!("\
Every setting can be given in three places, the first of which wins: as a flag, as an environment variable
(CROSSWHEEL_MAX_BYTES for --max-bytes), and in a TOML file under the name of the flag without the dashes. Several
values are separated by `,` in CROSSWHEEL_LISTEN and by `;` in CROSSWHEEL_POOL, and are arrays in the file; there a
pool is a table, too:

  max-bytes = \"50GiB\"
  [[pool]]
  name = \"native\"
  slots = 4
  properties = {{ python = [\"3.11\", \"3.12\"] }}

Examples:
  crosswheel serve
  crosswheel serve --listen 0.0.0.0:8980 --insecure-public --store /var/cache/crosswheel --max-bytes 200GiB
  crosswheel serve --pool amd64,slots=2 --pool arm64=/srv/arm64-root,slots=1,cross-cc=on
  crosswheel serve --config /etc/crosswheel.toml --print-config
  crosswheel serve --listen 127.0.0.1:0 --http-listen off --json

{}", Subcommand::Serve.help()))]
pub struct ServeArguments {
    #[command(flatten)]
    settings: SettingArguments,
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "CROSSWHEEL_CONFIG")]
    config: Option<PathBuf>,
    /// Print all settings, and where they come from, as a TOML file for --config, and exit
    #[arg(long)]
    print_config: bool,
    /// Once it serves, print one line of JSON that says where
    #[arg(long)]
    json: bool,
}

/// The flags of all settings, as they were given.
struct SettingArguments(Vec<(&'static str, Vec<String>)>);

impl Args for SettingArguments {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(ENTRIES.iter().map(flag))
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

impl FromArgMatches for SettingArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |entry: &'static Entry| {
            let values = matches.get_many::<String>(entry.name)?;
            Some((entry.name, values.cloned().collect()))
        };
        Ok(Self(ENTRIES.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs the subcommand.
pub fn run(arguments: ServeArguments) -> ExitCode {
    let json = arguments.json;
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err(message) => return failure_text::usage(json, &message),
    };
    if arguments.print_config {
        print(settings.to_toml().trim_end());
        return ExitCode::SUCCESS;
    }
    start_log(&settings);
    let exposure = if settings.insecure_public { Exposure::Anywhere } else { Exposure::ThisMachine };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failure_text::internal(json, &format!("cannot start threads: {error}")),
    };
    let addresses = settings.listen.iter().chain(&settings.http_listen);
    if let Err(refusal @ ListenError::Public { .. }) = runtime.block_on(check_exposure(addresses, exposure)) {
        return failure_text::usage(json, &refusal.to_string());
    }
    let ended = runtime.block_on(serve(&settings, json));
    // A thread that is still in the middle of something has nothing that anybody waits for.
    runtime.shutdown_background();
    match ended {
        Ok(End::Calm) => ExitCode::SUCCESS,
        Ok(End::Killed(signal)) => ExitCode::from(exit_code(signal)),
        Err(error) if error.is_of_the_settings() => failure_text::usage(json, &error.to_string()),
        Err(error) => failure_text::internal(json, &error.to_string()),
    }
}

fn settings(arguments: &ServeArguments) -> Result<Settings, String> {
    let here = std::env::current_dir().map_err(|error| format!("there is no working directory: {error}"))?;
    let mut layers = Layers::new();
    for (name, values) in &arguments.settings.0 {
        layers.flag(name, values.clone(), &here);
    }
    let words = |error: SettingsError| error.to_string();
    layers.environment(|name| std::env::var_os(name), &here).map_err(words)?;
    if let Some(path) = &arguments.config {
        layers.file(&here.join(path)).map_err(words)?;
    }
    let default_store =
        if layers.get("store").is_some() { here } else { super::directories::store_directory(None)? };
    Settings::resolve(&layers, &default_store).map_err(words)
}

fn start_log(settings: &Settings) {
    // It was checked when it was read.
    let filter = EnvFilter::builder().parse_lossy(&settings.log_level);
    let colours = io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(move || LogWriter { colours });
    // Only fails if there is a log already.
    let _ = match settings.log_format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}

/// How a server ended.
enum End {
    /// Nothing was running any more.
    Calm,
    /// By a second signal, of this number.
    Killed(i32),
}

async fn serve(settings: &Settings, json: bool) -> Result<End, HostError> {
    let mut signals = each_signal().map_err(|source| HostError::Io { doing: "wait for signals", source })?;
    let own_executable = OwnExecutable::running()
        .map_err(|source| HostError::Io { doing: "find our own executable", source })?;
    let host = Host::start(settings, own_executable).await?;
    let (listening, addresses) = host.listen(&settings.listen).await?;
    let http = match &settings.http_listen {
        Some(address) => Some(host.listen_http(address).await?),
        None => None,
    };
    let start = Start {
        addresses,
        http: http.as_ref().map(HttpServer::address),
        summary: host.summary(),
        update_action_result: settings.update_action_result,
    };
    if json {
        failure_text::print_json(&start.to_json());
    } else {
        print(&start.to_text());
    }
    signals.recv().await;
    // Whoever connects from now on finds another server, or an error to retry upon.
    drop(listening);
    tracing::info!(
        running = host.queue().statistics().pools.iter().map(|pool| pool.executing).sum::<usize>(),
        grace = ?settings.shutdown_grace,
        "ending: waiting for running actions; a second signal kills them"
    );
    let mut killed = None;
    host.stop(settings.shutdown_grace, async { killed = signals.recv().await }).await?;
    Ok(killed.map_or(End::Calm, End::Killed))
}

/// What there is to say when a host serves.
struct Start<'a> {
    addresses: Vec<Address>,
    http: Option<&'a Address>,
    summary: &'a Summary,
    update_action_result: bool,
}

fn is_loopback(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

impl Start<'_> {
    fn to_json(&self) -> serde_json::Value {
        let pools: Vec<_> = self
            .summary
            .pools
            .iter()
            .zip(&self.summary.emulators)
            .map(|(pool, emulator)| {
                let properties: Vec<_> = pool
                    .properties
                    .iter()
                    .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
                    .collect();
                serde_json::json!({ "name": pool.name, "slots": pool.slots, "properties": properties, "emulator": emulator })
            })
            .collect();
        serde_json::json!({
            "ready": true,
            "listen": self.addresses.iter().map(Address::to_string).collect::<Vec<_>>(),
            "access": self.access(),
            "http": self.http.map(Address::to_string),
            "store": self.summary.store.display().to_string(),
            "pools": pools,
            "sandbox": {
                "namespaces": self.summary.isolation.namespaces,
                "lost": self.summary.isolation.lost,
                "limits": self.limits(),
            },
        })
    }

    /// Who may do what, in one line.
    fn access(&self) -> String {
        let places: Vec<_> = self
            .addresses
            .iter()
            .map(|address| match address {
                Address::Tcp(address) if is_loopback(address) => {
                    format!("any user here who reaches {address}")
                }
                Address::Tcp(address) => format!("anyone who reaches {address}"),
                Address::Unix(path) => format!("whoever may write to {}", path.display()),
            })
            .collect();
        let results = if self.update_action_result { "set action results" } else { "not set action results" };
        format!("{} may execute actions, and {results}", places.join(", "))
    }

    /// What holds the limits of actions that they could exceed faster than anybody measures.
    fn limits(&self) -> &'static str {
        match self.summary.isolation.kernel_limits {
            KernelLimits { memory: true, processes: true } => "memory and processes: by control groups",
            KernelLimits { memory: true, processes: false } => {
                "memory: by control groups; processes: measured"
            }
            KernelLimits { memory: false, processes: true } => {
                "memory: measured; processes: by control groups"
            }
            KernelLimits { memory: false, processes: false } => "memory and processes: measured",
        }
    }

    fn to_text(&self) -> String {
        let mut lines =
            vec![format!("crosswheel {} serves the Remote Execution API", env!("CARGO_PKG_VERSION"))];
        let mut line = |name: &str, text: String| lines.push(format!("  {name:<8} {text}"));
        for address in &self.addresses {
            line("address", uri(address));
        }
        line("access", self.access());
        match self.http {
            Some(Address::Tcp(address)) => line("metrics", format!("http://{address}/metrics")),
            Some(address) => line("metrics", address.to_string()),
            None => line("metrics", "off".into()),
        }
        let most = self
            .summary
            .max_bytes
            .map_or_else(|| "no limit".into(), |bytes| format!("at most {}", about(bytes)));
        line("store", format!("{} ({most})", self.summary.store.display()));
        for (pool, emulator) in self.summary.pools.iter().zip(&self.summary.emulators) {
            let properties: Vec<_> =
                pool.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let slots = if pool.slots == 1 { "slot" } else { "slots" };
            let emulated =
                emulator.as_ref().map(|emulator| format!(" (emulated by {emulator})")).unwrap_or_default();
            let properties = properties.join(" ");
            line("pool", format!("{}: {} {slots}; {properties}{emulated}", pool.name, pool.slots));
        }
        let isolation = &self.summary.isolation;
        let level = if isolation.namespaces { "namespaces" } else { "none: actions see this host's files" };
        line("sandbox", level.into());
        for lost in &isolation.lost {
            line("", format!("without {lost}"));
        }
        line("limits", self.limits().into());
        if let Some(address) = self.addresses.first() {
            lines.push("\nFor Bazel, in .bazelrc:".into());
            lines.push(format!("  build --remote_executor={}", uri(address)));
        }
        lines.join("\n")
    }
}

/// As clients write it.
fn uri(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("grpc://{address}"),
        Address::Unix(_) => address.to_string(),
    }
}

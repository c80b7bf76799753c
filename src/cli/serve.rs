//! `crosswheel serve`: this machine as a remote execution endpoint.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit_codes::Subcommand;
use super::long_running::{self, End};
use super::output::print;
use super::setting_arguments::{ServerTable, SettingArguments};
use super::{failure_text, host_summary};
use crate::sandbox::OwnExecutable;
use crate::server::settings::Settings;
use crate::server::{Address, Host, HostError, HttpServer, Summary};
use crate::signals::each_signal;

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
    settings: SettingArguments<ServerTable>,
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
    long_running::run(&settings, json, serve(&settings, json))
}

fn settings(arguments: &ServeArguments) -> Result<Settings, String> {
    let given = arguments.settings.layers(arguments.config.as_deref())?;
    Settings::resolve(&given.layers, &given.default_store).map_err(|error| error.to_string())
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

impl Start<'_> {
    fn to_json(&self) -> serde_json::Value {
        let pools = host_summary::pools_json(self.summary, |pool| pool.properties.clone());
        serde_json::json!({
            "ready": true,
            "listen": self.addresses.iter().map(Address::to_string).collect::<Vec<_>>(),
            "access": self.access(),
            "http": self.http.map(Address::to_string),
            "store": self.summary.store.display().to_string(),
            "pools": pools,
            "sandbox": host_summary::sandbox_json(self.summary),
        })
    }

    /// Who may do what, in one line.
    fn access(&self) -> String {
        let places: Vec<_> = self
            .addresses
            .iter()
            .map(|address| match address {
                Address::Tcp(address) if host_summary::is_loopback(address) => {
                    format!("any user here who reaches {address}")
                }
                Address::Tcp(address) => format!("anyone who reaches {address}"),
                Address::Unix(path) => format!("whoever may write to {}", path.display()),
            })
            .collect();
        let results = if self.update_action_result { "set action results" } else { "not set action results" };
        format!("{} may execute actions, and {results}", places.join(", "))
    }

    fn to_text(&self) -> String {
        let mut lines =
            vec![format!("crosswheel {} serves the Remote Execution API", env!("CARGO_PKG_VERSION"))];
        let mut line = |name: &str, text: String| lines.push(host_summary::line(name, &text));
        for address in &self.addresses {
            line("address", uri(address));
        }
        line("access", self.access());
        lines.push(host_summary::metrics_line(self.http));
        lines.extend(host_summary::lines(self.summary, |pool| pool.properties.clone()));
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

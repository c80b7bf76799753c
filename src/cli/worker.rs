//! `crosswheel worker`: this machine as a worker of an engine that exists.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit_codes::Subcommand;
use super::long_running::{self, End};
use super::output::print;
use super::setting_arguments::{SettingArguments, WorkerTable};
use super::{failure_text, host_summary};
use crate::queue::Pool;
use crate::sandbox::OwnExecutable;
use crate::server::settings::WorkerSettings;
use crate::server::{Address, HostError, HttpServer, ProvenWorker};
use crate::signals::each_signal;

/// Work for Buildbarn, BuildGrid or NativeLink: take actions from their scheduler, and run them as `serve` would.
#[derive(Args)]
#[command(after_long_help = format!("\
Every setting can be given in three places, the first of which wins: as a flag, as an environment variable
(CROSSWHEEL_ENGINE for --engine), and in a TOML file under the name of the flag without the dashes. Several values are
separated by `,` in CROSSWHEEL_SCHEDULER and by `;` in CROSSWHEEL_POOL, and are arrays in the file; there a pool is a
table, too.

Each slot of a pool is a worker of its own to the scheduler, under a name that stays the same: what a worker was doing
that was killed is given to the one that comes after it.

Examples:
  crosswheel worker --engine buildbarn --scheduler grpc://scheduler:8983 --cas grpc://storage:8980
  crosswheel worker --engine buildgrid --scheduler grpcs://buildgrid:50051 --scheduler-ca ca.pem --pool amd64,slots=8
  crosswheel worker --engine buildgrid --scheduler grpc://buildgrid:50051 --pool arm64=/srv/arm64-root,slots=2
  crosswheel worker --engine nativelink --scheduler grpc://nativelink:50061 --cas grpc://nativelink:50051 --json
  crosswheel worker --config /etc/crosswheel/worker.toml --print-config

{}", Subcommand::Worker.help()))]
pub struct WorkerArguments {
    #[command(flatten)]
    settings: SettingArguments<WorkerTable>,
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE", env = "CROSSWHEEL_CONFIG")]
    config: Option<PathBuf>,
    /// Print all settings but secrets, and where they come from, as a TOML file for --config, and exit
    #[arg(long)]
    print_config: bool,
    /// Once it asks for work, print one line of JSON that says what it offers
    #[arg(long)]
    json: bool,
}

/// Runs the subcommand.
pub fn run(arguments: WorkerArguments) -> ExitCode {
    let json = arguments.json;
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err(message) => return failure_text::usage(json, &message),
    };
    if arguments.print_config {
        print(settings.to_toml().trim_end());
        return ExitCode::SUCCESS;
    }
    long_running::run(&settings.host, json, work(&settings, json))
}

fn settings(arguments: &WorkerArguments) -> Result<WorkerSettings, String> {
    let given = arguments.settings.layers(arguments.config.as_deref())?;
    WorkerSettings::resolve(&given.layers, &given.default_store).map_err(|error| error.to_string())
}

async fn work(settings: &WorkerSettings, json: bool) -> Result<End, HostError> {
    let mut signals = each_signal().map_err(|source| HostError::Io { doing: "wait for signals", source })?;
    let own_executable = OwnExecutable::running()
        .map_err(|source| HostError::Io { doing: "find our own executable", source })?;
    let proven = ProvenWorker::prove(settings, own_executable)?;
    let http = match &settings.host.http_listen {
        Some(address) => Some(proven.listen_http(address).await?),
        None => None,
    };
    let start = Start { settings, proven: &proven, http: http.as_ref().map(HttpServer::address) };
    let said = if json { start.to_json().to_string() } else { start.to_text() };
    let worker = tokio::select! {
        worker = proven.begin(settings) => worker?,
        // There is nothing to wait for yet.
        _ = signals.recv() => return Ok(End::Calm),
    };
    print(&said);
    signals.recv().await;
    let running = worker.slots().iter().filter(|slot| slot.view().state == "executing").count();
    let grace = settings.host.shutdown_grace;
    tracing::info!(running, ?grace, "ending: waiting for running actions; a second signal kills them");
    let mut killed = None;
    worker.stop(grace, async { killed = signals.recv().await }).await;
    Ok(killed.map_or(End::Calm, End::Killed))
}

/// What there is to say when a worker begins.
struct Start<'a> {
    settings: &'a WorkerSettings,
    proven: &'a ProvenWorker,
    http: Option<&'a Address>,
}

impl Start<'_> {
    fn offered(&self) -> impl Fn(&Pool) -> Vec<(String, String)> {
        |pool| ProvenWorker::offered(self.settings, pool)
    }

    fn schedulers(&self) -> Vec<String> {
        self.settings.schedulers.iter().map(|scheduler| scheduler.address.to_string()).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        let summary = self.proven.summary(self.settings);
        serde_json::json!({
            "ready": true,
            "engine": self.settings.engine.to_string(),
            "name": self.proven.name(),
            "schedulers": self.schedulers(),
            "cas": self.settings.cas.address.to_string(),
            "instance": self.settings.instance,
            "http": self.http.map(Address::to_string),
            "store": summary.store.display().to_string(),
            "pools": host_summary::pools_json(&summary, self.offered()),
            "sandbox": host_summary::sandbox_json(&summary),
        })
    }

    fn to_text(&self) -> String {
        let line = host_summary::line;
        let engine = self.settings.engine;
        let mut lines = vec![format!("crosswheel {} works for {engine}", env!("CARGO_PKG_VERSION"))];
        lines.push(line("name", self.proven.name()));
        lines.extend(self.schedulers().iter().map(|scheduler| line("work", scheduler)));
        lines.push(line("cas", &self.settings.cas.address.to_string()));
        if !self.settings.instance.is_empty() {
            lines.push(line("instance", &self.settings.instance));
        }
        lines.push(host_summary::metrics_line(self.http));
        lines.extend(host_summary::lines(&self.proven.summary(self.settings), self.offered()));
        lines.join("\n")
    }
}

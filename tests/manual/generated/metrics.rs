//! The page of metrics, made of what a server tells that has run an action.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::run::Place;
use crate::scene::LIB;
use crate::support::packages::wheel;
use crate::support::server::Server;

const HEAD: &str = "\
# Metrics

`http://HOST:8981/metrics` of [`crosswheel serve`](serve.md), in the text format of Prometheus and OpenMetrics. `/healthz`
answers `ok` as long as the process lives, `/readyz` until it is to end. `--http-listen` says where, or `off`.

```yaml
scrape_configs:
  - job_name: crosswheel
    static_configs:
      - targets: [\"127.0.0.1:8981\"]
```

A histogram has `_bucket`, `_sum` and `_count`. Counters start with 0 when the server does.

| metric | type | labels | |
|---|---|---|---|
";

const WORKER: &str = "
## Of a worker

[`crosswheel worker`](worker.md) serves the same at `http://HOST:8982/metrics`, but for queue, operations and calls, and these:

| metric | type | labels | |
|---|---|---|---|
";

/// Labels whose values are as few as they are here, whatever is built.
const CLOSED: [&str; 5] = ["made", "need", "outcome", "reason", "stage"];

/// What is known of a metric.
#[derive(Default)]
struct Metric {
    help: String,
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

pub fn page() -> String {
    let server = text_of_a_server_that_ran_an_action();
    let (known, of_worker) = (families(&server), text_of_a_worker());
    let is_new = |line: &&str| {
        let name = line.split([' ', '{']).find(|word| word.starts_with("crosswheel_")).unwrap_or_default();
        !known.iter().any(|known| name.starts_with(known))
    };
    let of_worker: String = of_worker.lines().filter(is_new).map(|line| format!("{line}\n")).collect();
    HEAD.to_owned() + &rows(&server) + WORKER + &rows(&of_worker)
}

fn families(text: &str) -> Vec<&str> {
    let help = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    help.filter_map(|rest| rest.split(' ').next()).collect()
}

/// One whose scheduler there is not.
fn text_of_a_worker() -> String {
    let place = Place::new();
    let server = Server::start(&place.path("server"), &["--log-level", "warn"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
    command.args([
        "worker",
        "--json",
        "--engine",
        "buildgrid",
        "--log-level",
        "off",
        "--http-listen",
        "127.0.0.1:0",
    ]);
    command.arg(format!("--scheduler=grpc://{}", server.address()));
    command.arg("--store").arg(place.path("worker"));
    Server::run(command).get("/metrics").1
}

fn text_of_a_server_that_ran_an_action() -> String {
    let place = Place::new();
    place.write("links/helper-1.0-py3-none-any.whl", wheel("helper", "1.0"));
    let sdist = place.write(&LIB.file_name(), LIB.sdist());
    let server = Server::start(&place.path("server"), &["--log-level", "warn"]);
    let remote = format!("--remote=grpc://{}", server.address());
    place.build(&[&sdist, "--no-index", "--find-links", &place.text("links"), &remote]).ended(0);
    server.get("/metrics").1
}

fn rows(text: &str) -> String {
    let mut names = Vec::new();
    let mut metrics: BTreeMap<&str, Metric> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => {
                names.push(*name);
                metrics.entry(name).or_default().help = (*help).to_owned();
            }
            ["#", "TYPE", name, kind] => metrics.entry(name).or_default().kind = (*kind).to_owned(),
            ["#", ..] => {}
            // The last family of which the name begins so is the one that is being told.
            _ => note_labels(metrics.get_mut(names.last().unwrap()).unwrap(), line),
        }
    }
    names.iter().map(|name| row(name, &metrics[name])).collect()
}

fn note_labels(metric: &mut Metric, sample: &str) {
    let Some((labels, _)) = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')) else {
        return;
    };
    for label in labels.split(',') {
        let (name, value) = label.split_once('=').unwrap();
        if name != "le" {
            metric.labels.entry(name.to_owned()).or_default().insert(value.trim_matches('"').to_owned());
        }
    }
}

fn row(name: &str, metric: &Metric) -> String {
    // As samples are called.
    let name = match metric.kind.as_str() {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    };
    let labels = metric.labels.iter().map(|(label, values)| match CLOSED.contains(&label.as_str()) {
        true => format!(
            "`{label}`: {}",
            values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
        ),
        false => format!("`{label}`"),
    });
    let labels = labels.collect::<Vec<_>>().join("; ");
    format!("| `{name}` | {} | {labels} | {} |\n", metric.kind, metric.help.trim_end_matches('.'))
}

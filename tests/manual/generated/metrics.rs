//! The page of metrics, made of what a server tells that has run an action.

use std::collections::{BTreeMap, BTreeSet};

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

/// Labels whose values are as few as they are here, whatever is built.
const CLOSED: [&str; 4] = ["made", "outcome", "reason", "stage"];

/// What is known of a metric.
#[derive(Default)]
struct Metric {
    help: String,
    kind: String,
    labels: BTreeMap<String, BTreeSet<String>>,
}

pub fn page() -> String {
    HEAD.to_owned() + &rows(&text_of_a_server_that_ran_an_action())
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

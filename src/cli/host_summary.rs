//! What a machine that runs actions turned out to be, for people and as JSON. Knows nothing of who hands out the actions.

use std::net::SocketAddr;

use crate::queue::Pool;
use crate::sandbox::KernelLimits;
use crate::server::{Address, Summary};
use crate::size::about;

/// A line with its name in a column.
pub fn line(name: &str, text: &str) -> String {
    format!("  {name:<8} {text}")
}

/// Where metrics are served, if they are.
pub fn metrics_line(http: Option<&Address>) -> String {
    match http {
        Some(Address::Tcp(address)) => line("metrics", &format!("http://{address}/metrics")),
        Some(address) => line("metrics", &address.to_string()),
        None => line("metrics", "off"),
    }
}

/// Whether only this machine can reach a TCP address.
pub fn is_loopback(address: &str) -> bool {
    address.parse::<SocketAddr>().is_ok_and(|address| address.ip().to_canonical().is_loopback())
}

/// Store, pools and sandbox. `offered` is what a pool is said to offer.
pub fn lines(summary: &Summary, offered: impl Fn(&Pool) -> Vec<(String, String)>) -> Vec<String> {
    let most =
        summary.max_bytes.map_or_else(|| "no limit".into(), |bytes| format!("at most {}", about(bytes)));
    let mut lines = vec![line("store", &format!("{} ({most})", summary.store.display()))];
    for (pool, emulator) in summary.pools.iter().zip(&summary.emulators) {
        let properties: Vec<_> =
            offered(pool).iter().map(|(name, value)| format!("{name}={value}")).collect();
        let slots = if pool.slots == 1 { "slot" } else { "slots" };
        let emulated =
            emulator.as_ref().map(|emulator| format!(" (emulated by {emulator})")).unwrap_or_default();
        let properties = properties.join(" ");
        lines.push(line("pool", &format!("{}: {} {slots}; {properties}{emulated}", pool.name, pool.slots)));
    }
    let isolation = &summary.isolation;
    let level = if isolation.namespaces { "namespaces" } else { "none: actions see this host's files" };
    lines.push(line("sandbox", level));
    lines.extend(isolation.lost.iter().map(|lost| line("", &format!("without {lost}"))));
    lines.push(line("limits", limits(summary)));
    lines
}

/// The pools, as JSON. `offered` is what a pool is said to offer.
pub fn pools_json(
    summary: &Summary,
    offered: impl Fn(&Pool) -> Vec<(String, String)>,
) -> Vec<serde_json::Value> {
    let pools = summary.pools.iter().zip(&summary.emulators).map(|(pool, emulator)| {
        let properties: Vec<_> = offered(pool)
            .iter()
            .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
            .collect();
        serde_json::json!({ "name": pool.name, "slots": pool.slots, "properties": properties, "emulator": emulator })
    });
    pools.collect()
}

/// The sandbox, as JSON.
pub fn sandbox_json(summary: &Summary) -> serde_json::Value {
    serde_json::json!({
        "namespaces": summary.isolation.namespaces,
        "lost": summary.isolation.lost,
        "limits": limits(summary),
    })
}

/// What holds the limits of actions that they could exceed faster than anybody measures.
fn limits(summary: &Summary) -> &'static str {
    match summary.isolation.kernel_limits {
        KernelLimits { memory: true, processes: true } => "memory and processes: by control groups",
        KernelLimits { memory: true, processes: false } => "memory: by control groups; processes: measured",
        KernelLimits { memory: false, processes: true } => "memory: measured; processes: by control groups",
        KernelLimits { memory: false, processes: false } => "memory and processes: measured",
    }
}

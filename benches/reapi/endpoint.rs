//! Servers under measurement: started here, ended here.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::waiting::{InTime, Started, wait_until};

/// A server that answers.
pub struct Endpoint {
    pub name: String,
    /// `http://host:port`.
    pub url: String,
    /// From its start to its first answer; unknown for one that ran already.
    pub start_up: Option<Duration>,
    process: Option<Started>,
}

impl Endpoint {
    /// `crosswheel serve` on an empty store, by this `binary`.
    pub fn crosswheel(name: &str, binary: &Path, store: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--http-listen", "off", "--store"])
            .arg(store)
            .args(["--log-level", "warn"]);
        Self::start(name, command, port)
    }

    /// NativeLink with everything in one process and its blobs on disk, as its own example has it.
    pub fn nativelink(binary: &Path, store: &Path) -> anyhow::Result<Self> {
        fs_err::create_dir_all(store)?;
        let (port, worker_port) = (free_port()?, free_port()?);
        let config = store.join("config.json5");
        fs_err::write(&config, serde_json::to_string_pretty(&nativelink_config(store, port, worker_port))?)?;
        let mut command = Command::new(binary);
        command.arg(&config);
        Self::start("NativeLink", command, port)
    }

    /// A server that runs already, as `NAME=URL`.
    pub fn running(given: &str) -> anyhow::Result<Self> {
        let (name, url) = given.split_once('=').context("--endpoint wants NAME=URL")?;
        Ok(Self { name: name.to_owned(), url: url.to_owned(), start_up: None, process: None })
    }

    fn start(name: &str, mut command: Command, port: u16) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let begin = Instant::now();
        let mut process = command.start();
        wait_until(&format!("{name} to listen"), || {
            assert!(!process.has_ended(), "{name} ended at its start: {}", process.exit());
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Ok(Self {
            name: name.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            start_up: Some(begin.elapsed()),
            process: Some(process),
        })
    }

    /// Resident memory of the server in bytes.
    pub fn memory(&self) -> Option<u64> {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.process.as_ref()?.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// Processor time of the server and of the children it has waited for.
    pub fn processor_time(&self) -> Option<Duration> {
        let stat = fs_err::read_to_string(format!("/proc/{}/stat", self.process.as_ref()?.id())).ok()?;
        // The name, in parentheses, may hold spaces. utime, stime, cutime and cstime are fields 14 to 17.
        let fields = stat.rsplit_once(')')?.1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
        Some(Duration::from_millis(ticks * 10))
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn nativelink_config(store: &Path, port: u16, worker_port: u16) -> serde_json::Value {
    let filesystem = |name: &str, max_bytes: u64| {
        serde_json::json!({"filesystem": {
            "content_path": store.join(name),
            "temp_path": store.join(format!("{name}-tmp")),
            "eviction_policy": {"max_bytes": max_bytes},
        }})
    };
    let instance = |key: &str, value: &str| serde_json::json!([{"instance_name": "", key: value}]);
    let listener = |port: u16| serde_json::json!({"http": {"socket_address": format!("127.0.0.1:{port}")}});
    let mut fast_slow = serde_json::json!({"name": "CAS", "fast_slow": {"slow": {"noop": {}}}});
    fast_slow["fast_slow"]["fast"] = filesystem("cas", 40_000_000_000);
    let mut ac = filesystem("ac", 4_000_000_000);
    ac["name"] = "AC".into();
    serde_json::json!({
        "stores": [ac, fast_slow],
        "schedulers": [{"name": "SCHEDULER", "simple": {"supported_platform_properties": {"OSFamily": "priority"}}}],
        "workers": [{"local": {
            "worker_api_endpoint": {"uri": format!("grpc://127.0.0.1:{worker_port}")},
            "cas_fast_slow_store": "CAS",
            "upload_action_result": {"ac_store": "AC"},
            "work_directory": store.join("work"),
            "platform_properties": {"OSFamily": {"values": ["Linux"]}},
        }}],
        "servers": [
            {"name": "public", "listener": listener(port), "services": {
                "cas": instance("cas_store", "CAS"),
                "ac": instance("ac_store", "AC"),
                "bytestream": instance("cas_store", "CAS"),
                "execution": [{"instance_name": "", "cas_store": "CAS", "scheduler": "SCHEDULER"}],
                "capabilities": [{
                    "instance_name": "",
                    "remote_execution": {"scheduler": "SCHEDULER"},
                    "remote_cache_compression": true,
                }],
            }},
            {"name": "private", "listener": listener(worker_port), "services": {
                "worker_api": {"scheduler": "SCHEDULER"},
                "health": {},
            }},
        ],
    })
}

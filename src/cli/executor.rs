//! The executor of `crosswheel build`: a host within this process, or a server somewhere. Starts and reaches it;
//! knows nothing of what it is given to run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};

use super::remote::Remote;
use crate::build::{ConnectExecutor, ConnectedExecutor, ExecutorSurroundings};
use crate::cas::{BlobStore, RemoteStore, StoreError};
use crate::client::{Client, ClientError, ClientSettings};
use crate::contract::{Failure, FailureClass, SandboxMode};
use crate::platform::{Arch, Target};
use crate::remote::{connect, in_process};
use crate::sandbox::OwnExecutable;
use crate::server::settings::{CrossCc, Embedding, PoolSettings, Settings};
use crate::server::{Host, HostError};

/// Most bytes of blobs and results that the embedded host keeps.
const STORE_BYTES: u64 = 16 << 30;
/// Most builds at a time on one cache directory, each with a store of its own.
const MOST_STORES: usize = 64;
/// Nothing ends a build but the user and `--timeout`.
const NO_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// An executor, and what keeps it going.
pub struct Executor {
    runtime: Runtime,
    kind: Kind,
}

enum Kind {
    Embedded { settings: Embedded, host: Arc<Mutex<Option<Host>>> },
    Remote(Remote),
}

/// A host within this process.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// The cache directory: its store is below it, and steps keep there what they share.
    pub cache: PathBuf,
    pub sandbox: SandboxMode,
    /// How many steps run at a time.
    pub slots: usize,
    /// The compiler of this machine for steps that are emulated; what is in their root file systems if `None`.
    pub cross_cc: Option<CrossCc>,
}

impl Executor {
    /// A host within this process, to be started.
    pub fn embedded(settings: Embedded) -> Result<Self, Failure> {
        let host = Arc::default();
        Ok(Self { runtime: runtime()?, kind: Kind::Embedded { settings, host } })
    }

    /// A server somewhere, to be reached.
    pub fn remote(remote: Remote) -> Result<Self, Failure> {
        Ok(Self { runtime: runtime()?, kind: Kind::Remote(remote) })
    }

    /// What starts or reaches it.
    pub fn connect(&self) -> ConnectExecutor {
        let runtime = self.runtime.handle().clone();
        match &self.kind {
            Kind::Embedded { settings, host } => {
                let (settings, host) = (settings.clone(), Arc::clone(host));
                Box::new(move |surroundings| {
                    let (started, reached) = start(&runtime, &settings, surroundings)?;
                    *host.lock() = Some(started);
                    Ok(reached)
                })
            }
            Kind::Remote(remote) => {
                let remote = remote.clone();
                Box::new(move |_| {
                    let client = reach(&runtime, remote)?;
                    // What there is of it there is not ours to say.
                    Ok(ConnectedExecutor { client, refused: Vec::new(), reduced_isolation: false })
                })
            }
        }
    }

    /// Ends it, if it is in this process, and all that still runs in it.
    pub fn stop(self) {
        if let Kind::Embedded { host, .. } = self.kind
            && let Some(host) = host.lock().take()
        {
            // It is of no interest any more how it ended.
            let _ = self.runtime.block_on(host.stop(Duration::ZERO, std::future::ready(())));
        }
        self.runtime.shutdown_background();
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn start(
    runtime: &Handle,
    embedded: &Embedded,
    surroundings: ExecutorSurroundings,
) -> Result<(Host, ConnectedExecutor), Failure> {
    let (host, refused) = start_with_what_works(runtime, embedded, surroundings)?;
    let store: Arc<dyn BlobStore> = host.store();
    // What the channel starts runs on it.
    let _runtime = runtime.enter();
    let client = Client::new(ClientSettings {
        runtime: runtime.clone(),
        channel: in_process(host.connect()),
        store,
        instance_name: String::new(),
        patience: Duration::ZERO,
    });
    let isolation = &host.summary().isolation;
    let reduced_isolation = !isolation.namespaces && !isolation.lost.is_empty();
    Ok((host, ConnectedExecutor { client, refused, reduced_isolation }))
}

/// Starts the host, without the root file systems with which it cannot: those who need none of them do not mind.
fn start_with_what_works(
    runtime: &Handle,
    embedded: &Embedded,
    mut surroundings: ExecutorSurroundings,
) -> Result<(Host, Vec<(Target, Failure)>), Failure> {
    let mut refused = Vec::new();
    loop {
        let error = match start_host(runtime, embedded, &surroundings)? {
            Ok(host) => return Ok((host, refused)),
            Err(error) => error,
        };
        let of_pool = |(target, _): &(Target, PathBuf)| error.pool() == Some(&*target.to_string());
        match surroundings.roots.iter().position(of_pool) {
            Some(index) => {
                let (target, _) = surroundings.roots.remove(index);
                let error = crate::remote::describe(&error);
                let message = format!("the executor takes no builds for {target}: {error}");
                refused.push((target, Failure::new(FailureClass::ExecutionFailed, message)));
            }
            None => return Err(unavailable(&error)),
        }
    }
}

/// A store belongs to one process at a time: builds that run side by side have one each, of which the first is
/// used most.
fn start_host(
    runtime: &Handle,
    embedded: &Embedded,
    surroundings: &ExecutorSurroundings,
) -> Result<Result<Host, HostError>, Failure> {
    let own_executable = OwnExecutable::running()?;
    for number in 1..=MOST_STORES {
        let store = match number {
            1 => embedded.cache.join("executor"),
            _ => embedded.cache.join(format!("executor-{number}")),
        };
        let settings = settings(embedded, &store, surroundings)?;
        match runtime.block_on(Host::start(&settings, own_executable.clone())) {
            Err(HostError::Store(StoreError::InUse { .. })) => {}
            ended => return Ok(ended),
        }
    }
    let cache = embedded.cache.display();
    let message = format!("{MOST_STORES} builds are running with the cache directory {cache}");
    Err(Failure::new(FailureClass::ExecutionFailed, message))
}

fn settings(
    embedded: &Embedded,
    store: &Path,
    surroundings: &ExecutorSurroundings,
) -> Result<Settings, Failure> {
    let visible_host_paths = surroundings.visible_paths.clone();
    let embedding = Embedding { cache: embedded.cache.clone(), visible_host_paths };
    let mut settings = Settings::embedded(store, embedding).map_err(|error| unavailable(&error))?;
    settings.sandbox = embedded.sandbox;
    settings.max_bytes = Some(settings.max_bytes.map_or(STORE_BYTES, |bytes| bytes.min(STORE_BYTES)));
    (settings.default_timeout, settings.max_timeout) = (NO_TIMEOUT, NO_TIMEOUT);
    // In place of the one that sees this machine, if the root is for steps of its architecture.
    if surroundings.roots.iter().any(|(target, _)| target.arch == Arch::host()) {
        settings.pools.clear();
    }
    settings.pools.extend(surroundings.roots.iter().map(|root| pool(root, embedded)));
    for pool in &mut settings.pools {
        pool.slots = Some(embedded.slots.max(1));
    }
    Ok(settings)
}

fn pool((target, root): &(Target, PathBuf), embedded: &Embedded) -> PoolSettings {
    PoolSettings {
        name: target.to_string(),
        root: Some(root.clone()),
        // What is not emulated has no use for one.
        cross_cc: embedded.cross_cc.clone().filter(|_| target.arch != Arch::host()),
        ..PoolSettings::default()
    }
}

fn unavailable(error: &dyn std::error::Error) -> Failure {
    let message = format!("the executor cannot start: {}", crate::remote::describe(error));
    Failure::new(FailureClass::ExecutionFailed, message)
}

fn reach(runtime: &Handle, remote: Remote) -> Result<Client, Failure> {
    let Remote { connection, instance_name, patience, placement: _ } = remote;
    let address = connection.address.clone();
    let unreachable = |error: ClientError| Failure::from(error).within(&address);
    let channel = runtime
        .block_on(connect(&connection))
        .map_err(|error| Failure::new(FailureClass::ExecutionFailed, error.to_string()))?;
    let capabilities = Client::capabilities(runtime, &channel, &instance_name).map_err(unreachable)?;
    let store = RemoteStore::new(runtime.clone(), channel.clone(), &instance_name, &capabilities)
        .with_patience(patience);
    Ok(Client::new(ClientSettings {
        runtime: runtime.clone(),
        channel,
        store: Arc::new(store),
        instance_name,
        patience,
    }))
}

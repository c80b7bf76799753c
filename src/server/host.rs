//! One machine as a complete endpoint of the Remote Execution API: puts the store, the executors, the queue and
//! the services together. Knows what fits to what, and nothing of how any of it works.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::{Channel, Server};

use super::calls::CallLayer;
use super::descriptors;
use super::http::HttpServer;
use super::listener::{Address, Connections, Door, ListenError, Listener, Listening};
use super::metrics::Metrics;
use super::readiness::Readiness;
use super::settings::{PoolSettings, Settings};
use crate::cas::{DiskStore, StoreError, StoreSettings};
use crate::platform::Arch;
use crate::queue::Pool;
use crate::sandbox::{Isolation, Sandbox, SandboxError};
use crate::worker::Offer;

/// Bytes of one upload that may be under way: enough to keep a connection busy, little enough that many uploads
/// do not fill the memory.
pub(super) const STREAM_WINDOW: u32 = 4 << 20;

/// Bytes of all uploads of one connection that may be under way.
pub(super) const CONNECTION_WINDOW: u32 = 32 << 20;

/// The largest piece in which clients may send; fewer pieces are less work.
const FRAME: u32 = 1 << 20;

/// Calls of one client at a time. Each action it waits for is one.
const CONCURRENT_STREAMS: u32 = 1 << 14;

/// Calls a client may break off before we have looked at them. A build that is interrupted does so with all of
/// its calls, which must not look like an attack.
const PENDING_RESETS: usize = 1 << 13;

/// Bytes of the headers of a call, request metadata included.
const HEADERS: u32 = 256 << 10;

/// A client that has said nothing for so long is asked whether it is still there, and is gone if it does not
/// answer in time.
const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long clients have, once no action runs any more, to fetch their answers.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error(transparent)]
    Listen(#[from] ListenError),

    #[error("cannot open the store: {0}")]
    Store(#[from] StoreError),

    #[error("cannot set up the sandbox: {0}")]
    Sandbox(#[from] SandboxError),

    #[error("pool `{pool}`: cannot look at its root file system: {source}")]
    Root { pool: String, source: io::Error },

    #[error(
        "pool `{pool}`: found no program in {} that shows its architecture; give the property Arch, as in \
         Arch=arm64, or another root",
        .root.display()
    )]
    UnknownArch { pool: String, root: PathBuf },

    #[error("cannot describe the services: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),

    #[error("the server ended: {0}")]
    Serve(#[from] tonic::transport::Error),

    #[error("cannot {doing}: {source}")]
    Io { doing: &'static str, source: io::Error },
}

/// A running host. It ends when it is dropped, but better with [`Host::stop`].
#[derive(Debug)]
pub struct Host {
    door: Door,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    summary: Summary,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// What a host turned out to be.
#[derive(Debug, Clone)]
pub struct Summary {
    pub store: PathBuf,
    /// Most bytes of blobs in it.
    pub max_bytes: Option<u64>,
    /// With everything they offer.
    pub pools: Vec<Pool>,
    /// What stands between actions and this machine.
    pub isolation: Isolation,
}

impl Host {
    /// Starts a host that nobody but this process can reach yet. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`HostError`] for what the settings want and this machine does not have.
    pub async fn start(settings: &Settings) -> Result<Self, HostError> {
        let own_executable = std::env::current_exe()
            .map_err(|source| HostError::Io { doing: "find our own executable", source })?;
        let sandbox = Sandbox::detect(settings.sandbox, own_executable)?;
        let store = DiskStore::open(&store_settings(settings))?;
        let pools: Vec<Pool> = settings.pools.iter().map(pool).collect::<Result<_, _>>()?;
        let summary = Summary {
            store: settings.store.clone(),
            max_bytes: settings.max_bytes,
            pools,
            isolation: sandbox.isolation().clone(),
        };

        let metrics = Arc::new(Metrics::new());
        let (health, health_service) = tonic_health::server::health_reporter();
        let readiness = Readiness::new(health, []);
        let mut routes = Routes::builder();
        routes.add_service(health_service);
        add_reflection(&mut routes)?;

        let connections = Connections::new();
        let door = connections.door();
        let (stop, stopped) = oneshot::channel();
        let server = server().layer(CallLayer::new(Arc::clone(&metrics.calls)));
        let serving = tokio::spawn(server.serve_with_incoming_shutdown(
            routes.routes().prepare(),
            connections.into_stream(),
            async {
                // Whether it is said or the host is dropped is all the same.
                let _ = stopped.await;
            },
        ));
        readiness.set(true).await;
        Ok(Self { door, readiness, metrics, summary, stop, serving })
    }

    /// A channel to the services without a socket. It stays usable as long as the host runs.
    pub fn connect(&self) -> Channel {
        self.door.connect()
    }

    /// Lets others in at these addresses until what is returned is dropped; also says where it really listens.
    ///
    /// # Errors
    /// The first address where that is not possible; then it listens nowhere.
    pub async fn listen(&self, addresses: &[Address]) -> Result<(Listening, Vec<Address>), ListenError> {
        let mut listeners = Vec::new();
        for address in addresses {
            listeners.push(Listener::bind(address).await?);
        }
        let actual = listeners.iter().map(|listener| listener.address().clone()).collect();
        Ok((self.door.listen(listeners), actual))
    }

    /// Serves metrics and health over HTTP until what is returned is dropped.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn listen_http(&self, address: &Address) -> Result<HttpServer, ListenError> {
        HttpServer::start(address, Arc::clone(&self.metrics), self.readiness.clone()).await
    }

    /// What it turned out to be.
    pub fn summary(&self) -> Summary {
        self.summary.clone()
    }

    /// How many actions run now.
    pub fn running_actions(&self) -> usize {
        0
    }

    /// Ends the host: no new actions; those that run may go on for `grace`, or until `kill` is there, and are
    /// killed then.
    ///
    /// # Errors
    /// [`HostError::Serve`] if the server had ended before.
    pub async fn stop(self, _grace: Duration, _kill: impl Future<Output = ()>) -> Result<(), HostError> {
        self.readiness.set(false).await;
        let _ = self.stop.send(());
        match tokio::time::timeout(FAREWELL, self.serving).await {
            Ok(Ok(served)) => Ok(served?),
            Ok(Err(panicked)) => Err(HostError::Io { doing: "serve", source: io::Error::other(panicked) }),
            // Somebody still listens, to the health service for example.
            Err(_) => Ok(()),
        }
    }
}

fn store_settings(settings: &Settings) -> StoreSettings {
    StoreSettings { directory: settings.store.clone(), max_bytes: settings.max_bytes }
}

/// The pool an operator asked for, with what can be found out about it.
fn pool(settings: &PoolSettings) -> Result<Pool, HostError> {
    let name = settings.name.clone();
    let root = settings.root.as_deref().unwrap_or(Path::new("/"));
    let offer = Offer::of(root, &settings.host_directories)
        .map_err(|source| HostError::Root { pool: name.clone(), source })?;
    let given = |name: &str| settings.properties.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    if offer.arch.is_none() && !given("Arch") {
        return Err(HostError::UnknownArch { pool: name, root: root.to_owned() });
    }
    let found = offer.properties().into_iter().filter(|(name, _)| !given(name));
    let properties = found.chain(settings.properties.iter().cloned()).collect();
    let emulated = offer.arch.is_some_and(|arch| arch != Arch::host());
    let preference = settings.preference.unwrap_or(if emulated { -1 } else { 0 });
    Ok(Pool { name, slots: settings.slots.unwrap_or(1), properties, preference })
}

/// HTTP/2 for blobs of many megabytes and thousands of clients that wait.
fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// Describes the services to clients that ask, in both versions of the protocol.
fn add_reflection(routes: &mut tonic::service::RoutesBuilder) -> Result<(), HostError> {
    let builder = || {
        let all = descriptors::FILES.into_iter();
        all.fold(tonic_reflection::server::Builder::configure(), |builder, files| {
            builder.register_encoded_file_descriptor_set(files)
        })
    };
    routes.add_service(builder().build_v1()?);
    routes.add_service(builder().build_v1alpha()?);
    Ok(())
}

//! One machine as a complete endpoint of the Remote Execution API: puts the store, the executors, the queue and
//! the services together. Knows what fits to what, and nothing of how any of it works.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic::transport::{Channel, Server};

use super::error::HostError;
use super::foundation::{Executors, Foundation, Summary};
use crate::cas::{ActionCache, BlobStore, CompleteActionCache, DiskStore};
use crate::execute::{InputLimits, SharedFiles};
use crate::queue::{Pool, Queue, QueueSettings, Timeouts};
use crate::reapi::execution_server::ExecutionServer;
use crate::reapi::longrunning::operations_server::OperationsServer;
use crate::sandbox::OwnExecutable;
use crate::server::capabilities::{CapabilitiesService, CapabilitiesSettings};
use crate::server::descriptors;
use crate::server::execution::log_stream::LogStreams;
use crate::server::execution::operations::OperationsService;
use crate::server::execution::{ExecutionService, ExecutionSettings};
use crate::server::monitoring::http::HttpServer;
use crate::server::monitoring::metrics::Metrics;
use crate::server::monitoring::readiness::Readiness;
use crate::server::settings::Settings;
use crate::server::storage::action_cache::ActionCacheService;
use crate::server::storage::byte_stream::ByteStreamService;
use crate::server::storage::content_addressable_storage::ContentAddressableStorageService;
use crate::server::storage::settings::{CONNECTION_WINDOW, MAX_FRAME_BYTES, STREAM_WINDOW, StorageSettings};
use crate::server::transport::address::{Address, ListenError};
use crate::server::transport::budget::Budget;
use crate::server::transport::calls::{Budgets, CallLayer};
use crate::server::transport::door::{ConnectionLimits, Door};
use crate::server::transport::listener::{Connections, Connector, Listener, Listening};
use crate::server::transport::malformed::RefuseMalformed;
use crate::server::transport::open_files;
use crate::server::transport::patience::Patience;
use crate::server::transport::reach::Exposure;
use crate::server::transport::wire::WireService as _;
use crate::worker::local::LocalWorkers;

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

/// A client of HTTP/2 greets before it is asked anything.
const GREETING: Duration = Duration::from_secs(10);

/// Clients of gRPC close connections that they have not used for so long themselves.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// Bytes of a request to execute something: the names of files to be inlined are most of it.
const MAX_EXECUTE_BYTES: usize = 4 << 20;

/// How long clients have, once no action runs any more, to fetch their answers.
const FAREWELL: Duration = Duration::from_secs(2);

/// A running host. It ends when it is dropped, but better with [`Host::stop`].
#[derive(Debug)]
pub struct Host {
    connector: Connector,
    door: Arc<Door>,
    exposure: Exposure,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    summary: Summary,
    workers: LocalWorkers,
    store: Arc<DiskStore>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Host {
    /// Starts a host that nobody but this process can reach yet. Needs a Tokio runtime. `own_executable` is a
    /// `crosswheel`: it sets up sandboxes, and is what actions get that run crosswheel.
    ///
    /// # Errors
    /// [`HostError`] for what the settings want and this machine does not have.
    pub async fn start(settings: &Settings, own_executable: OwnExecutable) -> Result<Self, HostError> {
        let foundation = Foundation::lay(settings, own_executable)?;
        let store = Arc::clone(&foundation.store);
        let results = Arc::new(CompleteActionCache::new(Arc::clone(&store)));
        let metrics = Arc::new(Metrics::new());

        let files =
            SharedFiles::open(Arc::clone(&store), InputLimits::default(), foundation.tree_limits(settings))?;
        let Executors { of_pools, files, counters } = foundation.executors(settings, files, &metrics)?;
        let pools = foundation.pools();
        let (queue, slots) = Queue::new(pools.clone(), queue_settings(settings))?;
        let queue = Arc::new(queue);
        let action_cache: Arc<dyn ActionCache> = Arc::clone(&results) as _;
        let execute = |pool: &Pool| Arc::clone(&of_pools[&pool.name]);
        let blobs: Arc<dyn BlobStore> = Arc::clone(&store) as _;
        let workers = LocalWorkers::start(Arc::clone(&queue), slots, execute, &blobs, &action_cache)
            .map_err(|source| HostError::Io { doing: "start workers", source })?;
        metrics.watch(&store, &files, counters);
        metrics.watch_queue(&queue);

        let (routes, readiness) = routes(settings, &store, results, &queue)?;
        let connections = Connections::new();
        let connector = connections.connector();
        let (stop, stopped) = oneshot::channel();
        let server = server()
            .layer(CallLayer::new(Arc::clone(&metrics.calls), budgets(settings)))
            .layer(RefuseMalformed);
        let serving =
            tokio::spawn(server.serve_with_incoming_shutdown(routes, connections.into_stream(), async {
                // Whether it is said or the host is dropped is all the same.
                let _ = stopped.await;
            }));
        readiness.set(None).await;
        let summary = foundation.summary(settings);
        let door = Door::new(connection_limits(settings));
        let exposure = if settings.insecure_public { Exposure::Anywhere } else { Exposure::ThisMachine };
        Ok(Self { connector, door, exposure, readiness, metrics, summary, workers, store, stop, serving })
    }

    /// A channel to the services without a socket. It stays usable as long as the host runs.
    pub fn connect(&self) -> Channel {
        self.connector.connect()
    }

    /// Lets others in at these addresses until what is returned is dropped; also says where it really listens.
    ///
    /// # Errors
    /// The first address where that is not possible; then it listens nowhere.
    pub async fn listen(&self, addresses: &[Address]) -> Result<(Listening, Vec<Address>), ListenError> {
        let mut listeners = Vec::new();
        for address in addresses {
            listeners.push(Listener::bind(address, self.exposure, Arc::clone(&self.door)).await?);
        }
        let actual = listeners.iter().map(|listener| listener.address().clone()).collect();
        Ok((self.connector.listen(listeners), actual))
    }

    /// Serves metrics and health over HTTP until what is returned is dropped.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn listen_http(&self, address: &Address) -> Result<HttpServer, ListenError> {
        HttpServer::start(address, self.exposure, Arc::clone(&self.metrics), self.readiness.clone()).await
    }

    /// Its blobs, for who shares the process.
    pub fn store(&self) -> Arc<DiskStore> {
        Arc::clone(&self.store)
    }

    /// What it turned out to be.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The actions it has, and had.
    pub fn queue(&self) -> &Queue {
        self.workers.queue()
    }

    /// Ends the host: no new actions; those that run or wait may go on for `grace`, or until `kill` is there, and
    /// are killed then.
    ///
    /// # Errors
    /// [`HostError::Serve`] if the server had ended before.
    pub async fn stop(self, grace: Duration, kill: impl Future<Output = ()>) -> Result<(), HostError> {
        self.readiness.set(Some("it is about to end".to_owned())).await;
        tokio::select! {
            () = self.workers.queue().drain() => {}
            () = tokio::time::sleep(grace) => tracing::warn!(?grace, "killing the actions that still run"),
            () = kill => tracing::warn!("killing the actions that still run"),
        }
        // Returns when nothing of them is left.
        let workers = self.workers;
        let killed = tokio::task::spawn_blocking(move || drop(workers)).await;
        let _ = self.stop.send(());
        let served = tokio::time::timeout(FAREWELL, self.serving).await;
        let panicked = |error| HostError::Io { doing: "end", source: io::Error::other(error) };
        killed.map_err(panicked)?;
        match served {
            Ok(served) => Ok(served.map_err(panicked)??),
            // Somebody still listens, to the health service for example.
            Err(_) => Ok(()),
        }
    }
}

fn queue_settings(settings: &Settings) -> QueueSettings {
    QueueSettings {
        timeouts: Timeouts { default: settings.default_timeout, maximum: settings.max_timeout },
        max_queued: settings.max_queued_actions,
        max_bytes: usize::try_from(settings.max_queue_bytes).unwrap_or(usize::MAX),
        grace: settings.unattended_grace,
        ..QueueSettings::default()
    }
}

fn connection_limits(settings: &Settings) -> ConnectionLimits {
    ConnectionLimits {
        total: settings.max_connections,
        per_client: settings.max_connections_per_client,
        patience: Patience::Calls {
            greeting: GREETING.min(settings.first_call_timeout),
            first_call: settings.first_call_timeout,
            idle: IDLE,
        },
    }
}

fn budgets(settings: &Settings) -> Budgets {
    let call_bytes = usize::try_from(settings.max_call_bytes).unwrap_or(usize::MAX);
    // Whoever waits for an action has a call in flight.
    let calls = settings.max_queued_actions.saturating_add(CONCURRENT_STREAMS as usize);
    let transfers = open_files::transfers();
    Budgets {
        call_bytes: Budget::new(
            call_bytes,
            "the bytes of requests that come in and of answers that wait",
            "max-call-bytes",
        ),
        calls: Budget::new(calls, "the calls in flight", "max-queued-actions and 16384 more"),
        transfers: Budget::new(
            transfers,
            "the uploads and downloads in flight",
            "half of the files that may be open",
        ),
    }
}

/// All services, and who tells whether they are ready.
fn routes(
    settings: &Settings,
    store: &Arc<DiskStore>,
    results: Arc<CompleteActionCache>,
    queue: &Arc<Queue>,
) -> Result<(Routes, Readiness), HostError> {
    let storage = StorageSettings {
        max_blob_bytes: None,
        max_batch_bytes: settings.max_batch_bytes,
        idle_upload_timeout: settings.upload_idle_timeout,
        update_action_results: settings.update_action_result,
    };
    let capabilities = CapabilitiesSettings {
        execution: true,
        priorities: i32::MIN..=i32::MAX,
        node_properties: ["mtime", "unix_mode"].map(str::to_owned).to_vec(),
        update_action_results: settings.update_action_result,
        max_blob_bytes: storage.max_blob_bytes,
        max_batch_bytes: storage.max_batch_bytes,
        absolute_symlinks: true,
    };
    let blobs: Arc<dyn BlobStore> = Arc::clone(store) as _;
    let execution = ExecutionService::new(
        Arc::clone(queue),
        Arc::clone(&blobs),
        Arc::clone(&results) as _,
        ExecutionSettings::default(),
    );
    let mut services = Services::default();
    services.add(CapabilitiesService::new(&capabilities).served());
    services.add(ContentAddressableStorageService::new(Arc::clone(&blobs), &storage).served());
    let logs = LogStreams::new(Arc::clone(queue));
    services.add(ByteStreamService::new(Arc::clone(store), &storage).with_logs(logs).served());
    services.add(ActionCacheService::new(results, blobs, &storage).served());
    services.add(ExecutionServer::new(execution).max_decoding_message_size(MAX_EXECUTE_BYTES));
    services.add(OperationsServer::new(OperationsService::new(Arc::clone(queue))));
    services.add_health_and_reflection()
}

/// Services, and their names.
#[derive(Default)]
struct Services {
    routes: RoutesBuilder,
    names: Vec<String>,
}

impl Services {
    fn add<S>(&mut self, service: S)
    where
        S: tower::Service<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(S::NAME.to_owned());
        self.routes.add_service(service);
    }

    /// Tells clients that ask what the services are, in both versions of the protocol, and whether they are ready.
    fn add_health_and_reflection(mut self) -> Result<(Routes, Readiness), HostError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let readiness = Readiness::new(health, self.names.clone());
        self.add(health_service);
        let builder = || {
            let files = descriptors::FILES.into_iter();
            let names = self.names.iter().map(String::as_str);
            let names = names
                .chain(["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]);
            let builder = tonic_reflection::server::Builder::configure();
            let builder =
                files.fold(builder, |builder, files| builder.register_encoded_file_descriptor_set(files));
            names.fold(builder, |builder, name| builder.with_service_name(name))
        };
        let (v1, v1alpha) = (builder().build_v1()?, builder().build_v1alpha()?);
        self.routes.add_service(v1);
        self.routes.add_service(v1alpha);
        Ok((self.routes.routes().prepare(), readiness))
    }
}

/// HTTP/2 for blobs of many megabytes and thousands of clients that wait.
fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

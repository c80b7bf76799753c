//! One machine as a worker of an engine: what actions run on, and where they come from. Knows what fits to what, and
//! nothing of how any of it works.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tonic::{Code, Status};

use super::error::HostError;
use super::foundation::{Executors, Foundation, Summary};
use super::worker_name;
use crate::cancellation::HangUp;
use crate::cas::{ActionCache, RemoteUpstream};
use crate::digest::{Digest, DigestFunction};
use crate::execute::{Execute, InputLimits, SharedFiles};
use crate::queue::{Pool, Timeouts};
use crate::reapi::capabilities_client::CapabilitiesClient;
use crate::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crate::reapi::{FindMissingBlobsRequest, GetCapabilitiesRequest, ServerCapabilities};
use crate::remote::{Backoff, ConnectSettings, LARGEST_MESSAGE, RemoteChannel, connect_lazily};
use crate::sandbox::OwnExecutable;
use crate::server::monitoring::health::{self, Health, Need, Troubles};
use crate::server::monitoring::http::HttpServer;
use crate::server::monitoring::metrics::Metrics;
use crate::server::monitoring::readiness::Readiness;
use crate::server::settings::{Announce, Engine, WorkerSettings};
use crate::server::transport::address::{Address, ListenError};
use crate::server::transport::reach::Exposure;
use crate::worker::engine::{
    BotIdentity, BuildbarnIdentity, EngineWorkers, NativeLinkIdentity, ResultsUntil, RunnerSettings,
    Schedulers, SlotHandle, SlotIdentity, SlotSpec, WorkSwitch, for_people,
};

/// How long a question to the CAS may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often it is looked whether the CAS works.
const ASK_CAS_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked at whether schedulers can be reached.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why it is not ready at first.
const NOBODY_YET: &str = "no scheduler has answered yet";

/// A worker that has proved what it offers, and has not asked for work yet.
pub struct ProvenWorker {
    foundation: Foundation,
    name: String,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    exposure: Exposure,
}

/// A running worker. It ends when it is dropped, but better with [`EngineWorker::stop`].
pub struct EngineWorker {
    workers: EngineWorkers,
    readiness: Readiness,
    watching: [JoinHandle<()>; 3],
}

impl ProvenWorker {
    /// Opens the store, and proves what the pools promise. `own_executable` is a `crosswheel`: it sets up sandboxes, and is
    /// what actions get that run crosswheel.
    ///
    /// # Errors
    /// [`HostError`] for what the settings want and this machine does not have.
    pub fn prove(settings: &WorkerSettings, own_executable: OwnExecutable) -> Result<Self, HostError> {
        let foundation = Foundation::lay(&settings.host, own_executable)?;
        let name = match &settings.name {
            Some(name) => name.clone(),
            None => worker_name::of_store(&settings.host.store)
                .map_err(|source| HostError::Io { doing: "give this worker a name", source })?,
        };
        let exposure = if settings.host.insecure_public { Exposure::Anywhere } else { Exposure::ThisMachine };
        let (readiness, metrics) = (Readiness::without_services(), Arc::new(Metrics::new()));
        Ok(Self { foundation, name, readiness, metrics, exposure })
    }

    /// Serves metrics and health over HTTP until what is returned is dropped.
    ///
    /// # Errors
    /// If it cannot listen there.
    pub async fn listen_http(&self, address: &Address) -> Result<HttpServer, ListenError> {
        HttpServer::start(address, self.exposure, Arc::clone(&self.metrics), self.readiness.clone()).await
    }

    /// What it turned out to be.
    pub fn summary(&self, settings: &WorkerSettings) -> Summary {
        self.foundation.summary(&settings.host)
    }

    /// What it calls itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its slots of a pool offer.
    pub fn offered(settings: &WorkerSettings, pool: &Pool) -> Vec<(String, String)> {
        let declared = settings.host.pools.iter().find(|declared| declared.name == pool.name);
        let is_declared = |name: &str| {
            let given = declared.into_iter().flat_map(|declared| &declared.properties);
            ["Arch", "OSFamily"].contains(&name) || given.into_iter().any(|(other, _)| other == name)
        };
        let all = settings.announce == Announce::All;
        let offered = pool.properties.iter().filter(|(name, _)| all || is_declared(name));
        // A list offers each of its values.
        let each = offered
            .flat_map(|(name, value)| value.split(',').map(|value| (name.clone(), value.trim().to_owned())));
        each.collect()
    }

    /// Waits until the CAS answers, and begins to ask for work. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`HostError`] for certificates and pools that cannot be used.
    pub async fn begin(self, settings: &WorkerSettings) -> Result<EngineWorker, HostError> {
        let Self { foundation, name, readiness, metrics, .. } = self;
        let scheduler =
            |scheduler: &ConnectSettings| Ok((scheduler.address.to_string(), connect_lazily(scheduler)?));
        let schedulers = settings.schedulers.iter().map(scheduler).collect::<Result<_, HostError>>()?;
        let schedulers = Arc::new(Schedulers::new(schedulers));
        let cas = connect_lazily(&settings.cas)?;
        readiness.set(Some(format!("the CAS {} has not answered yet", settings.cas.address))).await;
        let capabilities = capabilities(settings, &cas).await;
        wait_for_cas(settings, &cas).await;
        readiness.set(Some(NOBODY_YET.to_owned())).await;
        let upstream = RemoteUpstream::new(Handle::current(), cas.clone(), &capabilities);
        let files = SharedFiles::open_with_upstream(
            Arc::clone(&foundation.store),
            Arc::new(upstream.clone()),
            InputLimits::default(),
            foundation.tree_limits(&settings.host),
        )?;
        let Executors { of_pools, files, counters } =
            foundation.executors(&settings.host, files, &metrics)?;
        let blobs = Arc::clone(&files);
        let runner = |execute: Arc<dyn Execute>| {
            let blobs = Arc::clone(&blobs);
            // BuildGrid writes results itself.
            let writes = settings.engine != Engine::BuildGrid;
            Arc::new(RunnerSettings {
                execute,
                blobs: Arc::new(move |instance: &str, hang_up: &HangUp| blobs.blobs_until(instance, hang_up)),
                action_cache: writes.then(|| {
                    let results = upstream.store("");
                    let until =
                        move |hang_up: &HangUp| Arc::new(results.until(hang_up)) as Arc<dyn ActionCache>;
                    Arc::new(until) as Arc<ResultsUntil>
                }),
                timeouts: Timeouts {
                    default: settings.host.default_timeout,
                    maximum: settings.host.max_timeout,
                },
            })
        };
        let mut slots = Vec::new();
        for pool in foundation.pools() {
            let runner = runner(Arc::clone(&of_pools[&pool.name]));
            let offered = Self::offered(settings, &pool);
            for number in 0..pool.slots {
                slots.push(slot(settings, &name, &pool, number, offered.clone(), Arc::clone(&runner)));
            }
        }
        let troubles = Troubles::default();
        metrics.watch_health(troubles.clone());
        let health = Health::new(
            &settings.host.store,
            settings.host.min_free_bytes,
            foundation.trial(),
            troubles.clone(),
        );
        // Before anything is asked for.
        let (health, is_well) = looked(health).await.map_err(|error| HostError::Io {
            doing: "look whether this machine is fit to work",
            source: error.into(),
        })?;
        let workers = EngineWorkers::start(&schedulers, slots, is_well)
            .map_err(|source| HostError::Io { doing: "start workers", source })?;
        metrics.watch(&foundation.store, &files, counters);
        metrics.watch_slots(workers.slots().to_vec());
        let watching = [
            tokio::spawn(watch_health(health, troubles.clone(), workers.switch())),
            tokio::spawn(watch_cas(settings.clone(), cas, troubles.clone())),
            tokio::spawn(watch(workers.slots().to_vec(), troubles, readiness.clone())),
        ];
        Ok(EngineWorker { workers, readiness, watching })
    }
}

impl EngineWorker {
    /// How its slots are.
    pub fn slots(&self) -> &[SlotHandle] {
        self.workers.slots()
    }

    /// Ends the worker: no new actions; those that run may go on for `grace`, or until `kill` is there, and are killed
    /// then. Returns when the scheduler knows, or cannot be told.
    pub async fn stop(self, grace: Duration, kill: impl Future<Output = ()>) {
        for watching in self.watching {
            watching.abort();
            // So that it says nothing else after this.
            let _ = watching.await;
        }
        self.readiness.set(Some("it is about to end".to_owned())).await;
        self.workers.drain(grace, kill).await;
    }
}

fn slot(
    settings: &WorkerSettings,
    worker: &str,
    pool: &Pool,
    number: usize,
    properties: Vec<(String, String)>,
    runner: Arc<RunnerSettings>,
) -> SlotSpec {
    let name = format!("{worker}/{}/{number}", pool.name);
    let identity = match settings.engine {
        Engine::Buildbarn => {
            let worker_id = [("worker", worker), ("pool", &pool.name), ("slot", &number.to_string())];
            SlotIdentity::Buildbarn(BuildbarnIdentity {
                worker_id: worker_id
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
                instance_name_prefix: settings.instance.clone(),
                properties,
                size_class: settings.size_class,
            })
        }
        Engine::BuildGrid => SlotIdentity::BuildGrid(BotIdentity {
            bot_id: name.clone(),
            instance_name: settings.instance.clone(),
            properties,
        }),
        Engine::NativeLink => SlotIdentity::NativeLink(NativeLinkIdentity {
            worker_id_prefix: name.replace('/', "-"),
            properties,
        }),
    };
    SlotSpec { name, pool: pool.name.clone(), identity, runner }
}

/// What the CAS can, once it answers. One that does not say has what every one has.
async fn capabilities(settings: &WorkerSettings, cas: &RemoteChannel) -> ServerCapabilities {
    let ask = async || {
        let mut request =
            tonic::Request::new(GetCapabilitiesRequest { instance_name: settings.instance.clone() });
        request.set_timeout(DEADLINE);
        let answer = CapabilitiesClient::new(cas.clone())
            .max_decoding_message_size(LARGEST_MESSAGE)
            .get_capabilities(request)
            .await;
        match answer {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) if status.code() == Code::Unimplemented => Ok(ServerCapabilities::default()),
            Err(status) => Err(failure(settings, &status)),
        }
    };
    until_it_answers(ask).await
}

/// Returns once there is a CAS that works.
async fn wait_for_cas(settings: &WorkerSettings, cas: &RemoteChannel) {
    until_it_answers(async || ask_cas(settings, cas).await).await;
}

async fn until_it_answers<T>(ask: impl AsyncFn() -> Result<T, String>) -> T {
    let mut backoff = Backoff::new(Duration::MAX);
    let mut said = String::new();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(text) if text == said => {}
            Err(text) => {
                tracing::warn!("{text}");
                said = text;
            }
        }
        tokio::time::sleep(backoff.pause().unwrap_or(LOOK_EVERY)).await;
    }
}

/// Asks for what every CAS has.
async fn ask_cas(settings: &WorkerSettings, cas: &RemoteChannel) -> Result<(), String> {
    let mut request = tonic::Request::new(FindMissingBlobsRequest {
        instance_name: settings.instance.clone(),
        blob_digests: vec![Digest::empty(DigestFunction::Sha256).to_message()],
        digest_function: DigestFunction::Sha256.to_wire(),
    });
    request.set_timeout(DEADLINE);
    match ContentAddressableStorageClient::new(cas.clone()).find_missing_blobs(request).await {
        Ok(_) => Ok(()),
        Err(status) if status.code() == Code::Unimplemented => {
            Err(format!("{} is no CAS: say where it is with --cas", settings.cas.address))
        }
        Err(status) => Err(failure(settings, &status)),
    }
}

fn failure(settings: &WorkerSettings, status: &Status) -> String {
    let hint = match status.code() {
        Code::InvalidArgument | Code::NotFound => " (is --instance right?)",
        _ => "",
    };
    format!("the CAS {} says {}{hint}", settings.cas.address, for_people(status))
}

/// Keeps an eye on the CAS, without which every action fails. One that fails once may just have started again.
async fn watch_cas(settings: WorkerSettings, cas: RemoteChannel, troubles: Troubles) {
    let mut failed_before = false;
    loop {
        tokio::time::sleep(ASK_CAS_EVERY).await;
        let trouble = ask_cas(&settings, &cas).await.err();
        let has_failed = trouble.is_some();
        troubles.set(Need::Cas, trouble.filter(|_| failed_before));
        failed_before = has_failed;
    }
}

/// Keeps an eye on this machine, which takes work only as long as it is well.
async fn watch_health(mut health: Health, troubles: Troubles, switch: WorkSwitch) {
    loop {
        tokio::time::sleep(health::LOOK_EVERY).await;
        let Ok((same, is_well)) = looked(health).await else {
            // Looking has panicked, which has been printed: nothing is known of this machine any more.
            let bug = "this machine cannot be looked at; this is a bug in crosswheel";
            troubles.set(Need::Sandbox, Some(bug.to_owned()));
            switch.take_work(false);
            return;
        };
        health = same;
        switch.take_work(is_well);
    }
}

/// Looks, where that may block.
async fn looked(mut health: Health) -> Result<(Health, bool), JoinError> {
    let looking = tokio::task::spawn_blocking(move || {
        let is_well = health.look();
        (health, is_well)
    });
    looking.await
}

/// Keeps saying whether work is taken.
async fn watch(slots: Vec<SlotHandle>, troubles: Troubles, readiness: Readiness) {
    loop {
        let views: Vec<_> = slots.iter().map(SlotHandle::view).collect();
        let is_connected = views.iter().any(|view| view.reached && view.trouble.is_none());
        let obstacle = (!is_connected).then(|| {
            let trouble = views.iter().find_map(|view| view.trouble.clone());
            trouble.unwrap_or_else(|| NOBODY_YET.to_owned())
        });
        readiness.set(troubles.first().or(obstacle)).await;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

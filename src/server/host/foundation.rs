//! What every machine that runs actions stands upon, whoever hands them out: the store, the sandbox, the pools and what
//! runs their actions. Knows nothing of queues, schedulers and services.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::HostError;
use super::pools::ProvenPool;
use super::{step_cache, trial};
use crate::cas::{DiskStore, StoreSettings};
use crate::execute::{
    Execute, ExecuteCounters, LocalExecutor, LocalSettings, OwnBinarySettings, OwnLoader, SharedFiles,
    TreeLimits, executor,
};
use crate::queue::Pool;
use crate::sandbox::{Isolation, OwnExecutable, Spawner};
use crate::server::monitoring::metrics::Metrics;
use crate::server::settings::Settings;
use crate::server::transport::open_files;

/// The store, the sandbox and the pools of a machine.
pub(super) struct Foundation {
    pub store: Arc<DiskStore>,
    pub spawner: Arc<Spawner>,
    proven: Vec<ProvenPool>,
    own_executable: OwnExecutable,
}

/// What a host turned out to be.
#[derive(Debug, Clone)]
pub struct Summary {
    pub store: PathBuf,
    /// Most bytes of blobs in it.
    pub max_bytes: Option<u64>,
    /// With everything they offer.
    pub pools: Vec<Pool>,
    /// For each pool the program that runs its programs, where the processor does not.
    pub emulators: Vec<Option<String>>,
    /// What stands between actions and this machine.
    pub isolation: Isolation,
}

/// What runs actions, and what is known about it.
pub(super) struct Executors {
    pub of_pools: HashMap<String, Arc<dyn Execute>>,
    pub files: Arc<SharedFiles>,
    pub counters: Vec<(String, Arc<ExecuteCounters>)>,
}

impl Foundation {
    /// Opens the store, and proves what the pools promise.
    ///
    /// # Errors
    /// [`HostError`] for what the settings want and this machine does not have.
    pub fn lay(settings: &Settings, own_executable: OwnExecutable) -> Result<Self, HostError> {
        open_files::raise_limit();
        let store = Arc::new(DiskStore::open(&store_settings(settings))?);
        let hidden = hidden_from_actions(settings).map_err(|source| HostError::Io {
            doing: "make a directory for what is remembered between steps",
            source,
        })?;
        let spawner = Arc::new(Spawner::detect(settings.sandbox, own_executable.clone(), &hidden)?);
        let proven = settings.pools.iter().map(|pool| ProvenPool::find(pool, &spawner));
        let proven = proven.collect::<Result<_, _>>()?;
        Ok(Self { store, spawner, proven, own_executable })
    }

    /// The pools, with everything they offer.
    pub fn pools(&self) -> Vec<Pool> {
        self.proven.iter().map(|proven| proven.pool.clone()).collect()
    }

    /// How much trees may hold.
    pub fn tree_limits(&self, settings: &Settings) -> TreeLimits {
        TreeLimits::for_store(settings.max_bytes)
    }

    /// Tries whether each pool still runs programs; the error says of which not.
    pub fn trial(&self) -> impl Fn() -> Result<(), String> + Send + 'static {
        let spawner = Arc::clone(&self.spawner);
        let roots: Vec<_> = self
            .proven
            .iter()
            .map(|proven| (proven.pool.name.clone(), proven.root.clone(), proven.arch))
            .collect();
        move || {
            for (pool, root, arch) in &roots {
                trial::run_a_program(&spawner, root, *arch)
                    .map_err(|problem| format!("pool `{pool}`: {problem}"))?;
            }
            Ok(())
        }
    }

    /// What it turned out to be.
    pub fn summary(&self, settings: &Settings) -> Summary {
        Summary {
            store: settings.store.clone(),
            max_bytes: settings.max_bytes,
            pools: self.pools(),
            emulators: self.proven.iter().map(|proven| proven.emulator.clone()).collect(),
            isolation: self.spawner.isolation().clone(),
        }
    }

    /// What runs the actions of each pool, with these files.
    ///
    /// # Errors
    /// [`HostError`] for a root that cannot be looked at.
    pub fn executors(
        &self,
        settings: &Settings,
        files: SharedFiles,
        metrics: &Metrics,
    ) -> Result<Executors, HostError> {
        let own_executable = self.own_executable.file();
        let files = Arc::new(files);
        let mut of_pools: HashMap<String, Arc<dyn Execute>> = HashMap::new();
        let mut all_counters = Vec::new();
        let has_own_roots = self.proven.iter().any(|proven| proven.root.directory().is_some());
        let loader =
            if has_own_roots { OwnLoader::of(own_executable).map_err(HostError::OwnLoader)? } else { None };
        for ProvenPool { pool, root, cross_compiler, limits, .. } in &self.proven {
            let own_binary = OwnBinarySettings {
                executable: own_executable.to_owned(),
                loader: loader.clone(),
                cross_compiler: cross_compiler.clone(),
                cache: Some(
                    step_cache::of_root(&step_cache_directory(settings), root)
                        .map_err(|source| HostError::Root { pool: pool.name.clone(), source })?,
                ),
                trusted: settings.embedding.is_some(),
                visible_host_paths: match &settings.embedding {
                    Some(embedding) if root.directory().is_none() => embedding.visible_host_paths.clone(),
                    // In a root file system, what is there under their names is another system's.
                    _ => Vec::new(),
                },
            };
            let local =
                LocalSettings { root: root.clone(), network: settings.network, limits: *limits, own_binary };
            let local = LocalExecutor::new(Arc::clone(&files), Arc::clone(&self.spawner), local);
            let counters = Arc::new(ExecuteCounters::default());
            let measured = metrics.measure(executor(local, Arc::clone(&counters)), &pool.name);
            of_pools.insert(pool.name.clone(), measured);
            all_counters.push((pool.name.clone(), counters));
        }
        Ok(Executors { of_pools, files, counters: all_counters })
    }
}

fn store_settings(settings: &Settings) -> StoreSettings {
    StoreSettings {
        directory: settings.store.clone(),
        max_bytes: settings.max_bytes,
        high_water_percent: settings.high_water_mark,
        low_water_percent: settings.low_water_mark,
        min_free_bytes: settings.min_free_bytes,
        keep_after_use: settings.keep_after_use,
        reverify: settings.reverify,
        fsync: settings.fsync,
    }
}

/// Directories of which no action sees anything but what it is given: the store, with the trees, locks and work directories
/// in it, and what steps remember. They exist, as only then can they be hidden.
fn hidden_from_actions(settings: &Settings) -> io::Result<Vec<PathBuf>> {
    let step_cache = step_cache_directory(settings);
    fs_err::create_dir_all(&step_cache)?;
    Ok(vec![settings.store.clone(), step_cache])
}

/// Where actions that run crosswheel keep what they remember: with what `crosswheel build` remembers, if it is that which
/// we are part of.
fn step_cache_directory(settings: &Settings) -> PathBuf {
    match &settings.embedding {
        Some(embedding) => embedding.cache.clone(),
        None => settings.store.join("crosswheel"),
    }
}

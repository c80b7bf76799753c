//! Everything the sources and targets of a run share, set up once.
//! Knows nothing of the order in which it is used.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::cache::Cache;
use super::customisation::Customisation;
use super::index::credentials::Credentials;
use super::index::download::Downloads;
use super::index::http::Http;
use super::index::simple_api::Index;
use super::inputs::sdists::Sdists;
use super::inputs::tree_sdists::TreeSdists;
use super::interrupt::Interrupt;
use super::options::BuildOptions;
use super::progress::Progress;
use super::resolve::lock::Lock;
use super::resolve::uv::Uv;
use super::settings::constraints::Constraints;
use super::settings::index_settings::IndexSettings;
use super::settings::layer::Environment;
use super::steps::executor::{ConnectExecutor, Executor, ExecutorSurroundings};
use super::targets::destination::{Destination, destinations};
use super::targets::placement::Placement;
use super::wheel_cache::WheelCache;
use crate::contract::{Failure, FailureClass};
use crate::packaging::interpreter::{Interpreter, InterpreterError};

/// Everything the sources and targets of a run share.
pub(super) struct Run {
    pub(super) options: BuildOptions,
    pub(super) cache: Arc<Cache>,
    pub(super) http: Arc<Http>,
    pub(super) index: Index,
    pub(super) settings: IndexSettings,
    pub(super) constraints: Constraints,
    /// The Python of this machine that was asked for, if it is here.
    pub(super) local: Result<Interpreter, InterpreterError>,
    pub(super) interrupt: Arc<Interrupt>,
    pub(super) downloads: Downloads,
    pub(super) sdists: Sdists,
    pub(super) tree_sdists: TreeSdists,
    pub(super) wheels: WheelCache,
    pub(super) executor: Arc<Executor>,
    pub(super) progress: Progress,
    /// The lock file as it was found.
    pub(super) lock: Option<Lock>,
    pub(super) customisation: Customisation,
    uv: OnceLock<Uv>,
    python_for_uv: OnceLock<Option<PathBuf>>,
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunMode {
    /// Building: the executor is started at once, as it is needed in any case.
    Build,
    /// Making sure that everything is there: perhaps nothing is to be built.
    Wheelhouse,
}

impl Run {
    /// Reads all configuration; fails on what would fail every source on every target. Also says where the steps
    /// for each target run, in the order in which the targets were given.
    pub(super) fn new(
        options: BuildOptions,
        mode: RunMode,
        connect: ConnectExecutor,
    ) -> Result<(Self, Vec<Destination>), Failure> {
        let cache = Arc::new(Cache::open(&options.cache_directory)?);
        let interrupt = Interrupt::install(cache.run_directory().to_owned())?;
        let local = Interpreter::find(&options.python, cache.root());
        let destinations = destinations(&options, cache.root(), &local)?;
        let environment = Environment::of_process();
        let netrc = environment.get("NETRC").map(PathBuf::from);
        let netrc = netrc.or_else(|| environment.home.as_ref().map(|home| home.join(".netrc")));
        let credentials = Arc::new(Credentials::with_netrc(netrc.as_deref()));
        let settings = IndexSettings::decide(&options.index, &environment, &credentials)?;
        let constraints = Constraints::read(&settings.constraints, &settings.inline_constraints)?;
        let http = Arc::new(Http::new(credentials, Arc::clone(&interrupt), settings.offline));
        let lock = match &options.lock {
            Some(path) => Lock::read(path)?,
            None => None,
        };
        let sdists = Sdists::new(Arc::clone(&cache));
        let customisation = options.customisation(&sdists)?;
        let executor = Executor::new(connect, surroundings(&options, &destinations, local.as_ref().ok()));
        if mode == RunMode::Build && options.remote.is_none() {
            executor.begin();
        }
        let run = Self {
            index: Index::new(
                Arc::clone(&http),
                settings.indexes.clone(),
                settings.find_links.clone(),
                settings.cutoffs.clone(),
            ),
            downloads: Downloads::new(Arc::clone(&cache), Arc::clone(&http)),
            wheels: WheelCache::new(Arc::clone(&cache)),
            executor: Arc::new(executor),
            progress: Progress::on_stderr(options.verbose),
            uv: OnceLock::new(),
            python_for_uv: OnceLock::new(),
            cache,
            http,
            settings,
            constraints,
            local,
            interrupt,
            sdists,
            tree_sdists: TreeSdists::default(),
            lock,
            customisation,
            options,
        };
        Ok((run, destinations))
    }

    /// `failure` without secrets.
    pub(super) fn redacted(&self, mut failure: Failure) -> Failure {
        let redact = |text: &mut String| *text = self.http.credentials().redact(text);
        redact(&mut failure.message);
        failure.evidence.iter_mut().chain(&mut failure.hint).for_each(redact);
        failure
    }

    /// uv, looked for when it is first needed.
    pub(super) fn uv(&self) -> Result<&Uv, Failure> {
        if let Some(uv) = self.uv.get() {
            return Ok(uv);
        }
        let found = Uv::locate(&self.cache, &self.index, &self.downloads)?;
        Ok(self.uv.get_or_init(|| found))
    }

    /// A Python of this machine for uv, which does not start without one, whichever it resolves for.
    pub(super) fn python_for_uv(&self) -> Option<&Path> {
        let find = || match &self.local {
            Ok(local) => Some(local.executable.clone()),
            Err(_) => Interpreter::find("3", self.cache.root()).ok().map(|any| any.executable),
        };
        self.python_for_uv.get_or_init(find).as_deref()
    }
}

/// What the executor must offer if it is within this process.
fn surroundings(
    options: &BuildOptions,
    destinations: &[Destination],
    local: Option<&Interpreter>,
) -> ExecutorSurroundings {
    if options.remote.is_some() {
        return ExecutorSurroundings::default();
    }
    let root_of = |destination: &Destination| match &destination.placement {
        Ok(Placement::Root(root)) => Some((destination.target, root.directory.clone())),
        _ => None,
    };
    ExecutorSurroundings {
        visible_paths: visible_paths(options, local),
        roots: destinations.iter().filter_map(root_of).collect(),
    }
}

/// What steps must see of this machine wherever it is: the interpreter, and the user's tools.
fn visible_paths(options: &BuildOptions, local: Option<&Interpreter>) -> Vec<PathBuf> {
    let executable = local.and_then(|local| local.executable.parent()).map(Path::to_owned);
    let prefix = local.map(|local| local.base_prefix.clone());
    executable.into_iter().chain(prefix).chain(options.tool_directories.iter().cloned()).collect()
}

impl From<&InterpreterError> for Failure {
    fn from(error: &InterpreterError) -> Self {
        Self::new(FailureClass::InvalidSource, error.to_string())
    }
}

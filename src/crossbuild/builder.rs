//! Everything the sources of a run share, set up once.
//! Knows nothing of the order in which it is used.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::cache::Cache;
use super::constraints::Constraints;
use super::credentials::Credentials;
use super::download::Downloads;
use super::executor::{Connect, Executor};
use super::failure::{BuildFailure, BuildFailureClass};
use super::http::Http;
use super::index::Index;
use super::index_settings::IndexSettings;
use super::interrupt::Interrupt;
use super::lock::{Lock, Setting};
use super::options::BuildOptions;
use super::progress::Progress;
use super::runner::Runner;
use super::sdists::Sdists;
use super::settings_layer::Environment;
use super::step::Customisation;
use super::uv::Uv;
use super::wheel_cache::WheelCache;
use crate::platform::{CompatibleTags, Glibc, Target};
use crate::sdist::interpreter::Interpreter;

/// Everything the sources of a run share.
pub(super) struct Builder {
    pub(super) options: BuildOptions,
    pub(super) cache: Arc<Cache>,
    pub(super) http: Arc<Http>,
    pub(super) index: Index,
    pub(super) settings: IndexSettings,
    pub(super) constraints: Constraints,
    pub(super) interpreter: Interpreter,
    pub(super) target: Target,
    /// The glibc that build requirements may need: they run here, whatever the wheel may need.
    pub(super) build_glibc: Option<Glibc>,
    pub(super) tags: CompatibleTags,
    pub(super) setting: Setting,
    pub(super) interrupt: Arc<Interrupt>,
    pub(super) downloads: Downloads,
    pub(super) sdists: Sdists,
    pub(super) wheels: WheelCache,
    pub(super) runner: Runner,
    pub(super) progress: Progress,
    /// The lock file as it was found.
    pub(super) lock: Option<Lock>,
    pub(super) customisation: Customisation,
    uv: OnceLock<Uv>,
}

impl Builder {
    /// Reads all configuration; fails on what would fail every source.
    pub(super) fn new(options: BuildOptions, connect: Connect) -> Result<Self, BuildFailure> {
        let cache = Arc::new(Cache::open(&options.cache_directory)?);
        let interrupt = Interrupt::install(cache.run_directory().to_owned())?;
        let interpreter =
            Interpreter::find(&options.python, cache.root()).map_err(|error| invalid(error.to_string()))?;
        let target = options.target.unwrap_or_else(|| interpreter.target());
        if target != interpreter.target() {
            let (python, has) = (interpreter.executable.display(), interpreter.target());
            return Err(invalid(format!("Python at {python} is for {has} and cannot build for {target}"))
                .with_hint("give a Python of that platform with --python"));
        }
        let environment = Environment::of_process();
        let netrc = environment.get("NETRC").map(PathBuf::from);
        let netrc = netrc.or_else(|| environment.home.as_ref().map(|home| home.join(".netrc")));
        let credentials = Arc::new(Credentials::with_netrc(netrc.as_deref()));
        let settings = IndexSettings::decide(&options.index, &environment, &credentials)?;
        let constraints = Constraints::read(&settings.constraints, &settings.inline_constraints)?;
        let http = Arc::new(Http::new(credentials, Arc::clone(&interrupt), settings.offline));
        let build_glibc = match (options.glibc, interpreter.glibc()) {
            (Some(wanted), Some(here)) => Some(wanted.min(here)),
            (_, here) => here,
        };
        let (major, minor, _) = interpreter.version;
        let lock = match &options.lock {
            Some(path) => Lock::read(path)?,
            None => None,
        };
        let sdists = Sdists::new(Arc::clone(&cache));
        let executor = Executor::start(connect, &options.placement, visible_paths(&options, &interpreter))?;
        Ok(Self {
            index: Index::new(Arc::clone(&http), settings.indexes.clone(), settings.find_links.clone()),
            tags: CompatibleTags::new((major, minor), &interpreter.abi_flags, target, build_glibc),
            setting: Setting { python: format!("{major}.{minor}"), target },
            downloads: Downloads::new(Arc::clone(&cache), Arc::clone(&http)),
            wheels: WheelCache::new(Arc::clone(&cache)),
            runner: Runner::new(executor, options.placement.clone(), Arc::clone(&interrupt), options.verbose),
            progress: Progress::on_stderr(options.verbose),
            customisation: options.customisation(&sdists)?,
            uv: OnceLock::new(),
            cache,
            http,
            settings,
            constraints,
            interpreter,
            target,
            build_glibc,
            interrupt,
            sdists,
            lock,
            options,
        })
    }

    /// uv, looked for when it is first needed.
    pub(super) fn uv(&self) -> Result<&Uv, BuildFailure> {
        if let Some(uv) = self.uv.get() {
            return Ok(uv);
        }
        let found = Uv::locate(&self.cache, &self.index, &self.downloads)?;
        Ok(self.uv.get_or_init(|| found))
    }
}

/// What steps must see of this machine wherever it is: the interpreter, and the user's tools.
fn visible_paths(options: &BuildOptions, interpreter: &Interpreter) -> Vec<PathBuf> {
    let executable = interpreter.executable.parent().map(Path::to_owned);
    let tools = options.tool_directories.iter().cloned();
    executable.into_iter().chain([interpreter.base_prefix.clone()]).chain(tools).collect()
}

fn invalid(message: String) -> BuildFailure {
    BuildFailure::new(BuildFailureClass::InvalidSource, message)
}

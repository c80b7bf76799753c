//! What the pools of a server turn out to be: what they offer, and what their actions see. Knows nothing of how
//! actions run.

use std::path::{Path, PathBuf};

use super::claims::{check_architecture, check_root, with_plain_paths};
use super::error::HostError;
use super::trial;
use crate::emulation::{EmulationHost, EmulationSupport};
use crate::execute::{ActionLimits, CrossCompiler, EXEC_ROOT};
use crate::platform::{Arch, NamedArch};
use crate::queue::{Pool, architectures};
use crate::rootfs::RootfsPlatform;
use crate::sandbox::{RootFileSystem, Spawner};
use crate::server::settings::{CrossCc, PoolSettings};

/// A pool that an operator asked for, with what could be found out about it.
#[derive(Debug, Clone)]
pub(crate) struct ProvenPool {
    pub pool: Pool,
    pub root: RootFileSystem,
    /// What its programs are for.
    pub arch: Arch,
    /// What each of its actions may take of the disk.
    pub limits: ActionLimits,
    /// The program that runs its programs, where the processor does not.
    pub emulator: Option<String>,
    /// For actions that run crosswheel.
    pub cross_compiler: Option<CrossCompiler>,
}

impl ProvenPool {
    /// # Errors
    /// [`HostError`] for what the pool wants and this host does not have.
    pub fn find(settings: &PoolSettings, spawner: &Spawner) -> Result<Self, HostError> {
        let namespaces = spawner.isolation().namespaces;
        let name = settings.name.clone();
        if settings.root.is_some() && !namespaces {
            return Err(HostError::RootWithoutNamespaces { pool: name });
        }
        if !settings.host_directories.is_empty() && !namespaces {
            return Err(HostError::HostDirectoriesWithoutNamespaces { pool: name });
        }
        let settings = &with_plain_paths(settings);
        check_root(settings, spawner.hidden())?;
        let root = settings.root.as_deref().unwrap_or(Path::new("/"));
        let platform = RootfsPlatform::of(root, &settings.host_directories)
            .map_err(|source| HostError::Root { pool: name.clone(), source })?;
        let given = |name: &str| {
            settings
                .properties
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        if platform.arch.is_none() && given("Arch").is_none() && given("ISA").is_none() {
            return Err(HostError::UnknownArch { pool: name, root: root.to_owned() });
        }
        check_architecture(settings, platform.arch)?;
        let mut said = architectures(&settings.properties).filter_map(NamedArch::of);
        // What its programs are, whatever it is said to offer.
        let arch = platform.arch.or_else(|| said.find_map(NamedArch::ours));
        let arch = arch.unwrap_or_else(Arch::host);
        let emulation = Emulation::find(arch, settings, spawner)?;
        // Where there is an emulator it has been tried. This host's own root can lack nothing, but it may have something at
        // the place of exec roots.
        let in_the_way = || Path::new(EXEC_ROOT).parent().is_some_and(Path::exists);
        let untried =
            emulation.emulator.is_none() && (emulation.root != RootFileSystem::Host || in_the_way());
        if namespaces && untried {
            let refused = |source| HostError::NotToBeShown { pool: name.clone(), source };
            emulation.root.check().map_err(refused)?;
            trial::run_a_program(spawner, &emulation.root, arch)
                .map_err(|problem| HostError::RunsNothing { pool: name.clone(), problem })?;
        }
        let cross_compiler = cross_compiler(settings, arch, &emulation.root, spawner)?;
        let emulated = emulation.emulator.as_ref().map(|_| ("emulated".to_owned(), "true".to_owned()));
        let found = platform.properties().into_iter().chain(emulated);
        let found = found.filter(|(name, _)| given(name).is_none());
        let pool = Pool {
            properties: found.chain(settings.properties.iter().cloned()).collect(),
            preference: settings.preference.unwrap_or(if emulation.emulator.is_some() { -1 } else { 0 }),
            slots: settings.slots.unwrap_or(1),
            timeouts: None,
            name,
        };
        Ok(Self {
            pool,
            root: emulation.root,
            arch,
            limits: settings.limits(),
            emulator: emulation.emulator,
            cross_compiler,
        })
    }
}

/// How the programs of a pool run.
struct Emulation {
    root: RootFileSystem,
    emulator: Option<String>,
}

impl Emulation {
    fn find(arch: Arch, settings: &PoolSettings, spawner: &Spawner) -> Result<Self, HostError> {
        let refused = |problem, mend| HostError::NoEmulation {
            pool: settings.name.clone(),
            arch: arch.property(),
            problem,
            mend,
        };
        let root = root_file_system(settings);
        // What this host itself is made of runs, as we do.
        let Some(directory) = &settings.root else { return Ok(Self { root, emulator: None }) };
        let (root, emulator, mend) = match EmulationHost::this().support(arch) {
            EmulationSupport::Native => return Ok(Self { root, emulator: None }),
            EmulationSupport::Registered { interpreter, .. } => {
                (root, file_name(&interpreter), register_by_hand(arch))
            }
            EmulationSupport::Private(emulator) => {
                let name = emulator.name();
                let root = RootFileSystem::Emulated { directory: directory.clone(), emulator };
                (root, name, register_by_hand(arch))
            }
            // A container does not see what the kernel outside has learnt.
            EmulationSupport::Impossible(obstacle) => {
                return match trial::run_a_program(spawner, &root, arch) {
                    Ok(()) => {
                        Ok(Self { root, emulator: Some("an emulator outside of this container".into()) })
                    }
                    Err(_) => Err(refused(obstacle.problem, obstacle.mend)),
                };
            }
        };
        trial::run_a_program(spawner, &root, arch).map_err(|problem| refused(problem, mend))?;
        Ok(Self { root, emulator: Some(emulator) })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn cross_compiler(
    settings: &PoolSettings,
    arch: Arch,
    root: &RootFileSystem,
    spawner: &Spawner,
) -> Result<Option<CrossCompiler>, HostError> {
    let (Some(wanted), Some(directory)) = (&settings.cross_cc, &settings.root) else { return Ok(None) };
    let pool = settings.name.clone();
    if arch == Arch::host() {
        return Err(HostError::NothingToCross { pool });
    }
    let program = match wanted {
        CrossCc::Default => None,
        CrossCc::Program(program) => Some(program.as_str()),
    };
    let found = CrossCompiler::find(program, arch, directory);
    let compiler = found.map_err(|source| HostError::CrossCompiler { pool: pool.clone(), source })?;
    trial::compile(spawner, root, &compiler).map_err(|problem| HostError::CrossCompilerFails {
        pool,
        root: directory.clone(),
        problem,
    })?;
    Ok(Some(compiler))
}

/// What helps where a sandbox may not register an emulator for itself.
fn register_by_hand(arch: Arch) -> String {
    format!("as root: crosswheel doctor --register-binfmt={}", arch.property())
}

fn root_file_system(pool: &PoolSettings) -> RootFileSystem {
    match (&pool.root, &*pool.host_directories) {
        (Some(root), _) => RootFileSystem::Directory(PathBuf::clone(root)),
        (None, []) => RootFileSystem::Host,
        (None, directories) => RootFileSystem::HostDirectories(directories.to_vec()),
    }
}

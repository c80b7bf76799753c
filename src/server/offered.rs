//! What the pools of a server turn out to be: what they offer, and what their actions see. Knows nothing of how
//! actions run.

use std::path::{Path, PathBuf};

use super::host::HostError;
use super::settings::PoolSettings;
use crate::emulation::{self, Support};
use crate::platform::Arch;
use crate::queue::Pool;
use crate::rootfs::Offer;
use crate::sandbox::{RootFileSystem, Spawner};

/// A pool that an operator asked for, with what could be found out about it.
#[derive(Debug, Clone)]
pub(super) struct OfferedPool {
    pub pool: Pool,
    pub root: RootFileSystem,
    /// The program that runs its programs, where the processor does not.
    pub emulator: Option<String>,
}

impl OfferedPool {
    /// # Errors
    /// [`HostError`] for what the pool wants and this host does not have.
    pub fn find(settings: &PoolSettings, spawner: &Spawner) -> Result<Self, HostError> {
        let namespaces = spawner.isolation().namespaces;
        let name = settings.name.clone();
        if settings.root.is_some() && !namespaces {
            return Err(HostError::RootWithoutNamespaces { pool: name });
        }
        let root = settings.root.as_deref().unwrap_or(Path::new("/"));
        // Without namespaces actions see all of this machine.
        let visible = if namespaces { &*settings.host_directories } else { &[] };
        let offer =
            Offer::of(root, visible).map_err(|source| HostError::Root { pool: name.clone(), source })?;
        let given = |name: &str| {
            settings
                .properties
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        if offer.arch.is_none() && given("Arch").is_none() && given("ISA").is_none() {
            return Err(HostError::UnknownArch { pool: name, root: root.to_owned() });
        }
        // What its programs are, whatever it is said to offer.
        let arch = offer.arch.or_else(|| Arch::from_property(given("Arch")?));
        let emulation = Emulation::find(arch.unwrap_or_else(Arch::host), settings, spawner)?;
        let emulated = emulation.emulator.as_ref().map(|_| ("emulated".to_owned(), "true".to_owned()));
        let found = offer.properties().into_iter().chain(emulated);
        let found = found.filter(|(name, _)| given(name).is_none());
        let pool = Pool {
            properties: found.chain(settings.properties.iter().cloned()).collect(),
            preference: settings.preference.unwrap_or(if emulation.emulator.is_some() { -1 } else { 0 }),
            slots: settings.slots.unwrap_or(1),
            timeouts: None,
            name,
        };
        Ok(Self { pool, root: emulation.root, emulator: emulation.emulator })
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
        match (emulation::Host::this().support(arch), &settings.root) {
            (Support::Native, _) => Ok(Self { root, emulator: None }),
            (Support::Registered { interpreter, .. }, _) => {
                let name = interpreter.file_name().unwrap_or(interpreter.as_os_str());
                Ok(Self { root, emulator: Some(name.to_string_lossy().into_owned()) })
            }
            (Support::Private(emulator), Some(directory)) => {
                let name = emulator.name();
                let root = RootFileSystem::Emulated { directory: directory.clone(), emulator };
                spawner
                    .try_root(&root)
                    .map_err(|error| refused(error.to_string(), register_by_hand(arch)))?;
                Ok(Self { root, emulator: Some(name) })
            }
            // This host's own programs are for another architecture than we are: somebody registered an
            // emulator already, and us.
            (Support::Private(_), None) => Ok(Self { root, emulator: None }),
            (Support::Impossible(obstacle), _) => Err(refused(obstacle.problem, obstacle.mend)),
        }
    }
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

//! What this host allows, found out by trying, and commands started with it. Knows nothing of how a sandbox is built.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::control_group::ControlGroups;
use super::error::SandboxError;
use super::limits::ResourceLimits;
use super::message::{Command, Network, Request};
use super::own_executable::OwnExecutable;
use super::set_up::Loss;
use super::spec::{RootFileSystem, Spec};
use super::text::Text;
use super::tree::ProcessTree;
use super::view;
use super::zygote::{Allowed, Zygote, open_null};
use super::zygote_pool::PoolSlot;
use crate::contract::SandboxMode;
use crate::emulation::Emulator;

/// What stands between a command and the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// Whether commands get their own view of the file system, processes and users. If not, there are no
    /// fixed paths.
    pub namespaces: bool,
    /// What cuts off the network, for commands that must do without.
    pub network: NetworkIsolation,
    /// Whether commands can have overlays. Even so the file system of an upper directory may not do for one;
    /// a command that asks for such an overlay is refused.
    pub overlays: bool,
    /// Which limits of a command the kernel holds, by a control group. The others hold because somebody measures, a few
    /// dozen times a second.
    pub kernel_limits: KernelLimits,
    /// What the mode asked for and the host refused, in words for a log.
    pub lost: Vec<String>,
}

/// Limits that the kernel holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KernelLimits {
    /// That of memory.
    pub memory: bool,
    /// That of processes.
    pub processes: bool,
}

/// What cuts off the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkIsolation {
    /// A network of its own with nothing but a loopback interface.
    Namespace,
    /// No sockets but unix and netlink ones, so no loopback either. The filter knows the system calls of this
    /// architecture only: 32-bit programs are killed by it.
    Seccomp,
    /// Nothing does.
    None,
}

/// A way to run commands on this host.
#[derive(Debug, Clone)]
pub struct Sandbox {
    init_executable: OwnExecutable,
    isolation: Isolation,
    /// Directories of which no command sees anything; without links.
    hidden: Vec<PathBuf>,
    /// Where commands get control groups of their own; none for who runs only one, or may make none.
    groups: Option<ControlGroups>,
}

/// A sandbox that stands ready for one command. It is a copy of the host's mounts as they were when it was
/// made, so it should not be kept for long; dropping it ends it.
#[derive(Debug)]
pub struct PreparedSandbox {
    sandbox: Sandbox,
    /// None where even trying went wrong, but in a way that the mode puts up with.
    zygote: Option<Zygote>,
}

impl Isolation {
    /// Nothing stands between a command and the host.
    fn none() -> Self {
        Self {
            namespaces: false,
            network: NetworkIsolation::None,
            overlays: false,
            kernel_limits: KernelLimits::default(),
            lost: Vec::new(),
        }
    }
}

impl Sandbox {
    /// Finds out what this host allows by building a sandbox without a command in it, which takes as long as
    /// starting a command. `init_executable` is a program that calls [`run_init`](super::init::run) when its
    /// only argument is `sandbox-init`: ours.
    ///
    /// The answer holds for all later commands: one that cannot have it any more is an error and is not run
    /// with less, because its paths depend on what was promised here.
    ///
    /// # Errors
    /// [`SandboxError::NamespacesUnavailable`] if `mode` requires them; whatever keeps `init_executable` from
    /// starting; that this host has run out of something, even after some time ([`SandboxError::is_passing`]).
    pub fn detect(mode: SandboxMode, init_executable: OwnExecutable) -> Result<Self, SandboxError> {
        Self::detect_hiding(mode, init_executable, &[])
    }

    /// As [`Sandbox::detect`]; `hidden` is as for [`Sandbox::prepare`].
    ///
    /// # Errors
    /// Those of [`Sandbox::detect`].
    pub fn detect_hiding(
        mode: SandboxMode,
        init_executable: OwnExecutable,
        hidden: &[PathBuf],
    ) -> Result<Self, SandboxError> {
        let PreparedSandbox { sandbox, zygote } = Self::prepare(mode, init_executable, hidden)?;
        zygote.map(Zygote::dismiss).transpose()?;
        Ok(sandbox)
    }

    /// As [`Sandbox::detect`], but keeps what was built for a command to run in. With namespaces, no command sees
    /// anything of the directories `hidden`, by whatever path, but what a [`Spec`] names.
    ///
    /// # Errors
    /// Those of [`Sandbox::detect`].
    pub fn prepare(
        mode: SandboxMode,
        init_executable: OwnExecutable,
        hidden: &[PathBuf],
    ) -> Result<PreparedSandbox, SandboxError> {
        Self::prepare_for(mode, init_executable, hidden, false)
    }

    /// As [`Sandbox::prepare`], for commands one after another. Also tells what cuts them off from the network.
    pub(super) fn prepare_for_many(
        mode: SandboxMode,
        init_executable: OwnExecutable,
        hidden: &[PathBuf],
    ) -> Result<(Self, Option<Zygote>, Network), SandboxError> {
        let PreparedSandbox { sandbox, zygote } = Self::prepare_for(mode, init_executable, hidden, true)?;
        let network = sandbox.closed_network();
        Ok((sandbox, zygote, network))
    }

    fn prepare_for(
        mode: SandboxMode,
        init_executable: OwnExecutable,
        hidden: &[PathBuf],
        serial: bool,
    ) -> Result<PreparedSandbox, SandboxError> {
        let hidden = view::hidden(hidden);
        let groups = if serial { ControlGroups::find() } else { None };
        let mut isolation = Isolation::none();
        isolation.kernel_limits.memory = groups.as_ref().is_some_and(ControlGroups::bounds_memory);
        isolation.kernel_limits.processes = groups.as_ref().is_some_and(ControlGroups::bounds_processes);
        let mut sandbox = Self { init_executable, isolation, hidden, groups };
        if mode != SandboxMode::Off {
            sandbox.isolation.namespaces = true;
            let request = sandbox.request(Network::Namespace, &RootFileSystem::Host, serial)?;
            match Zygote::start_patiently(&sandbox.init_executable, &request, sandbox.groups.as_ref()) {
                Ok((zygote, Allowed { overlays, lost })) => {
                    sandbox.isolation.network = NetworkIsolation::Namespace;
                    sandbox.isolation.overlays = overlays;
                    sandbox.isolation.lost = said(&lost);
                    return Ok(PreparedSandbox { sandbox, zygote: Some(zygote) });
                }
                Err(refused) => {
                    let reason = refused_by_host(refused)?;
                    if mode == SandboxMode::Required {
                        return Err(SandboxError::NamespacesUnavailable { reason, remedy: remedy() });
                    }
                    sandbox.isolation.lost.push(format!("namespaces: {reason}"));
                }
            }
        }
        sandbox.without_namespaces(serial)
    }

    fn without_namespaces(mut self, serial: bool) -> Result<PreparedSandbox, SandboxError> {
        self.isolation.namespaces = false;
        let request = self.request(Network::Seccomp, &RootFileSystem::Host, serial)?;
        let zygote = match Zygote::start_patiently(&self.init_executable, &request, self.groups.as_ref()) {
            Ok((zygote, _)) => {
                self.isolation.network = NetworkIsolation::Seccomp;
                Some(zygote)
            }
            Err(refused) => {
                self.isolation.lost.push(format!("network isolation: {}", refused_by_host(refused)?));
                None
            }
        };
        Ok(PreparedSandbox { sandbox: self, zygote })
    }

    /// What every command of this sandbox gets.
    pub fn isolation(&self) -> &Isolation {
        &self.isolation
    }

    /// Directories of which no command sees anything; without links.
    pub(super) fn hidden(&self) -> &[PathBuf] {
        &self.hidden
    }

    /// Starts a command; returns when it runs.
    ///
    /// # Errors
    /// [`SandboxError::Program`] if it cannot be started, [`SandboxError::SetUp`] if what it is to see cannot
    /// be arranged.
    pub fn spawn(&self, spec: Spec) -> Result<ProcessTree, SandboxError> {
        self.spawn_in(|| None, None, spec)
    }

    /// Starts a command in the zygote that `find` finds, or in a new one; it goes back to `pool` when the command
    /// has ended.
    pub(super) fn spawn_in(
        &self,
        find: impl FnOnce() -> Option<Zygote>,
        pool: Option<PoolSlot>,
        spec: Spec,
    ) -> Result<ProcessTree, SandboxError> {
        let namespaces = self.isolation.namespaces;
        spec.check(namespaces)?;
        self.check_overlays(&spec)?;
        let mounts = if namespaces { view::mounts(&spec, &self.hidden)? } else { Vec::new() };
        let zygote = match find() {
            Some(zygote) => zygote,
            None => {
                let request = self.request(self.network(&spec), &spec.root, pool.is_some())?;
                Zygote::start_patiently(&self.init_executable, &request, self.groups.as_ref())?.0
            }
        };
        let null;
        let stdin = match &spec.stdin {
            Some(stdin) => stdin.as_fd(),
            None => {
                null = open_null("open /dev/null for")?;
                null.as_fd()
            }
        };
        let stderr = spec.stderr.as_ref().unwrap_or(&spec.stdout);
        let streams = [stdin, spec.stdout.as_fd(), stderr.as_fd()];
        ProcessTree::start(zygote, pool, &Command::new(&spec, mounts), streams)
    }

    /// Finds out whether commands may have `emulator`, by building a sandbox without a command in it.
    ///
    /// # Errors
    /// The step that this host did not allow.
    pub fn try_emulator(&self, emulator: &Emulator) -> Result<(), SandboxError> {
        let (directory, emulator) = ("/usr".into(), emulator.clone());
        let root = RootFileSystem::Emulated { directory, emulator };
        let request = self.request(self.closed_network(), &root, false)?;
        Zygote::start_patiently(&self.init_executable, &request, self.groups.as_ref())?.0.dismiss().map(drop)
    }

    fn request(
        &self,
        network: Network,
        root: &RootFileSystem,
        serial: bool,
    ) -> Result<Request, SandboxError> {
        let emulator = root.emulator().map(view::emulator).transpose()?;
        Ok(Request {
            namespaces: self.isolation.namespaces,
            network,
            root: view::root(root)?,
            emulator,
            serial,
            hidden: self.hidden.iter().map(Text::from).collect(),
            private_bytes: ResourceLimits::default().private_bytes(),
        })
    }

    /// What is to stand between a command and the network.
    pub(super) fn network(&self, spec: &Spec) -> Network {
        if spec.network { Network::Open } else { self.closed_network() }
    }

    fn closed_network(&self) -> Network {
        match self.isolation.network {
            NetworkIsolation::Namespace => Network::Namespace,
            NetworkIsolation::Seccomp => Network::Seccomp,
            NetworkIsolation::None => Network::Open,
        }
    }

    fn check_overlays(&self, spec: &Spec) -> Result<(), SandboxError> {
        match spec.overlays.first() {
            Some(overlay) if !self.isolation.overlays => {
                let inside = overlay.inside.clone();
                Err(SandboxError::NoOverlays { inside, reason: self.isolation.lost.join("; ") })
            }
            _ => Ok(()),
        }
    }
}

impl PreparedSandbox {
    /// What the command gets.
    pub fn isolation(&self) -> &Isolation {
        &self.sandbox.isolation
    }

    /// As [`Sandbox::spawn`], in what stands ready, unless that is cut off from the network that the command
    /// may use, or has another root.
    ///
    /// # Errors
    /// Those of [`Sandbox::spawn`].
    pub fn spawn(self, spec: Spec) -> Result<ProcessTree, SandboxError> {
        let Self { sandbox, zygote } = self;
        let fits = !spec.network && spec.root == RootFileSystem::Host;
        sandbox.spawn_in(|| zygote.filter(|_| fits), None, spec)
    }
}

fn said(lost: &[Loss]) -> Vec<String> {
    lost.iter().map(Loss::to_string).collect()
}

/// The reason, if it is the host that refused, and always would; the error itself if it has only run out of something,
/// or if the init could not even try. An init that ended counts as refused, unless it was short of memory: a seccomp
/// policy may kill instead of returning an error.
fn refused_by_host(error: SandboxError) -> Result<String, SandboxError> {
    match error {
        _ if error.is_passing() => Err(error),
        SandboxError::SetUp(_) | SandboxError::InitDied { .. } => Ok(error.to_string()),
        other => Err(other),
    }
}

/// What the operator of a host without namespaces can do, from the settings that usually forbid them.
fn remedy() -> String {
    let forbidding = [
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user/max_user_namespaces", "0", "65536"),
    ];
    let mut remedies: Vec<String> = forbidding
        .iter()
        .filter(|(setting, forbidden, _)| {
            fs_err::read_to_string(Path::new("/proc/sys").join(setting))
                .is_ok_and(|value| value.trim() == *forbidden)
        })
        .map(|(setting, _, allowing)| format!("set sysctl {}={allowing}", setting.replace('/', ".")))
        .collect();
    if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        remedies.push(
            "start this container with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --security-opt systempaths=unconfined`"
                .to_owned(),
        );
    }
    if remedies.is_empty() {
        remedies.push("let this user create user namespaces".to_owned());
    }
    format!("To get one, {}; to do without, use the sandbox mode `auto` or `off`", remedies.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_they_are_written() {
        for mode in [SandboxMode::Auto, SandboxMode::Required, SandboxMode::Off] {
            assert_eq!(mode.to_string().parse::<SandboxMode>().unwrap(), mode);
        }
        assert!("on".parse::<SandboxMode>().is_err());
    }

    #[test]
    fn an_init_that_cannot_be_started_is_an_error_in_every_mode() {
        for mode in [SandboxMode::Auto, SandboxMode::Required, SandboxMode::Off] {
            let error = Sandbox::detect(mode, "/no/such/init".into()).unwrap_err();
            assert!(matches!(error, SandboxError::StartInit { .. }), "{error}");
        }
    }

    #[test]
    fn a_program_that_is_no_init_is_reported_with_what_it_said() {
        let error = Sandbox::detect(SandboxMode::Off, "/bin/ls".into()).map(|sandbox| sandbox.isolation);
        match error {
            // `ls sandbox-init` complains on stderr, which is the control socket.
            Ok(Isolation { network: NetworkIsolation::None, lost, .. }) => {
                assert!(lost[0].contains("sandbox-init"), "{lost:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

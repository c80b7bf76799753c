//! Attacks a sandbox and judges what came of it. Knows nothing of how the attacks are made.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::attacker::{Attack, Prize};
use super::scene::Scene;
use crate::contract::SandboxMode;
use crate::deadline;
use crate::finding::Finding;
use crate::sandbox::{Exit, OwnExecutable, ResourceLimits, RootFileSystem, SandboxError, Spawner, Spec};

/// How long an attack may take. None needs more than a second on a machine at rest.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is allowed where a limit is to be met.
const MEMORY: u64 = 64 << 20;
const PROCESSES: u64 = 40;

/// Each promise, in the order in which it is shown, and what is lost if it does not hold.
const PROMISES: [(Prize, &str, &str); 10] = [
    (Prize::WriteFiles, "files of the host cannot be written", "can write to files of the host"),
    (Prize::SeeStore, "the store cannot be seen", "sees the store, and what others keep in it"),
    (Prize::ConnectUnixSocket, "unix sockets cannot be reached", "can connect to unix sockets of the host"),
    (Prize::ConnectLoopback, "the network cannot be reached", "can connect to the host's loopback interface"),
    (
        Prize::LeaveNetwork,
        "no socket leads past the network",
        "can make sockets that no network namespace holds",
    ),
    (Prize::SignalProcess, "processes cannot be signalled", "can signal processes of the host"),
    (Prize::LockFile, "locks are not shared", "can lock files that the host uses"),
    (Prize::OpenDisk, "there are no disks", "finds disks of the host"),
    (Prize::HavePrivileges, "there are no privileges", "has privileges, or may gain some"),
    (Prize::MakeCgroupNamespace, "control groups cannot be mounted", "can mount the host's control groups"),
];

/// What a command that is attacked with can be had for, on this host, in as much of a sandbox as it allows. The scene is
/// made in `cache`.
///
/// # Errors
/// In words, if nothing can be tried.
pub fn try_to_break(cache: &Path) -> Result<Vec<Finding>, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let scene = Scene::build(cache).map_err(|error| words(&error))?;
    let own = OwnExecutable::running().map_err(|error| words(&error))?;
    let hidden = [scene.targets.store.clone()];
    let spawner = Spawner::detect(SandboxMode::Auto, own.clone(), &hidden).map_err(|error| words(&error))?;
    // Whoever has the same lock would have to wait.
    let held = fs_err::File::open(&scene.targets.file).map_err(|error| words(&error))?;
    held.file().try_lock().map_err(|error| words(&error))?;
    let trial = Trial { spawner, program: own.file().to_owned() };
    trial.findings(&scene)
}

struct Trial {
    spawner: Spawner,
    program: PathBuf,
}

impl Trial {
    fn findings(&self, scene: &Scene) -> Result<Vec<Finding>, String> {
        let started = Instant::now();
        let (exit, said) = self.run(&Attack::Everything(scene.targets.clone()), ResourceLimits::default())?;
        let got: Vec<(Prize, String)> = serde_json::from_slice(&said)
            .map_err(|error| format!("the attacker did not say what it found ({error}): {exit:?}"))?;
        let mut findings: Vec<Finding> = PROMISES.iter().map(|promise| self.judge(*promise, &got)).collect();
        // Its output has ended, which the process that it left behind held open.
        let lingered = started.elapsed() > PATIENCE;
        findings.push(self.finding(
            "nothing outlives a command",
            (!lingered).then_some("a process that it left behind was killed"),
            "leaves processes behind",
        ));
        let limits = ResourceLimits { memory: Some(MEMORY), ..ResourceLimits::default() };
        findings.push(self.limit("memory is limited", &Attack::Memory, limits)?);
        if self.spawner.isolation().namespaces {
            findings.push(self.directory_in_memory(limits)?);
        }
        let limits = ResourceLimits { processes: Some(PROCESSES), ..ResourceLimits::default() };
        findings.push(self.limit("processes are limited", &Attack::Threads, limits)?);
        Ok(findings)
    }

    fn judge(&self, (prize, promise, loss): (Prize, &str, &str), got: &[(Prize, String)]) -> Finding {
        match got.iter().find(|(won, _)| *won == prize) {
            None => Finding::works(promise, "tried, in vain"),
            Some((_, how)) => self.finding(promise, None, &format!("{loss}: {how}")),
        }
    }

    fn limit(&self, promise: &str, attack: &Attack, limits: ResourceLimits) -> Result<Finding, String> {
        let (exit, _) = self.run(attack, limits)?;
        let kernel = self.spawner.isolation().kernel_limits;
        let held = if matches!(attack, Attack::Memory) { kernel.memory } else { kernel.processes };
        let by = if held { "by a control group, and measured" } else { "as it is measured, every 20 ms" };
        let met = exit.met.map(|met| format!("{by}: {met}"));
        Ok(self.finding(promise, met.as_deref(), "may take all there is"))
    }

    /// A directory in memory is full before it is too much, or its command is ended.
    fn directory_in_memory(&self, limits: ResourceLimits) -> Result<Finding, String> {
        let started = Instant::now();
        let (exit, _) = self.run(&Attack::Directory, limits)?;
        // Who could fill it has taken no time to wait.
        let full = started.elapsed() > Duration::from_secs(1);
        let how = match exit.met {
            Some(met) => Some(met.to_string()),
            None => full.then(|| format!("it was full at {MEMORY} bytes")),
        };
        Ok(self.finding("directories in memory are limited", how.as_deref(), "may take all there is"))
    }

    /// `held` is how the promise was kept.
    fn finding(&self, promise: &str, held: Option<&str>, loss: &str) -> Finding {
        let isolation = self.spawner.isolation();
        match held {
            Some(how) => Finding::works(promise, how),
            None if !isolation.namespaces => Finding::limited(
                promise,
                format!("not promised without namespaces: a command {loss}"),
                "see what `crosswheel doctor` says of the sandbox",
            ),
            None => Finding::broken(
                promise,
                format!("a command {loss}{}", lost(&isolation.lost)),
                "run nothing here that you do not trust, and report this",
            ),
        }
    }

    /// Runs the attacker to its end; returns what it said.
    fn run(&self, attack: &Attack, limits: ResourceLimits) -> Result<(Exit, Vec<u8>), String> {
        let attempt = || -> Result<(Exit, Vec<u8>), RunError> {
            let (stdin, mut input) = io::pipe()?;
            let (mut output, stdout) = io::pipe()?;
            input.write_all(&serde_json::to_vec(attack).map_err(io::Error::other)?)?;
            drop(input);
            let tree = self.spawner.spawn(Spec {
                argv: vec![self.program.clone().into(), "doctor".into(), "--attack".into()],
                env: BTreeMap::new(),
                working_directory: "/".into(),
                root: RootFileSystem::Host,
                overlays: Vec::new(),
                binds: Vec::new(),
                visible_host_paths: vec![self.program.clone()],
                stdin: Some(stdin.into()),
                stdout: stdout.into(),
                stderr: None,
                network: false,
                limits,
            })?;
            std::thread::scope(|scope| {
                let said = scope.spawn(move || {
                    let mut said = Vec::new();
                    output.read_to_end(&mut said).map(|_| said)
                });
                let exit = tree.wait(Some(deadline::after(Instant::now(), PATIENCE)))?;
                Ok((exit, said.join().unwrap_or_else(|_| Ok(Vec::new()))?))
            })
        };
        attempt().map_err(|error| error.to_string())
    }
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

fn lost(lost: &[String]) -> String {
    if lost.is_empty() { String::new() } else { format!(" (this host does not allow {})", lost.join("; ")) }
}

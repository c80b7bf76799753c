//! Programs of other architectures: whether pools for them are possible here, and how the kernel is taught.

use crate::contract::SandboxMode;
use crate::emulation::{
    BINFMT_MISC, EmulationHost, EmulationSupport, Emulator, Registered, RegistrationError, register,
    runs_here,
};
use crate::finding::Finding;
use crate::platform::Arch;
use crate::sandbox::{OwnExecutable, Sandbox};

/// Whether programs for `arch` run here, in pools with a root file system of that architecture.
pub(super) fn emulation(arch: Arch) -> Finding {
    let subject = format!("{} emulation", arch.property());
    match EmulationHost::this().support(arch) {
        EmulationSupport::Native => Finding::works(&subject, "not needed: that is what this machine is"),
        EmulationSupport::Registered { name, interpreter } => Finding::works(
            &subject,
            format!("{} is registered with the kernel (binfmt_misc: {name})", interpreter.display()),
        ),
        EmulationSupport::Private(emulator) => private(&subject, &emulator),
        // A container does not see what the kernel outside has learnt.
        EmulationSupport::Impossible(_) if runs_here(arch) => {
            Finding::works(&subject, "registered with the kernel, outside of this container")
        }
        EmulationSupport::Impossible(obstacle) => Finding::limited(&subject, obstacle.problem, obstacle.mend),
    }
}

/// Tries it: whether a sandbox may register an emulator depends on more than the version of the kernel.
fn private(subject: &str, emulator: &Emulator) -> Finding {
    let program = emulator.program.display();
    let attempt = OwnExecutable::running()
        .map_err(|error| error.to_string())
        .and_then(|own| Sandbox::detect(SandboxMode::Required, own).map_err(|error| error.to_string()))
        .and_then(|sandbox| sandbox.try_emulator(emulator).map_err(|error| error.to_string()));
    match attempt {
        Ok(()) => Finding::works(
            subject,
            format!(
                "in pools and sandboxes of crosswheel, which register {program} for themselves; not registered for \
                 other programs of this machine (crosswheel doctor --register-binfmt does that, as root)"
            ),
        ),
        Err(problem) => Finding::limited(
            subject,
            format!("{program} is not registered with the kernel, and sandboxes cannot do it: {problem}"),
            format!("as root: crosswheel doctor --register-binfmt={}", emulator.arch.property()),
        ),
    }
}

/// What came of [`register_binfmt`].
#[derive(Debug, serde::Serialize)]
pub struct BinfmtRegistration {
    pub arch: &'static str,
    /// The entry below `/proc/sys/fs/binfmt_misc`.
    pub name: String,
    /// The program that is started for such programs.
    pub interpreter: String,
    /// Whether it was there before, so that nothing was done.
    pub already: bool,
    /// The command that takes it back.
    pub undo: String,
}

/// Why nothing could be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterBinfmtError {
    #[error("programs for {0} need no emulator here: that is what this machine is")]
    Native(&'static str),

    #[error("there is no emulator to register: {problem}. To mend it: {mend}")]
    NoEmulator { problem: String, mend: String },

    #[error(transparent)]
    Registration(#[from] RegistrationError),

    #[error(
        "registered as {name}, but a program for {arch} does not run all the same; is {interpreter} working? \
         Take it back with: {undo}"
    )]
    NoEffect { name: String, arch: &'static str, interpreter: String, undo: String },
}

/// Registers the emulator for `arch` with the kernel, for all programs of this machine, until it restarts.
///
/// # Errors
/// [`RegisterBinfmtError`] says which step failed; most take root.
pub fn register_binfmt(arch: Arch) -> Result<BinfmtRegistration, RegisterBinfmtError> {
    if arch == Arch::host() {
        return Err(RegisterBinfmtError::Native(arch.property()));
    }
    let host = EmulationHost::this();
    // One that is registered needs no emulator that we could find.
    let emulator = match (host.support(arch), host.emulator(arch)) {
        (EmulationSupport::Registered { interpreter, .. }, _) => Emulator { arch, program: interpreter },
        (_, Ok(emulator)) => emulator,
        (_, Err(obstacle)) => {
            return Err(RegisterBinfmtError::NoEmulator { problem: obstacle.problem, mend: obstacle.mend });
        }
    };
    let (name, already) = match register(&host, &emulator)? {
        Registered::Before { name } => (name, true),
        Registered::Now { name } => (name, false),
    };
    let undo = format!("echo -1 > {BINFMT_MISC}/{name}");
    let interpreter = emulator.program.display().to_string();
    let arch_name = arch.property();
    if !runs_here(arch) {
        return Err(RegisterBinfmtError::NoEffect { name, arch: arch_name, interpreter, undo });
    }
    Ok(BinfmtRegistration { arch: arch_name, name, interpreter, already, undo })
}

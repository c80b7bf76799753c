//! Teaches the kernel of this machine, for all its processes and until it restarts. Takes root. Knows nothing of
//! the tables of single sandboxes.

use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount};

use super::emulator::{Emulator, registered_name};
use super::host::EmulationHost;

/// What came of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// There was one already that works in any root file system; nothing was done.
    Before { name: String },
    /// It was made, perhaps in place of one that was of no use.
    Now { name: String },
}

/// Why an emulator could not be registered.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(
        "the path {program} cannot be written in a line for binfmt_misc; give the emulator a shorter, simpler one"
    )]
    Path { program: String },

    #[error(
        "cannot {doing}: {source}{}",
        if privileged(.source) { "; this changes the kernel's settings for the whole machine, so run it as root" } else { "" }
    )]
    Io { doing: String, source: io::Error },
}

fn privileged(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Registers `emulator` with the binfmt_misc that `host` names, which is mounted first if it is not. Does nothing
/// where programs for its architecture run already.
///
/// # Errors
/// [`RegistrationError`] names the step; most take root.
pub fn register(host: &EmulationHost, emulator: &Emulator) -> Result<Registered, RegistrationError> {
    let directory = host.binfmt_misc.as_path();
    if !host.has_binfmt_misc() {
        mount_binfmt_misc(directory)?;
    }
    let name = registered_name(emulator.arch);
    if let Some((found, entry)) = host.entry(emulator.arch)
        && entry.works_in_any_root()
    {
        if entry.enabled {
            return Ok(Registered::Before { name: found });
        }
        write(directory, "status", b"1")?;
        write(directory, &found, b"1")?;
        return Ok(Registered::Now { name: found });
    }
    let line = emulator
        .registration()
        .ok_or_else(|| RegistrationError::Path { program: emulator.program.display().to_string() })?;
    if directory.join(&name).exists() {
        // -1 removes an entry.
        write(directory, &name, b"-1")?;
    }
    write(directory, "status", b"1")?;
    write(directory, "register", &line)?;
    Ok(Registered::Now { name })
}

fn mount_binfmt_misc(directory: &Path) -> Result<(), RegistrationError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("binfmt_misc", directory, "binfmt_misc", flags, None).map_err(|error| RegistrationError::Io {
        doing: format!("mount binfmt_misc on {}", directory.display()),
        source: error.into(),
    })
}

/// In one go, as the kernel wants it.
fn write(directory: &Path, file: &str, text: &[u8]) -> Result<(), RegistrationError> {
    let path = directory.join(file);
    // Files there cannot be made, or cut.
    let write = || {
        use std::io::Write;
        fs_err::OpenOptions::new().write(true).open(&path)?.write_all(text)
    };
    let text = String::from_utf8_lossy(text);
    write().map_err(|source| RegistrationError::Io {
        doing: format!("register with the kernel (write {text:?})"),
        source,
    })
}

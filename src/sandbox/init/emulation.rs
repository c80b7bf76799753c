//! Has the kernel run programs of another architecture, for this user namespace and those within it. Knows nothing
//! of those programs.
//!
//! The registration is as good as the file system in which it was made: it ends when the last mount and the last
//! open file of it are gone. So it is kept open by the zygote, which outlives all its commands, and is mounted
//! nowhere: no command can reach it. A command may mount one of its own, in a user namespace of its own, and
//! misguide its own children.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::thread::UnshareFlags;

use super::namespaces;
use super::root::make_private;
use super::step::Step;
use crate::sandbox::message::Registration;
use crate::sandbox::set_up::{SetUpFailure, SetUpStep};

/// Registers an emulator in a binfmt_misc of a new user namespace, into which this process moves, while the host's
/// root is still ours: the kernel opens the emulator at once. The registration lasts as long as what is returned, and
/// is good for the user namespaces within that one. What commands get is one of those, as the files of a
/// binfmt_misc belong to the user 0, whom commands are not to be.
pub(super) fn register(registration: &Registration) -> Result<OwnedFd, SetUpFailure> {
    namespaces::enter(UnshareFlags::NEWUSER | UnshareFlags::NEWNS, 0)?;
    make_private("/")?;
    // Any directory would do; `/proc` was just used, so it is there.
    let place = Path::new("/proc");
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("binfmt_misc", place, "binfmt_misc", flags, None).step(SetUpStep::MountBinfmtMisc)?;
    let registered = write(place, registration);
    let opened = rustix::fs::open(place, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .step(SetUpStep::KeepBinfmtMiscOpen);
    unmount(place, UnmountFlags::DETACH).step(SetUpStep::UnmountBinfmtMisc)?;
    registered?;
    opened
}

fn write(directory: &Path, registration: &Registration) -> Result<(), SetUpFailure> {
    let write = || -> std::io::Result<()> {
        // The step says what is written, so an error of the standard library, with the kernel's number, will do.
        let mut file = std::fs::OpenOptions::new().write(true).open(directory.join("register"))?;
        // In one go, as the kernel wants it.
        file.write_all(registration.line.0.as_encoded_bytes())
    };
    write().step_with(|| SetUpStep::RegisterEmulator { name: registration.name.clone() })
}

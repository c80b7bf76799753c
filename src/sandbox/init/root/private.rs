//! Directories in memory that are a command's own. They are parts of one file system, so that they are bounded together,
//! and cost what one costs. Knows nothing of what is put there.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, chmod, mkdir, open};
use rustix::mount::mount_bind;

use super::mounts::{mount_tmpfs, resize_tmpfs};
use crate::sandbox::init::step::Step;
use crate::sandbox::set_up::{SetUpFailure, SetUpStep};
use crate::sandbox::spec::PRIVATE_DIRECTORIES;

/// Where the file system is mounted, and then one of its parts over it.
const PLACE: &str = "/tmp";

const SHARED_MEMORY: &str = "/dev/shm";

/// The directories of one command, but for shared memory, whose place is taken until the host's root is gone.
pub(super) struct PrivateDirectories {
    shared_memory: OwnedFd,
}

impl PrivateDirectories {
    /// Mounts them, with room for so many bytes in all.
    pub(super) fn mount(bytes: u64) -> Result<Self, SetUpFailure> {
        mount_tmpfs(PLACE, 0o755, bytes)?;
        let shared_memory = part(SHARED_MEMORY, 0o1777)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let shared_memory = open(&*shared_memory, flags, Mode::empty())
            .step_with(|| SetUpStep::Open { path: SHARED_MEMORY.into() })?;
        // That which covers the others goes last.
        for directory in
            PRIVATE_DIRECTORIES.into_iter().filter(|directory| *directory != PLACE).chain([PLACE])
        {
            // One that is missing, as /var/tmp may be in a small root, cannot be made; a link leads to another
            // directory, which is private or protected itself.
            if fs_err::symlink_metadata(directory).is_ok_and(|found| found.is_dir()) {
                let part = part(directory, if directory == "/run" { 0o755 } else { 0o1777 })?;
                mount_bind(part, directory).step_with(|| SetUpStep::Bind { inside: directory.into() })?;
            }
        }
        Ok(Self { shared_memory })
    }

    /// Leaves room for no more than so many bytes in all.
    pub(super) fn resize(&self, bytes: u64) -> Result<(), SetUpFailure> {
        resize_tmpfs(Path::new(PLACE), bytes)
    }

    /// Mounts what has not been; returns a directory by which the file system can be measured.
    pub(super) fn finish(self) -> Result<&'static str, SetUpFailure> {
        // It has no other path any more.
        let source = format!("/proc/self/fd/{}", self.shared_memory.as_raw_fd());
        mount_bind(source, SHARED_MEMORY).step_with(|| SetUpStep::Bind { inside: SHARED_MEMORY.into() })?;
        Ok(PLACE)
    }
}

/// Makes the part of the file system that is to be seen at `directory`.
fn part(directory: &str, mode: u32) -> Result<String, SetUpFailure> {
    let path = format!("{PLACE}/{}", directory.trim_matches('/').replace('/', "-"));
    let make = || -> rustix::io::Result<()> {
        mkdir(&*path, Mode::RWXU)?;
        // Whatever the umask.
        chmod(&*path, Mode::from_raw_mode(mode))
    };
    make().step_with(|| SetUpStep::Create { inside: (&path).into() })?;
    Ok(path)
}

//! What the kernel allows: namespaces, overlayfs; and the disk.

use std::ffi::CString;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::statvfs;
use rustix::mount::{MountFlags, mount};

use crate::contract::SandboxMode;
use crate::finding::Finding;
use crate::sandbox::{OwnExecutable, Sandbox, enter_user_and_mount_namespaces};
use crate::scratch::temporary::TemporaryDirectory;

const GIBIBYTE: u64 = 1 << 30;

/// Whether builds can be cut off from this host.
pub(super) fn namespaces() -> Finding {
    let subject = "sandbox";
    let mend = "allow user namespaces: `sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=65536` (with AppArmor also `kernel.apparmor_restrict_unprivileged_userns=0`), or run the container with them allowed";
    let detected = OwnExecutable::running().map_err(|error| error.to_string()).and_then(|own_executable| {
        Sandbox::detect(SandboxMode::Auto, own_executable).map_err(|error| error.to_string())
    });
    match detected {
        Ok(sandbox) if sandbox.isolation().namespaces && sandbox.isolation().lost.is_empty() => {
            Finding::works(subject, "user, mount, pid, network, ipc and uts namespaces work")
        }
        Ok(sandbox) if sandbox.isolation().namespaces => Finding::limited(
            subject,
            format!("namespaces work, but: {}", sandbox.isolation().lost.join("; ")),
            mend,
        ),
        Ok(sandbox) => Finding::limited(
            subject,
            format!(
                "no namespaces, so builds see this host's files: {}",
                sandbox.isolation().lost.join("; ")
            ),
            mend,
        ),
        Err(error) => Finding::broken(subject, error, mend),
    }
}

/// Whether an overlay can be mounted without privileges: what executors stage input roots with.
pub(super) fn overlayfs() -> Finding {
    let subject = "overlayfs";
    let mend = "use Linux 5.11 or newer, and a cache on ext4, xfs or btrfs";
    let attempt = TemporaryDirectory::new().map_err(|error| error.to_string()).and_then(|directory| {
        let output = OwnExecutable::running()
            .and_then(|own_executable| {
                own_executable
                    .command()
                    .args(["doctor", "--try-overlayfs"])
                    .arg(directory.path())
                    .stdin(Stdio::null())
                    .output()
            })
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    });
    match attempt {
        Ok(()) => Finding::works(subject, "mounts in a user namespace"),
        Err(reason) => Finding::limited(subject, reason, mend),
    }
}

/// Mounts an overlay under `directory`, in namespaces of this process's own. For a process that
/// does nothing else: it must have a single thread, and stays in those namespaces.
pub fn mount_overlay_in_new_namespace(directory: &Path) -> Result<(), String> {
    let path = |name: &str| directory.join(name);
    for name in ["lower", "upper", "work", "merged"] {
        fs_err::create_dir_all(path(name)).map_err(|error| error.to_string())?;
    }
    enter_user_and_mount_namespaces().map_err(|failure| failure.to_string())?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        path("lower").display(),
        path("upper").display(),
        path("work").display()
    );
    let options = CString::new(options).map_err(|error| error.to_string())?;
    mount("overlay", path("merged"), "overlay", MountFlags::empty(), options.as_c_str())
        .map_err(|error| format!("cannot mount an overlay: {error}"))
}

/// Space for builds and caches.
pub(super) fn disk(cache: &Path) -> Finding {
    let subject = "disk";
    let existing = cache.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let free = match statvfs(existing) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            return Finding::broken(
                subject,
                format!("{}: {error}", existing.display()),
                "give --cache-dir DIR",
            );
        }
    };
    let found = format!("{:.1} GiB free for {}", free as f64 / GIBIBYTE as f64, cache.display());
    let mend = "free some space, or give --cache-dir DIR on a larger disk";
    if let Err(error) = fs_err::create_dir_all(cache).and_then(|()| tempfile::tempfile_in(cache).map(drop)) {
        return Finding::broken(subject, format!("cannot write there: {error}"), "give --cache-dir DIR");
    }
    match free / GIBIBYTE {
        0 => Finding::broken(subject, found, mend),
        1..=4 => Finding::limited(subject, found, mend),
        _ => Finding::works(subject, found),
    }
}

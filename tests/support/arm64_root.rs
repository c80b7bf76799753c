//! A real root file system of arm64, for tests in earnest.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::waiting::{InTime, LONG_DEADLINE};

/// The one that CROSSWHEEL_ARM64_ROOT names, or one of our own making; wheels can be built in it.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let run = |arguments: &[&str], root: &Path| {
            let mut crosswheel = Command::new(env!("CARGO_BIN_EXE_crosswheel"));
            let status = crosswheel.arg("rootfs").args(arguments).arg(root).status_within(LONG_DEADLINE);
            assert!(status.success(), "crosswheel rootfs {arguments:?} {}; see above", root.display());
        };
        let root = match std::env::var_os("CROSSWHEEL_ARM64_ROOT") {
            Some(root) => root.into(),
            None => {
                let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("arm64-root");
                if !root.exists() {
                    run(&["create", "--arch", "arm64"], &root);
                }
                root
            }
        };
        run(&["check"], &root);
        root
    })
}

//! The commands of the manual that are not run here, and what runs them instead. What `crosswheel` is told in them is
//! parsed all the same.

use std::path::Path;

use crate::markdown::{Command, Page, SOURCES};

/// A kind of command.
pub struct Elsewhere {
    /// How it begins.
    pub command: &'static str,
    /// Why it is not run here.
    pub because: &'static str,
    /// What runs it, or does what it does: a file of the sources.
    pub run_by: &'static str,
}

const fn not_here(command: &'static str, because: &'static str, run_by: &'static str) -> Elsewhere {
    Elsewhere { command, because, run_by }
}

/// The first that fits is meant.
pub static ELSEWHERE: &[Elsewhere] = &[
    not_here("git clone", "it is how these sources got here", ".ci/run"),
    not_here("cargo test", "this is one of the tests", ".ci/run"),
    not_here("CROSSWHEEL_WRITE_MANUAL=1 cargo test", "it writes the pages", "tests/manual/generated/mod.rs"),
    not_here("benches/engines/run", "takes engines, and a release build", ".ci/run"),
    not_here("benches/wheelhouse/run", "takes an emulated root, and a release build", ".ci/run"),
    not_here("cargo bench", "it takes minutes, and a release build", ".ci/run"),
    not_here(".ci/run", "this is a part of it", ".ci/run"),
    not_here("e2e/", "takes root, and real clients", ".ci/run"),
    not_here("sudo apt-get install", "takes root, and changes the machine", ".ci/run"),
    not_here("sudo -u crosswheel", "takes a user of that name", "tests/executing/execute/places.rs"),
    not_here("sudo install", "takes root, and changes the machine", "e2e/images/deployment.py"),
    not_here("sudo systemd-sysusers", "takes root, and changes the machine", "e2e/images/deployment.py"),
    not_here("sudo systemctl", "takes systemd, and changes the machine", "e2e/images/deployment.py"),
    not_here("sudo docker/", "takes root, and minutes", "e2e/images/run"),
    not_here("docker/cross", "takes root, and minutes", "e2e/images/run"),
    not_here("docker/seccomp-profile", "takes the profile of a container engine", "e2e/images/scenarios.py"),
    not_here("docker run", "takes Docker; runc does it there", "e2e/images/scenarios.py"),
    not_here("docker buildx", "takes Docker, and a registry", "e2e/images/run"),
    not_here("docker compose", "takes Docker, and a registry", "e2e/images/deployment.py"),
    not_here("mkdir -p docker/bin", "writes into the sources", "e2e/images/run"),
    not_here("kubectl apply", "takes Kubernetes", "e2e/images/deployment.py"),
    not_here("crosswheel worker", "takes an engine to work for", "e2e/engines/run"),
    not_here("bazel build", "takes Bazel", "e2e/crossbuild/walkthrough.py"),
    not_here("ls bazel-out", "takes Bazel", "e2e/crossbuild/walkthrough.py"),
    not_here(
        "crosswheel doctor --register-binfmt",
        "takes root, and changes the machine",
        "tests/building/doctor.rs",
    ),
    not_here(
        "crosswheel rootfs create --arch arm64",
        "takes mmdebstrap and a mirror",
        "e2e/crossbuild/walkthrough.py",
    ),
    not_here(
        "crosswheel rootfs create",
        "takes mmdebstrap and a mirror, or an image",
        "tests/executing/rootfs.rs",
    ),
    not_here("crosswheel rootfs check", "takes a root file system", "tests/executing/rootfs.rs"),
    not_here(
        "crosswheel build cowsay==6.0 markupsafe==2.1.5 --target linux_amd64 --target linux_arm64",
        "takes a root file system for arm64",
        "tests/emulated/build.rs",
    ),
    not_here(
        "crosswheel build markupsafe==2.1.5 --target linux_arm64",
        "takes a root file system for arm64",
        "tests/emulated/build.rs",
    ),
    not_here(
        "crosswheel wheelhouse --project project --target linux_amd64 --target linux_arm64 --python 3.11 --out",
        "takes a root file system for arm64",
        "e2e/wheelhouse/run",
    ),
    not_here(
        "crosswheel wheelhouse --project project --target linux_arm64 --rootfs",
        "takes a root file system for arm64",
        "e2e/wheelhouse/run",
    ),
    not_here(
        "crosswheel wheelhouse --project project --index-url",
        "takes an index",
        "tests/building/wheelhouse/making.rs",
    ),
    not_here(
        "crosswheel wheelhouse --project project --out wheels --remote grpcs://",
        "takes a server with a certificate",
        "src/remote/channel.rs",
    ),
    not_here(
        "pip install --no-index --find-links wheels",
        "installs into the environment",
        "tests/building/wheelhouse/installing.rs",
    ),
    not_here(
        "uv pip install --no-index --find-links wheels",
        "installs into the environment",
        "tests/building/wheelhouse/installing.rs",
    ),
    not_here("crosswheel build rpds-py==0.18.0", "takes Rust, and its registry", "tests/corpus/corpus.tsv"),
    not_here("crosswheel check wheelhouse --pip", "takes a wheel of pip", "tests/step/check/pip.rs"),
    not_here(
        "crosswheel wheel rpds_py-0.18.0.tar.gz",
        "takes Rust, and its registry",
        "tests/corpus/corpus.tsv",
    ),
    not_here(
        "crosswheel wheel markupsafe-2.1.5.tar.gz",
        "takes a Python that is emulated",
        "tests/step/wheel/answers.rs",
    ),
    not_here("crosswheel build https://", "takes an index", "tests/building/build.rs"),
    not_here("crosswheel build lib-1.0.tar.gz --index-url", "takes an index", "tests/building/build.rs"),
    not_here(
        "crosswheel build cowsay==6.0 --remote grpcs://",
        "takes a server with a certificate",
        "src/remote/channel.rs",
    ),
];

impl Elsewhere {
    /// The kind that a command is of, if it is one of those.
    pub fn of(command: &Command) -> Option<&'static Self> {
        let line = command.line();
        ELSEWHERE.iter().find(|elsewhere| line.starts_with(elsewhere.command))
    }
}

#[test]
fn what_is_not_run_here_is_in_the_manual_and_run_by_something() {
    let commands: Vec<_> = Page::all().iter().flat_map(Page::commands).collect();
    for elsewhere in ELSEWHERE {
        let Elsewhere { command, because, run_by } = elsewhere;
        let is_used = commands.iter().filter_map(Elsewhere::of).any(|found| std::ptr::eq(found, elsewhere));
        assert!(is_used, "no command of the manual begins with `{command}` (not run here: {because})");
        assert!(
            Path::new(SOURCES).join(run_by).is_file(),
            "`{command}` is said to be run by {run_by}, which is no file"
        );
    }
}

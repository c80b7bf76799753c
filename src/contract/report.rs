//! What the step reports of a wheel that it has built and verified. Knows nothing of how the figures came about.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::platform::{Glibc, Target};

/// A built and verified wheel, and how it came to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// File name of the wheel (PEP 427), in the directory given by `--out`.
    pub file_name: String,
    /// Project name as the wheel's METADATA has it.
    pub name: String,
    /// Version as the wheel's METADATA has it.
    pub version: String,
    /// Expanded compatibility tags (PEP 425), such as `cp311-cp311-linux_x86_64`, sorted.
    pub tags: Vec<String>,
    /// `Root-Is-Purelib` and no ELF file inside.
    pub pure: bool,
    /// Whether the sdist has sources that a compiler takes. Taken to be so if it is not said.
    #[serde(default = "unless_said")]
    pub native_sources: bool,
    /// Whether code of the sdist that runs at build time mentions the machine. Taken to be so if it is not said.
    #[serde(default = "unless_said")]
    pub mentions_machine: bool,
    /// SHA-256 of the wheel.
    pub sha256: Sha256,
    /// Size of the wheel in bytes.
    pub size_bytes: u64,
    /// Newest `GLIBC_x.y` symbol version any ELF file inside needs; none when pure or static.
    pub glibc_floor: Option<Glibc>,
    /// Libraries that files inside need, and that are neither in the wheel nor a part of glibc, such as `libz.so.1`;
    /// sorted.
    #[serde(default)]
    pub foreign_libraries: Vec<String>,
    /// The platform the wheel was verified against.
    pub target: Target,
    /// Version of the Python that built it, such as `3.11.7`.
    pub python_version: String,
    /// Whether Python was one for another architecture than crosswheel's own, and so ran emulated.
    #[serde(default)]
    pub emulated: bool,
    /// What compiled, if the wheel holds machine code and a C compiler was there.
    #[serde(default)]
    pub compiler: Option<CompilerReport>,
    /// SHA-256 of the sdist.
    pub sdist_sha256: Sha256,
    /// PEP 517 backend that built it.
    pub backend: String,
    /// What was installed in the build's venv, sorted by name.
    pub build_requirements: Vec<UsedRequirement>,
    /// What `get_requires_for_build_wheel` returned (PEP 508).
    pub dynamic_requirements: Vec<String>,
    /// How the build was isolated.
    pub isolation: IsolationReport,
    /// Wall-clock seconds per step (`unpack`, `venv`, `requires`, `backend`, `verify`, ...).
    pub seconds: BTreeMap<String, f64>,
    /// Largest resident memory of the backend's process tree, in bytes (sampled).
    pub peak_memory_bytes: u64,
    /// Largest resident memory of `crosswheel wheel` itself, in bytes.
    pub own_peak_memory_bytes: u64,
    /// Remarks that are not errors, such as a platform tag without any ELF file.
    #[serde(default)]
    pub notes: Vec<String>,
}

fn unless_said() -> bool {
    true
}

/// One wheel that was installed in the build's venv.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedRequirement {
    /// Normalised project name (PEP 503).
    pub name: String,
    /// Version from the wheel's METADATA.
    pub version: String,
    /// File name of the wheel.
    pub file_name: String,
    /// SHA-256 of the wheel.
    pub sha256: Sha256,
}

/// The C compiler of a build: what it was told to use or would find itself. (A build may also bring its own.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompilerReport {
    /// How it ran.
    pub kind: CompilerKind,
    /// Path of the program, as the build saw it.
    pub program: String,
    /// The first line of what it prints for `--version`; none where asking is not safe or not possible.
    #[serde(default)]
    pub version: Option<String>,
}

/// How a compiler ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompilerKind {
    /// It compiled for the architecture it ran on.
    Native,
    /// It ran under emulation.
    Emulated,
    /// It ran natively and compiled for another architecture.
    Cross,
}

impl std::fmt::Display for CompilerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Emulated => "emulated",
            Self::Cross => "cross",
        })
    }
}

/// How a build was cut off from its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationReport {
    /// `namespaces` or `none`.
    pub sandbox: String,
    /// `namespace`, `seccomp` or `none`.
    pub network: String,
    /// What could not be had on this host, and why.
    #[serde(default)]
    pub lost: Vec<String>,
}

impl IsolationReport {
    /// Whether there was less of it than a host can give, because this one would not give more: its bytes may depend on
    /// where it was built.
    pub fn is_reduced(&self) -> bool {
        self.sandbox == "none" && !self.lost.is_empty()
    }

    /// What a person should know of it, if anything.
    pub fn remarks(&self) -> impl Iterator<Item = String> + '_ {
        self.lost.iter().map(|lost| format!("built without {lost}"))
    }
}

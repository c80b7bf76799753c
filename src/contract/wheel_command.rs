//! The command line of `crosswheel wheel`: one type, which the command line is parsed into, and which whoever asks for a
//! wheel renders.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use pep440_rs::Version;
use pep508_rs::PackageName;

use super::archive_limits::ArchiveLimits;
use super::expect::Expect;
use super::flag::Flag;
use super::given_wheels::GivenWheels;
use super::invocation::{CACHE_VARIABLE, CROSS_CC_VARIABLE, SUBCOMMAND, WORK_VARIABLE};
use super::key_value::KeyValue;
use super::line::{Line, NotUnicode, text};
use super::sandbox_mode::SandboxMode;
use crate::deadline::LONGEST_SECONDS;
use crate::platform::{Glibc, LibcFamily, PythonVersion, Target};

/// All that `crosswheel wheel` is told.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct WheelCommand {
    /// The sdist: .tar.gz, .tar.bz2, .tar.xz, .tar.zst, .tar or .zip
    pub sdist: PathBuf,
    /// Directory the wheel is written to
    #[arg(long = Flag::Out.name(), value_name = "DIR")]
    pub out: PathBuf,
    /// The Python that builds: a version (3.12), a command or a path
    #[arg(long = Flag::Python.name(), value_name = "PYTHON", default_value = "3")]
    pub python: String,
    /// Wheels of the build requirements: directories to choose from, or files, whose digest may be given as in a.whl#sha256=...
    #[arg(long = Flag::BuildWheels.name(), value_name = "DIR_OR_WHEEL", num_args = 1.., value_parser = OsStringValueParser::new().try_map(GivenWheels::parse))]
    pub build_wheels: Vec<GivenWheels>,
    /// Platform the wheel must be for: linux_amd64 or linux_arm64 [default: the interpreter's]
    #[arg(long = Flag::Target.name())]
    pub target: Option<Target>,
    /// Newest glibc the wheel may need, such as 2.28 [default: the interpreter's]
    #[arg(long = Flag::Glibc.name(), value_name = "VERSION")]
    pub glibc: Option<Glibc>,
    /// Whether the wheel must hold compiled code; auto refuses a pure wheel when the sdist has native sources and a compiler failed
    #[arg(long = Flag::Expect.name(), value_enum, default_value_t)]
    pub expect: Expect,
    /// Build nothing but this project
    #[arg(long = Flag::ExpectName.name(), value_name = "NAME")]
    pub expect_name: Option<PackageName>,
    /// Build nothing but this version of the project
    #[arg(long = Flag::ExpectVersion.name(), value_name = "VERSION")]
    pub expect_version: Option<Version>,
    /// Build with nothing but this version of Python, such as 3.11, whatever --python finds
    #[arg(long = Flag::ExpectPython.name(), value_name = "VERSION")]
    pub expect_python: Option<PythonVersion>,
    /// Build with nothing but a Python that runs on this C library
    #[arg(long = Flag::ExpectLibc.name(), value_enum, value_name = "LIBC")]
    pub expect_libc: Option<LibcFamily>,
    /// Patch file for the sources; may be given several times
    #[arg(long = Flag::Patch.name(), value_name = "FILE")]
    pub patches: Vec<PathBuf>,
    /// Leading directories to drop from the names in patch files
    #[arg(long = Flag::PatchStrip.name(), value_name = "N", default_value_t = Self::PATCH_STRIP)]
    pub patch_strip: usize,
    /// Setting for the backend (PEP 517 config_settings); several of one key make a list
    #[arg(long = Flag::ConfigSetting.name(), value_name = "K=V")]
    pub config_settings: Vec<KeyValue>,
    /// Variable for the build's environment; PATH, CFLAGS and CXXFLAGS are joined to ours
    #[arg(long = Flag::Env.name(), value_name = "K=V")]
    pub environment: Vec<KeyValue>,
    /// Directory of tools for the build's PATH; may be given several times
    #[arg(long = Flag::Path.name(), value_name = "DIR")]
    pub tool_directories: Vec<PathBuf>,
    /// A cross compiler that runs natively where Python is emulated, with flags perhaps: "PROGRAM FLAGS..."
    #[arg(long = Flag::CrossCc.name(), value_name = "PROGRAM", env = CROSS_CC_VARIABLE)]
    pub cross_cc: Option<String>,
    /// Crates for Rust extensions, as `cargo vendor` writes them
    #[arg(long = Flag::Crates.name(), value_name = "DIR")]
    pub crates: Option<PathBuf>,
    /// End the build after this many seconds
    #[arg(long = Flag::Timeout.name(), value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECONDS))]
    pub timeout: Option<u64>,
    /// Cut the build off from this host: as far as possible, or not start, or only from its network
    #[arg(long = Flag::Sandbox.name(), value_enum, default_value_t)]
    pub sandbox: SandboxMode,
    #[command(flatten)]
    pub limits: ArchiveLimits,
    /// Where unpacked wheels and facts about interpreters are kept [default: crosswheel in the user's cache directory]
    #[arg(long = Flag::CacheDir.name(), value_name = "DIR", env = CACHE_VARIABLE)]
    pub cache_dir: Option<PathBuf>,
    /// Where to build [default: a directory of the cache]
    #[arg(long = Flag::WorkDir.name(), value_name = "DIR", env = WORK_VARIABLE)]
    pub work_dir: Option<PathBuf>,
    /// Leave the build's directory in place, and say where it is
    #[arg(long = Flag::KeepWork.name())]
    pub keep_work: bool,
    /// Print one JSON document on standard output: {"built": {...}}, {"failed": {...}}, or, where it is not the
    /// project's fault (exit codes 1 and 2), {"error": {...}}; nothing when interrupted
    #[arg(long = Flag::Json.name())]
    pub json: bool,
    /// Write that document, whatever it says, to this file, too
    #[arg(long = Flag::Report.name(), value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Keep the backend's output to ourselves, and with --report say nothing of success; a failure still shows its lines
    #[arg(long = Flag::Quiet.name(), short)]
    pub quiet: bool,
}

impl WheelCommand {
    /// `--patch-strip` if nobody says otherwise: names in patches begin with `a/` and `b/`.
    pub const PATCH_STRIP: usize = 1;

    /// What builds `sdist` into `out` if nothing else is said.
    pub fn new(sdist: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            sdist: sdist.into(),
            out: out.into(),
            python: "3".to_owned(),
            build_wheels: Vec::new(),
            target: None,
            glibc: None,
            expect: Expect::default(),
            expect_name: None,
            expect_version: None,
            expect_python: None,
            expect_libc: None,
            patches: Vec::new(),
            patch_strip: Self::PATCH_STRIP,
            config_settings: Vec::new(),
            environment: Vec::new(),
            tool_directories: Vec::new(),
            cross_cc: None,
            crates: None,
            timeout: None,
            sandbox: SandboxMode::default(),
            limits: ArchiveLimits::default(),
            cache_dir: None,
            work_dir: None,
            keep_work: false,
            json: false,
            report: None,
            quiet: false,
        }
    }

    /// The command line, from the program's name on. One argument for each flag and its value, as a value may begin
    /// with a dash. What decides the wheel is said even if it is the default, which may be another one some day.
    ///
    /// # Errors
    /// If there is a path in it that is not UTF-8.
    pub fn render(&self) -> Result<Vec<String>, NotUnicode> {
        // No `..` here: a field that were left out would be lost on the way.
        let Self {
            sdist,
            out,
            python,
            build_wheels,
            target,
            glibc,
            expect,
            expect_name,
            expect_version,
            expect_python,
            expect_libc,
            patches,
            patch_strip,
            config_settings,
            environment,
            tool_directories,
            cross_cc,
            crates,
            timeout,
            sandbox,
            limits,
            cache_dir,
            work_dir,
            keep_work,
            json,
            report,
            quiet,
        } = self;
        let mut line = Line::default();
        line.paths(Flag::Out, [out])?;
        line.paths(Flag::Report, report)?;
        line.values(Flag::Python, [python]);
        for wheels in build_wheels {
            line.values(Flag::BuildWheels, [wheels.render(text(&wheels.path)?)]);
        }
        line.values(Flag::Target, target);
        line.values(Flag::Glibc, glibc);
        line.values(Flag::Expect, [expect]);
        line.values(Flag::ExpectName, expect_name);
        line.values(Flag::ExpectVersion, expect_version);
        line.values(Flag::ExpectPython, expect_python);
        line.values(Flag::ExpectLibc, expect_libc);
        line.paths(Flag::Patch, patches)?;
        let strips = *patch_strip != Self::PATCH_STRIP || !patches.is_empty();
        line.values(Flag::PatchStrip, strips.then_some(patch_strip));
        line.values(Flag::ConfigSetting, config_settings);
        line.values(Flag::Env, environment);
        line.paths(Flag::Path, tool_directories)?;
        line.values(Flag::CrossCc, cross_cc);
        line.paths(Flag::Crates, crates)?;
        line.values(Flag::Timeout, timeout);
        line.values(Flag::Sandbox, [sandbox]);
        line.limits(limits);
        line.paths(Flag::CacheDir, cache_dir)?;
        line.paths(Flag::WorkDir, work_dir)?;
        line.switch(Flag::KeepWork, *keep_work);
        line.switch(Flag::Json, *json);
        line.switch(Flag::Quiet, *quiet);
        Ok(line.around(SUBCOMMAND, text(sdist)?))
    }
}

#[cfg(test)]
mod tests;

//! The flags of every command that builds: with which Python, for which targets, where, with packages of which indexes.
//! Knows nothing of what is built.

use std::path::PathBuf;

use clap::Args;

use super::executor::{Embedded, Executor};
use super::remote::RemoteArguments;
use super::sourced::Sourced;
use super::targets::NamedTargets;
use crate::build::{BuildOptions, IndexFlags, ProjectIndexes, SettingsLayer};
use crate::contract::{Expect, Failure, FailureClass, SandboxMode};
use crate::deadline::LONGEST_SECONDS;
use crate::platform::{Glibc, RequestedTarget, Target};
use crate::server::settings::CrossCc;

/// How and where everything is built.
#[derive(Args)]
pub struct BuildSettings {
    /// Python to build with: a version, a command or a path
    #[arg(long, value_name = "PYTHON", default_value = "3")]
    python: String,

    /// Bound versions as this file says: of build requirements, and of what requirements lead to
    #[arg(long, short, value_name = "FILE", help_heading = "Build requirements")]
    constraint: Vec<String>,

    /// Also look for packages in this directory, or on this HTML page
    #[arg(long, short, value_name = "DIR", help_heading = "Build requirements")]
    find_links: Vec<String>,

    /// Ask no index, only --find-links
    #[arg(long, help_heading = "Build requirements")]
    no_index: bool,

    /// The package index [default: https://pypi.org/simple/]
    #[arg(long, short, value_name = "URL", help_heading = "Build requirements")]
    index_url: Option<String>,

    /// An index that is asked before --index-url
    #[arg(long, value_name = "URL", help_heading = "Build requirements")]
    extra_index_url: Vec<String>,

    /// Install this (PEP 508), too, before building each SOURCE
    #[arg(long, value_name = "REQUIREMENT", help_heading = "Build requirements")]
    build_requires: Vec<String>,

    /// Leave out what was uploaded later: a date (included, UTC), a time (RFC 3339), or how long ago (7 days)
    #[arg(long, value_name = "DATE", help_heading = "Build requirements")]
    exclude_newer: Option<String>,

    /// Ask indexes again, whatever is known from the last 10 minutes
    #[arg(long, help_heading = "Build requirements")]
    refresh: bool,

    /// Never use the network; what is not in the cache is missing
    #[arg(long, help_heading = "Build requirements")]
    offline: bool,

    /// How many builds to run at a time [default: number of cores]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Build even if the same wheel is in the cache
    #[arg(long)]
    rebuild: bool,

    /// Where everything fetched, resolved and built is kept [default: $XDG_CACHE_HOME/crosswheel]
    #[arg(long, value_name = "DIR", env = "CROSSWHEEL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,

    /// Show the output of the backends
    #[arg(long, short)]
    verbose: bool,

    /// Platform the wheels are for: linux_amd64 or linux_arm64, or what others call it (aarch64, linux/arm64); manylinux_2_28_aarch64 also bounds the glibc, as --glibc does; may be given several times [default: that of --python]
    #[arg(long = "target", value_name = "TARGET", help_heading = "Builds")]
    targets: Vec<RequestedTarget>,

    #[command(flatten)]
    roots: Sourced<RootArguments>,

    /// Build on every target, also what is taken to come out the same and is otherwise built once
    #[arg(long, help_heading = "Builds")]
    no_share: bool,

    /// Compile with a cross compiler of this machine where builds are emulated: Debian's aarch64-linux-gnu-gcc, or PROGRAM
    #[arg(
        long,
        value_name = "PROGRAM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on",
        help_heading = "Builds"
    )]
    cross_cc: Option<String>,

    /// Newest glibc the wheels may need, such as 2.28
    #[arg(long, value_name = "VERSION", help_heading = "Builds")]
    glibc: Option<Glibc>,

    /// Directory of tools for the builds' PATH
    #[arg(long = "path", value_name = "DIR", help_heading = "Builds")]
    tool_directories: Vec<PathBuf>,

    /// Isolation of the builds
    #[arg(long, value_name = "MODE", value_enum, default_value_t, help_heading = "Builds")]
    sandbox: SandboxMode,

    /// Seconds each backend may take
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=LONGEST_SECONDS), help_heading = "Builds")]
    timeout: Option<u64>,

    #[command(flatten)]
    remote: RemoteArguments,
}

/// Where builds run that are not for this machine.
#[derive(Args)]
struct RootArguments {
    /// Root file system in which the builds for a target run, without --remote [default: rootfs/TARGET in the cache directory]. Several in the variable: separated by ;
    #[arg(
        long,
        value_name = "TARGET=DIR",
        env = "CROSSWHEEL_ROOTFS",
        value_delimiter = ';',
        help_heading = "Builds"
    )]
    rootfs: Vec<String>,
}

impl BuildSettings {
    /// The targets, each once, in the order in which they were given.
    pub fn targets(&self) -> Vec<Target> {
        NamedTargets::of(&self.targets, None).map(|named| named.targets).unwrap_or_default()
    }

    /// What to do, with wheels going to `out`, and the executor that is to do it, not yet reached. Of `builds`, if that
    /// is known, no more run at a time than there are.
    ///
    /// # Errors
    /// Flags that make no sense, alone or together.
    pub fn prepare(self, out: PathBuf, builds: Option<usize>) -> Result<(BuildOptions, Executor), Failure> {
        let named = NamedTargets::of(&self.targets, self.glibc)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or(cores, usize::from);
        let cache_directory = super::directories::cache_directory(self.cache_dir).map_err(invalid)?;
        let remote = self.remote.resolve().map_err(invalid)?;
        let placement = remote.as_ref().map(|remote| remote.placement.clone());
        let cross_cc = self.cross_cc.as_deref().and_then(cross_cc);
        let cross_compiler = cross_cc.as_ref().map(|compiler| match compiler {
            CrossCc::Default => "on".to_owned(),
            CrossCc::Program(program) => program.clone(),
        });
        let executor = match remote {
            Some(_) if cross_cc.is_some() => {
                let message =
                    "--cross-cc is for emulated builds on this machine, and --remote builds elsewhere";
                return Err(invalid(message.into()).with_hint(
                    "the server's pools have a setting for it: `crosswheel serve --pool NAME=ROOTFS,cross-cc=on`",
                ));
            }
            Some(remote) => Executor::remote(remote)?,
            None => Executor::embedded(Embedded {
                cache: cache_directory.clone(),
                sandbox: self.sandbox,
                slots: builds.map_or(jobs, |builds| jobs.min(builds)),
                cross_cc,
            })?,
        };
        let options = BuildOptions {
            requirements: Vec::new(),
            python: self.python,
            out,
            cache_directory,
            remote: placement,
            index: IndexFlags {
                layer: SettingsLayer {
                    default_index: self.index_url,
                    extra_indexes: self.extra_index_url,
                    find_links: self.find_links,
                    no_index: self.no_index.then_some(true),
                    constraints: self.constraint,
                    exclude_newer: self.exclude_newer,
                    ..SettingsLayer::default()
                },
                offline: self.offline,
                project: ProjectIndexes::default(),
            },
            build_requires: self.build_requires,
            config_settings: Vec::new(),
            env: Vec::new(),
            tool_directories: super::directories::directories("--path", &self.tool_directories)
                .map_err(invalid)?,
            expect: Expect::default(),
            patches: Vec::new(),
            patch_strip: 1,
            targets: named.targets,
            target_glibc: named.glibc,
            roots: roots(&self.roots.given.rootfs).map_err(invalid)?,
            roots_of_this_run: self.roots.by_flag,
            cross_compiler,
            glibc: self.glibc,
            sandbox: self.sandbox,
            timeout: self.timeout,
            jobs,
            rebuild: self.rebuild,
            no_share: self.no_share,
            refresh: self.refresh,
            lock: None,
            lock_grows: false,
            update_lock: false,
            verbose: self.verbose,
        };
        Ok((options, executor))
    }
}

/// `on`, `off`, a command, or a path, which is made absolute.
fn cross_cc(text: &str) -> Option<CrossCc> {
    match text {
        "off" => None,
        "on" => Some(CrossCc::Default),
        path if path.contains('/') => {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.into());
            Some(CrossCc::Program(absolute.display().to_string()))
        }
        command => Some(CrossCc::Program(command.to_owned())),
    }
}

/// `TARGET=DIR`, one for each target.
fn roots(texts: &[String]) -> Result<Vec<(Target, PathBuf)>, String> {
    let mut roots: Vec<(Target, PathBuf)> = Vec::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let (target, directory) = text
            .split_once('=')
            .filter(|(_, directory)| !directory.is_empty())
            .ok_or_else(|| format!("--rootfs `{text}` is not of the form TARGET=DIR"))?;
        let target: Target = target.parse().map_err(|error| format!("--rootfs `{text}`: {error}"))?;
        if roots.iter().any(|(other, _)| *other == target) {
            return Err(format!("--rootfs names two root file systems for {target}"));
        }
        roots.push((target, PathBuf::from(directory)));
    }
    Ok(roots)
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureClass::InvalidSource, message)
}

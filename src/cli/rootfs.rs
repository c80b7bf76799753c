//! `crosswheel rootfs`: root file systems for pools of other architectures.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::HumanBytes;
use serde_json::json;

use super::exit_codes;
use super::failure_text::{internal, print_json, usage};
use super::output::{complain, print, print_finding};
use crate::contract::ErrorKind;
use crate::emulation::{EmulationHost, EmulationObstacle, EmulationSupport};
use crate::platform::{Arch, Target};
use crate::rootfs::{
    CreatedRootfs, Debian, RootfsCheck, RootfsError, RootfsRequest, RootfsSource, check, create, packages,
};
use crate::signals::{FirstSignal, MoreSignals, on_first_signal};

/// Make and check root file systems, which actions of other architectures run in.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  crosswheel rootfs create
  crosswheel rootfs create --arch amd64 --suite trixie --include libffi-dev,zlib1g-dev /srv/roots/amd64
  crosswheel rootfs create --from image-layout:latest --force
  crosswheel rootfs check /srv/roots/amd64 --json

{}", exit_codes::Subcommand::Rootfs.help()))]
pub struct RootfsArguments {
    #[command(subcommand)]
    command: RootfsCommand,
    /// Print one JSON document; of a failure or an interruption, {"error": {...}}
    #[arg(long, global = true)]
    json: bool,
    /// The cache directory, in which roots are by default [default: crosswheel in the user's cache directory]
    #[arg(long, value_name = "DIR", env = "CROSSWHEEL_CACHE_DIR", global = true)]
    cache_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum RootfsCommand {
    Create(Box<CreateArguments>),
    /// Look whether wheels can be built in a root; runs nothing of it.
    Check {
        /// The root [default: rootfs/linux_arm64 in the cache directory]
        #[arg(value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// Make a root: of Debian's packages, which takes mmdebstrap and its mirror, or of an image or an archive.
#[derive(Args)]
#[command(after_long_help = format!("\
Nothing of the root is run, so its architecture does not matter. It belongs to whoever makes it: owners, setuid bits
and device nodes of archives are left out. Packages of every root made by mmdebstrap:
{}", packages()))]
struct CreateArguments {
    /// The architecture of the root
    #[arg(long, value_enum, default_value_t = ArchArgument::Arm64)]
    arch: ArchArgument,
    /// The release of Debian, by name
    #[arg(long, value_name = "NAME", default_value = "bookworm", value_parser = plain_word, conflicts_with = "from")]
    suite: String,
    /// Where Debian's packages are [default: deb.debian.org]
    #[arg(long, value_name = "URL", value_parser = plain_word, conflicts_with = "from")]
    mirror: Option<String>,
    /// More packages, such as libffi-dev, libssl-dev or zlib1g-dev
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',', num_args = 1, value_parser = package_name, conflicts_with = "from")]
    include: Vec<String>,
    /// Take package lists that are out of date, as those of snapshots and archives are
    #[arg(long, conflicts_with = "from")]
    allow_expired: bool,
    /// Not packages but an image of an OCI image layout (DIR or DIR:TAG), or an archive: .tar, .tar.gz, .tar.zst or .tar.xz
    #[arg(long, value_name = "LAYOUT_OR_TAR")]
    from: Option<PathBuf>,
    /// Replace a root there that crosswheel has made
    #[arg(long)]
    force: bool,
    /// Where the root is made [default: rootfs/linux_ARCH in the cache directory]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ArchArgument {
    #[value(alias = "aarch64")]
    Arm64,
    #[value(aliases = ["x86_64", "x64"])]
    Amd64,
}

impl From<ArchArgument> for Arch {
    fn from(argument: ArchArgument) -> Self {
        match argument {
            ArchArgument::Arm64 => Self::Arm64,
            ArchArgument::Amd64 => Self::Amd64,
        }
    }
}

/// Runs the subcommand.
pub fn run(arguments: RootfsArguments) -> ExitCode {
    let json = arguments.json;
    let place = |directory: Option<PathBuf>, arch| match directory {
        Some(directory) => std::path::absolute(&directory)
            .map_err(|error| format!("cannot use {}: {error}", directory.display())),
        None => default_root(arguments.cache_dir.clone(), arch),
    };
    match arguments.command {
        RootfsCommand::Check { directory } => match place(directory, Arch::Arm64) {
            Ok(directory) => run_check(&directory, json),
            Err(message) => usage(json, &message),
        },
        RootfsCommand::Create(create) => match place(create.directory.clone(), create.arch.into()) {
            Ok(directory) => run_create(*create, directory, json),
            Err(message) => usage(json, &message),
        },
    }
}

/// Where the root for `arch` is if nobody says otherwise.
pub(super) fn default_root(cache_dir: Option<PathBuf>, arch: Arch) -> Result<PathBuf, String> {
    Ok(super::directories::cache_directory(cache_dir)?.join("rootfs").join(Target { arch }.to_string()))
}

fn run_check(directory: &Path, json: bool) -> ExitCode {
    match check(directory, &host_support) {
        Ok(found) => {
            if json {
                print_json(&document(&found));
            } else {
                print_check(&found);
            }
            exit_code(&found)
        }
        Err(error) => fail(json, &error.to_string(), error.hint()),
    }
}

fn run_create(arguments: CreateArguments, destination: PathBuf, json: bool) -> ExitCode {
    let source = match arguments.from {
        Some(from) => RootfsSource::from_argument(&from),
        None => RootfsSource::Debian(Debian {
            suite: arguments.suite,
            mirror: arguments.mirror,
            include: arguments.include,
            allow_expired: arguments.allow_expired,
        }),
    };
    let request = RootfsRequest { arch: arguments.arch.into(), source, destination, force: arguments.force };
    let interrupted = Arc::new(AtomicBool::new(false));
    let to_set = Arc::clone(&interrupted);
    let signal = FirstSignal::default();
    let end = move |more: &mut MoreSignals| {
        to_set.store(true, Ordering::SeqCst);
        more.wait(GRACE, || false);
    };
    if let Err(error) = on_first_signal(&signal, end) {
        return internal(json, &format!("cannot listen for signals: {error}"));
    }
    let started = Instant::now();
    match create(&request, &host_support, &interrupted, &complain) {
        Ok(created) => {
            if json {
                print_json(&json!({
                    "created": {
                        "root": created.root,
                        "source": created.source,
                        "files": created.members,
                        "bytes": created.bytes,
                        "seconds": started.elapsed().as_secs_f64(),
                        "notes": created.notes,
                    },
                    "check": document(&created.check),
                }));
            } else {
                print_created(&created, request.arch, started.elapsed());
            }
            exit_code(&created.check)
        }
        Err(RootfsError::Interrupted) => {
            fail(json, "interrupted; nothing is left of it", None);
            ExitCode::from(signal.exit_code().unwrap_or(exit_codes::FAILED))
        }
        Err(error) => fail(json, &error.to_string(), error.hint()),
    }
}

fn fail(json: bool, message: &str, hint: Option<String>) -> ExitCode {
    if json {
        print_json(&json!({ "error": { "kind": ErrorKind::Host, "message": message, "hint": hint } }));
    }
    complain(&format!("error: {message}"));
    if let Some(hint) = hint {
        complain(&format!("hint: {hint}"));
    }
    ExitCode::from(exit_codes::FAILED)
}

fn exit_code(check: &RootfsCheck) -> ExitCode {
    ExitCode::from(if check.is_usable() { exit_codes::SUCCESS } else { exit_codes::FAILED })
}

fn document(check: &RootfsCheck) -> serde_json::Value {
    let offers: Vec<_> =
        check.properties.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({ "root": check.root, "ok": check.is_usable(), "offers": offers, "findings": check.findings })
}

fn print_created(created: &CreatedRootfs, arch: Arch, elapsed: Duration) {
    let (bytes, seconds) = (HumanBytes(created.bytes), elapsed.as_secs_f64());
    print(&format!(
        "made {} from {}: {} files, {bytes}, {seconds:.1} s\n",
        created.root.display(),
        created.source,
        created.members
    ));
    created.notes.iter().for_each(|note| print(&format!("note: {note}")));
    print_check(&created.check);
    if created.check.is_usable() {
        let (name, root) = (arch.property(), created.root.display());
        let target = Target { arch };
        print("\nNext:");
        print(&format!("  crosswheel serve --pool {name}={root}"));
        let is_default = default_root(None, arch).is_ok_and(|default| default == created.root);
        let place = if is_default { String::new() } else { format!(" --rootfs {target}={root}") };
        print(&format!("  crosswheel build cowsay==6.0 --target {target}{place}"));
    }
}

fn print_check(check: &RootfsCheck) {
    let offers: Vec<_> = check.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    print(&format!("{}: {}", check.root.display(), offers.join(" ")));
    check.findings.iter().for_each(print_finding);
    print(if check.is_usable() { "Wheels can be built in it." } else { "Wheels cannot be built in it yet." });
}

/// How this host runs programs for `arch`.
fn host_support(arch: Arch) -> Result<String, (String, String)> {
    match EmulationHost::this().support(arch) {
        EmulationSupport::Native => Ok("its programs run natively".to_owned()),
        EmulationSupport::Registered { name, interpreter } => {
            Ok(format!("its programs are emulated by {} (binfmt_misc: {name})", interpreter.display()))
        }
        EmulationSupport::Private(emulator) => Ok(format!(
            "its programs are emulated by {}, which sandboxes register for themselves",
            emulator.program.display()
        )),
        EmulationSupport::Impossible(EmulationObstacle { problem, mend }) => Err((problem, mend)),
    }
}

/// How long cleaning up may take before it is left to the next attempt.
const GRACE: Duration = Duration::from_secs(10);

/// A value that cannot be mistaken for an option, nor break a line.
fn plain_word(text: &str) -> Result<String, String> {
    let plain = |character: char| !character.is_whitespace() && !character.is_control();
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("expected one word that does not begin with a dash".to_owned())
    }
}

/// The name of a package (Debian Policy 5.6.1), and nothing else that apt understands.
fn package_name(text: &str) -> Result<String, String> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if text.len() > 1 && text.as_bytes()[0].is_ascii_alphanumeric() && text.bytes().all(valid) {
        Ok(text.to_owned())
    } else {
        Err("expected the name of a Debian package".to_owned())
    }
}

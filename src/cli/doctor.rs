//! `crosswheel doctor`: whether this host can build, and what would mend it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::exit_codes::{self, Subcommand};
use super::failure_text;
use super::output::{complain, print, print_finding};
use crate::doctor::{
    BinfmtRegistration, attack, examine, mount_overlay_in_new_namespace, register_binfmt, try_to_break,
};
use crate::finding::FindingStatus;
use crate::platform::Arch;

/// Check this host: Pythons, compilers, uv, namespaces, overlayfs, emulation, disk.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  crosswheel doctor
  crosswheel doctor --sandbox
  crosswheel doctor --register-binfmt
  crosswheel doctor --json | jq '.findings[] | select(.status != \"works\")'

Emulated pools of `crosswheel serve` need no registration with the kernel on Linux 6.7 and newer.

{}", Subcommand::Doctor.help()))]
pub struct DoctorArguments {
    /// The cache whose disk is looked at [default: crosswheel in the user's cache directory]
    #[arg(long, value_name = "DIR", env = "CROSSWHEEL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Have the kernel of this machine run programs for ARCH by qemu, whoever starts them; takes root, and lasts until
    /// the machine restarts [default: the architecture that this machine is not]
    #[arg(long, value_name = "ARCH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    register_binfmt: Option<String>,
    /// Prove what a sandbox promises on this host, by trying to break out of one
    #[arg(long, conflicts_with = "register_binfmt")]
    sandbox: bool,
    /// Print one JSON document: {"ok": true, "findings": [...]}, or with --register-binfmt {"registered": {...}}
    #[arg(long)]
    json: bool,
    /// Only try to mount an overlay under this directory
    #[arg(long, value_name = "DIR", hide = true)]
    try_overlayfs: Option<PathBuf>,
    /// Only attack, from inside of a sandbox
    #[arg(long, hide = true)]
    attack: bool,
}

/// Runs the subcommand.
pub fn run(arguments: DoctorArguments) -> ExitCode {
    if let Some(directory) = arguments.try_overlayfs {
        return match mount_overlay_in_new_namespace(&directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                complain(&reason);
                ExitCode::from(exit_codes::FAILED)
            }
        };
    }
    if arguments.attack {
        return attack();
    }
    if let Some(arch) = &arguments.register_binfmt {
        return register(arch, arguments.json);
    }
    let cache = match super::directories::cache_directory(arguments.cache_dir) {
        Ok(cache) => cache,
        Err(message) => return failure_text::usage(arguments.json, &message),
    };
    if arguments.sandbox {
        return prove_sandbox(&cache, arguments.json);
    }
    let findings = examine(&cache);
    let ok = findings.iter().all(|finding| finding.status != FindingStatus::Broken);
    if arguments.json {
        failure_text::print_json(&serde_json::json!({ "ok": ok, "findings": findings }));
    } else {
        findings.iter().for_each(print_finding);
        print(if ok { "\nThis host can build wheels." } else { "\nThis host cannot build wheels yet." });
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::from(exit_codes::FAILED) }
}

fn prove_sandbox(cache: &Path, json: bool) -> ExitCode {
    let findings = match try_to_break(cache) {
        Ok(findings) => findings,
        Err(message) => return failure_text::internal(json, &message),
    };
    let ok = findings.iter().all(|finding| finding.status == FindingStatus::Works);
    if json {
        failure_text::print_json(&serde_json::json!({ "ok": ok, "findings": findings }));
    } else {
        findings.iter().for_each(print_finding);
        let all = "\nEvery promise held. docs/sandbox.md says what is not promised.";
        print(if ok { all } else { "\nNot every promise holds on this host." });
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::from(exit_codes::FAILED) }
}

fn register(arch: &str, json: bool) -> ExitCode {
    let arch = match arch {
        "" => Arch::host().other(),
        name => match Arch::from_property(name).or_else(|| Arch::from_machine(name)) {
            Some(arch) => arch,
            None => {
                let message = format!("unknown architecture `{name}`; there are amd64 and arm64");
                return failure_text::usage(json, &message);
            }
        },
    };
    match register_binfmt(arch) {
        Ok(registered) => {
            if json {
                failure_text::print_json(&serde_json::json!({ "registered": registered }));
            } else {
                print_registration(&registered);
            }
            ExitCode::SUCCESS
        }
        Err(error) => failure_text::internal(json, &error.to_string()),
    }
}

fn print_registration(registered: &BinfmtRegistration) {
    let BinfmtRegistration { arch, name, interpreter, already, undo } = registered;
    let done = if *already { "was registered already" } else { "is registered now" };
    print(&format!("{interpreter} {done} as {name}: programs for {arch} run on this machine."));
    print(&format!("To take it back, as root: {undo}"));
    if !already {
        print(
            "It lasts until the machine restarts; the package qemu-user-static registers it at every start.",
        );
    }
}

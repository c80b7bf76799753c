//! `crosswheel doctor`: whether this host can build, and what would mend it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure_text;
use super::output::{complain, print};
use crate::doctor::{Finding, Status, examine, mount_overlay_in_new_namespace};

/// Check this host: Pythons, compilers, uv, namespaces, overlayfs, emulation, disk.
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  crosswheel doctor
  crosswheel doctor --json | jq '.findings[] | select(.status != \"works\")'

Exit codes: 0 if wheels can be built, 1 if something must be mended first.")]
pub struct DoctorArguments {
    /// The cache whose disk is looked at [default: crosswheel in the user's cache directory]
    #[arg(long, value_name = "DIR", env = "CROSSWHEEL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Print one JSON document: {"ok": true, "findings": [...]}
    #[arg(long)]
    json: bool,
    /// Only try to mount an overlay under this directory
    #[arg(long, value_name = "DIR", hide = true)]
    try_overlayfs: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(arguments: DoctorArguments) -> ExitCode {
    if let Some(directory) = arguments.try_overlayfs {
        return match mount_overlay_in_new_namespace(&directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => {
                complain(&reason);
                ExitCode::FAILURE
            }
        };
    }
    let cache = match super::cache_directory(arguments.cache_dir) {
        Ok(cache) => cache,
        Err(message) => return failure_text::usage(arguments.json, &message),
    };
    let findings = examine(&cache);
    let ok = findings.iter().all(|finding| finding.status != Status::Broken);
    if arguments.json {
        failure_text::print_json(&serde_json::json!({ "ok": ok, "findings": findings }));
    } else {
        findings.iter().for_each(print_finding);
        print(if ok { "\nThis host can build wheels." } else { "\nThis host cannot build wheels yet." });
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_finding(finding: &Finding) {
    let mark = match finding.status {
        Status::Works => "works  ",
        Status::Limited => "limited",
        Status::Broken => "BROKEN ",
    };
    print(&format!("{mark}  {}: {}", finding.subject, finding.found));
    if let Some(mend) = &finding.mend {
        print(&format!("         mend: {mend}"));
    }
}

//! `crosswheel store`: what is in the store, and whether it is sound.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use super::exit_codes::{DAMAGE, Subcommand as Codes};
use super::failure_text::{internal, print_json, usage};
use super::output::{complain, print};
use crate::cas::{
    DiskStore, StoreError, StoreSettings, StoreStatistics, Verification, store_statistics, verify_store,
};

/// Look after the store of blobs and action results: verify, stats, prune.
#[derive(Args)]
#[command(after_long_help = format!("\
Examples:
  crosswheel store stats
  crosswheel store verify --store /var/cache/bazel-disk-cache
  crosswheel store prune --max-bytes 50G --json

{}", Codes::Store.help()))]
pub struct StoreArguments {
    #[command(subcommand)]
    command: StoreCommand,
    /// The store, or a `--disk_cache` directory of Bazel [default: store in crosswheel's cache directory]
    #[arg(long, value_name = "DIR", env = "CROSSWHEEL_STORE", global = true)]
    store: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum StoreCommand {
    /// Hash every blob, and check every action result. May run while the store is in use, but for --repair.
    Verify {
        /// Delete what is damaged, so that it is made or uploaded again
        #[arg(long)]
        repair: bool,
    },
    /// Count blobs, bytes and action results; show the largest, and how long ago all were used.
    Stats,
    /// Delete what was used least recently.
    Prune {
        /// How many bytes of disk may stay: a number, or one with K, M, G or T (powers of 1024)
        #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
        max_bytes: u64,
    },
}

/// Runs the subcommand.
pub fn run(arguments: StoreArguments) -> ExitCode {
    let json = arguments.json;
    let directory = match super::directories::store_directory(arguments.store, "store") {
        Ok(directory) => directory,
        Err(message) => return usage(json, &message),
    };
    if !directory.is_dir() {
        return usage(json, &format!("there is no store in {}; give --store DIR", directory.display()));
    }
    let outcome = match arguments.command {
        StoreCommand::Verify { repair } => verify(&directory, repair, json),
        StoreCommand::Stats => stats(&directory, json),
        StoreCommand::Prune { max_bytes } => prune(&directory, max_bytes, json),
    };
    outcome.unwrap_or_else(|error| internal(json, &error.to_string()))
}

fn verify(directory: &Path, repair: bool, json: bool) -> Result<ExitCode, StoreError> {
    let bar = progress(json);
    let found = verify_store(directory, repair, &|bytes, files| {
        bar.set_position(bytes);
        bar.set_message(format!("{} files", HumanCount(files)));
    });
    bar.finish_and_clear();
    let found = found?;
    if json {
        print_json(&found);
    } else {
        print_verification(&found);
    }
    let sound = found.damaged.iter().all(|damaged| damaged.removed);
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(DAMAGE) })
}

/// Shown on terminals only.
fn progress(json: bool) -> ProgressBar {
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::no_length() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {bytes} ({bytes_per_sec}), {msg}") {
        bar.set_style(style);
    }
    bar
}

fn print_verification(found: &Verification) {
    for damaged in &found.damaged {
        let removed = if damaged.removed { " (deleted)" } else { "" };
        complain(&format!("{}: {}{removed}", damaged.file, damaged.problem));
    }
    let (files, bytes) = (HumanCount(found.files), HumanBytes(found.bytes));
    print(&format!("{files} files with {bytes} verified, {} damaged", found.damaged.len()));
    if found.damaged.iter().any(|damaged| !damaged.removed) {
        print("Stop whatever uses the store and run `crosswheel store verify --repair` to delete them.");
    }
}

fn stats(directory: &Path, json: bool) -> Result<ExitCode, StoreError> {
    let statistics = store_statistics(directory)?;
    if json {
        print_json(&statistics);
    } else {
        print_statistics(directory, &statistics);
    }
    Ok(ExitCode::SUCCESS)
}

/// `365days` rather than the months and hours that a year has on average.
fn whole_units(seconds: u64) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match seconds {
        days if days % DAY == 0 && days > DAY => format!("{}days", days / DAY),
        other => humantime::format_duration(Duration::from_secs(other)).to_string(),
    }
}

fn print_statistics(directory: &Path, statistics: &StoreStatistics) {
    print(&format!("{}", directory.display()));
    for (what, totals) in [("blobs", &statistics.blobs), ("action results", &statistics.results)] {
        let (files, bytes, disk) =
            (HumanCount(totals.files), HumanBytes(totals.bytes), HumanBytes(totals.disk_bytes));
        print(&format!("  {files} {what}, {bytes}, {disk} of disk"));
    }
    print(&format!("  {} input trees", HumanCount(statistics.trees)));
    print("last used within");
    for class in &statistics.ages {
        let within = class.within_seconds.map_or_else(|| "longer".to_owned(), whole_units);
        print(&format!(
            "  {within:20} {:>12} files {:>12}",
            HumanCount(class.files),
            HumanBytes(class.bytes)
        ));
    }
    print("largest blobs");
    for blob in &statistics.largest {
        print(&format!("  {:>12}  {}", HumanBytes(blob.size_bytes), blob.file));
    }
}

fn prune(directory: &Path, max_bytes: u64, json: bool) -> Result<ExitCode, StoreError> {
    let settings = StoreSettings {
        directory: directory.to_owned(),
        // Nobody else has it open, so nobody was told that anything is there.
        keep_after_use: Duration::ZERO,
        ..StoreSettings::default()
    };
    let usage = DiskStore::open(&settings)?.prune(max_bytes)?;
    if json {
        print_json(&serde_json::json!({
            "evicted": usage.evicted,
            "evicted_bytes": usage.evicted_bytes,
            "blobs": usage.blobs,
            "results": usage.results,
            "disk_bytes": usage.disk_bytes,
        }));
    } else {
        let (evicted, bytes) = (HumanCount(usage.evicted), HumanBytes(usage.evicted_bytes));
        print(&format!(
            "{evicted} files with {bytes} deleted, {} of disk taken",
            HumanBytes(usage.disk_bytes)
        ));
    }
    Ok(if usage.disk_bytes <= max_bytes { ExitCode::SUCCESS } else { ExitCode::from(DAMAGE) })
}

/// A number of bytes, as people write it: `500`, `64K`, `1.5G`, `2TiB`.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let invalid = || format!("`{text}` is not a size such as 500, 64K or 1.5G");
    let unit_at = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let shift = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(invalid()),
    };
    if let Ok(whole) = number.trim().parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(invalid);
    }
    let part: f64 = number.trim().parse().map_err(|_| invalid())?;
    let bytes = part * (1_u64 << shift) as f64;
    if bytes.is_finite() && (0.0..1.8e19).contains(&bytes) { Ok(bytes as u64) } else { Err(invalid()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let sizes = [
            ("0", 0),
            ("500", 500),
            ("64K", 65_536),
            ("1.5g", 1_610_612_736),
            ("2TiB", 2 << 40),
            ("1 MB", 1 << 20),
        ];
        for (text, bytes) in sizes {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "-1", "1X", "1.2.3", "nan", "inf", "99999999999999999999", "20000000T"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}

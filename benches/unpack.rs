//! Unpacking one tar archive: crosswheel, Python's `tarfile` with the data filter, and GNU tar, each as a
//! process of its own, in turns.
//!
//! ```text
//! pip download --no-binary :all: --no-deps ansible-core==2.16.3
//! cargo bench --bench unpack -- ansible-core-2.16.3.tar.gz
//! ```
//! Without an archive it makes one of 5,000 files.

#[path = "../tests/support/waiting.rs"]
mod waiting;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::ensure;
use crosswheel::archive::unpack;
use crosswheel::contract::ArchiveLimits;
use waiting::InTime;

/// First argument of this program when it is the crosswheel column itself.
const UNPACK_ONCE: &str = "--unpack-once";

const ROUNDS: usize = 11;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, archive, destination] = arguments.as_slice()
        && flag == UNPACK_ONCE
    {
        return unpack_once(Path::new(archive), Path::new(destination));
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("This is a benchmark: cargo bench --bench unpack -- [ARCHIVE]");
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let archive = match arguments.iter().find(|argument| !argument.starts_with("--")) {
        Some(archive) => PathBuf::from(archive),
        None => {
            println!("No archive given, so here is one of 5,000 files. For a real one:");
            println!("  pip download --no-binary :all: --no-deps ansible-core==2.16.3");
            println!("  cargo bench --bench unpack -- \"$PWD/ansible-core-2.16.3.tar.gz\"\n");
            synthetic_archive(place.path())?
        }
    };
    compare(&archive, place.path())
}

/// The crosswheel column: unpacks, and prints the peak of its resident memory.
fn unpack_once(archive: &Path, destination: &Path) -> anyhow::Result<()> {
    let tree = unpack(archive, destination, &ArchiveLimits::default())?;
    let status = fs_err::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown").trim();
    println!("{} members, {} bytes, peak memory {peak}", tree.members, tree.bytes);
    Ok(())
}

fn compare(archive: &Path, place: &Path) -> anyhow::Result<()> {
    let this = std::env::current_exe()?;
    let python = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter='data')";
    type Unpack<'a> = Box<dyn Fn(&Path) -> Command + 'a>;
    let contestants: [(&str, Unpack); 3] = [
        ("crosswheel", Box::new(|into| command(&this, &[UNPACK_ONCE.as_ref(), archive, into]))),
        (
            "Python tarfile, filter='data'",
            Box::new(|into| command("python3".as_ref(), &["-c".as_ref(), python.as_ref(), archive, into])),
        ),
        (
            "GNU tar",
            Box::new(|into| command("tar".as_ref(), &["-xf".as_ref(), archive, "-C".as_ref(), into])),
        ),
    ];
    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut remark = String::new();
    // The first round warms the caches and is not counted. Nothing is removed until the end: ext4 takes
    // seconds to make files while it avoids the inodes of thousands that were just removed.
    for round in 0..=ROUNDS {
        for (contestant, ((name, unpack), times)) in contestants.iter().zip(&mut times).enumerate() {
            let destination = place.join(format!("{round}-{contestant}"));
            fs_err::create_dir(&destination)?;
            let start = Instant::now();
            let output = unpack(&destination).output_in_time();
            let elapsed = start.elapsed();
            ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            if round > 0 {
                times.push(elapsed);
            }
            if contestant == 0 {
                remark = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
        }
    }
    println!("{}: {remark}", archive.display());
    println!("{:<32}{:>10}{:>10}{:>10}", format!("{ROUNDS} rounds, ms"), "min", "median", "x median");
    let own = median(&mut times[0]);
    for ((name, _), times) in contestants.iter().zip(&mut times) {
        let median = median(times);
        let factor = median.as_secs_f64() / own.as_secs_f64();
        println!(
            "{name:<32}{:>10.1}{:>10.1}{factor:>10.2}",
            times[0].as_secs_f64() * 1e3,
            median.as_secs_f64() * 1e3
        );
    }
    Ok(())
}

fn command(program: &Path, arguments: &[&Path]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// The median; `times` is sorted afterwards.
fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// 5,000 text files of 0 to 12 KiB in 250 directories.
fn synthetic_archive(place: &Path) -> anyhow::Result<PathBuf> {
    let path = place.join("synthetic-1.0.tar.gz");
    let encoder = flate2::write::GzEncoder::new(fs_err::File::create(&path)?, flate2::Compression::default());
    let mut archive = tar::Builder::new(encoder);
    for index in 0..5_000_usize {
        let length = index * 7919 % 12_288;
        let text: Vec<u8> =
            (0..length).map(|at| b"abcdef ghijklm\nnopqrstuv"[(at * at / 7 + index) % 24]).collect();
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        let name = format!("synthetic-1.0/src/package_{:03}/module_{index}.py", index / 20);
        archive.append_data(&mut header, name, text.as_slice())?;
    }
    archive.into_inner()?.finish()?;
    Ok(path)
}

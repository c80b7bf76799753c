//! What this machine does without any server: the limits that bind the rows.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crosswheel::digest::DigestFunction;

use super::waiting::InTime;

/// Limits of this machine, of one core unless said otherwise.
pub struct Limits {
    pub sha256_mb_per_s: f64,
    pub copy_mb_per_s: f64,
    pub file_write_mb_per_s: f64,
    pub file_read_mb_per_s: f64,
    pub files_of_1_kib_per_s: f64,
    pub opens_of_1_kib_per_s: f64,
    pub fork_and_exec: Duration,
    /// As [`Limits::fork_and_exec`], in new user, mount, pid, ipc, uts and net namespaces.
    pub fork_exec_namespaces: Option<Duration>,
    pub zstd_mb_per_s: f64,
}

const MEBIBYTES: usize = 64;

/// Measures all limits with files in `directory`.
pub fn measure(directory: &Path) -> anyhow::Result<Limits> {
    let data = crate::trees::compiled_code(MEBIBYTES << 20, 1)?;
    let mut copy = vec![1_u8; data.len()];
    let file = directory.join("limit");
    let mut buffer = vec![0; 256 << 10];
    Ok(Limits {
        sha256_mb_per_s: rate(|| {
            std::hint::black_box(DigestFunction::Sha256.digest(&data));
            Ok(())
        })?,
        copy_mb_per_s: rate(|| {
            copy.copy_from_slice(&data);
            std::hint::black_box(&copy);
            Ok(())
        })?,
        file_write_mb_per_s: rate(|| {
            let mut file = fs_err::File::create(&file)?;
            data.chunks(256 << 10).try_for_each(|chunk| file.write_all(chunk))?;
            Ok(())
        })?,
        file_read_mb_per_s: rate(|| {
            let mut file = fs_err::File::open(&file)?;
            while file.read(&mut buffer)? > 0 {}
            Ok(())
        })?,
        zstd_mb_per_s: rate(|| {
            std::hint::black_box(zstd::bulk::compress(&data, 1)?);
            Ok(())
        })?,
        files_of_1_kib_per_s: files_per_second(directory)?,
        opens_of_1_kib_per_s: opens_per_second(directory)?,
        fork_and_exec: median(|| Command::new("/bin/true"))?,
        fork_exec_namespaces: median(|| {
            let mut command = Command::new("unshare");
            command.args([
                "--user",
                "--map-root-user",
                "--mount",
                "--pid",
                "--fork",
                "--ipc",
                "--uts",
                "--net",
            ]);
            command.arg("/bin/true");
            command
        })
        .ok(),
    })
}

fn rate(mut round: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        round()?;
        best = best.min(begin.elapsed().as_secs_f64());
    }
    Ok((MEBIBYTES << 20) as f64 / 1e6 / best)
}

const FILES: usize = 10_000;

/// A new file each, without fsync: written beside its place and renamed, as a store does.
fn files_per_second(directory: &Path) -> anyhow::Result<f64> {
    let root = directory.join("files");
    let temporary = root.join("tmp");
    fs_err::create_dir_all(&temporary)?;
    (0..256).try_for_each(|part| fs_err::create_dir(root.join(part.to_string())))?;
    let begin = Instant::now();
    for index in 0..FILES {
        let temporary = temporary.join(index.to_string());
        fs_err::write(&temporary, [7; 1024])?;
        fs_err::rename(&temporary, place(&root, index))?;
    }
    Ok(FILES as f64 / begin.elapsed().as_secs_f64())
}

/// As stores do, a few in each of many directories.
fn place(root: &Path, index: usize) -> PathBuf {
    root.join((index % 256).to_string()).join(index.to_string())
}

fn opens_per_second(directory: &Path) -> anyhow::Result<f64> {
    let root = directory.join("files");
    let begin = Instant::now();
    for index in 0..FILES {
        std::hint::black_box(fs_err::read(place(&root, index))?);
    }
    let rate = FILES as f64 / begin.elapsed().as_secs_f64();
    crosswheel::scratch::removal::remove(root)?;
    Ok(rate)
}

fn median(command: impl Fn() -> Command) -> anyhow::Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        anyhow::ensure!(command().status_in_time().success(), "{:?} fails", command());
        times.push(begin.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

//! The store on disk by itself: how long it takes to start over many blobs, and what it does in a second. Beside
//! each figure stands the limit that binds it: the same system calls alone, or hashing alone.
//!
//! ```text
//! cargo bench --bench store
//! cargo bench --bench store -- --blobs 1000000 --directory /var/tmp/large   (kept for the next time)
//! ```

#[path = "../tests/support/waiting.rs"]
mod waiting;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use crosswheel::cas::{ActionCache as _, BlobStore as _, DiskStore, FileMode, StoreSettings};
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::{ActionResult, OutputFile};
use waiting::wait_until;

/// Blobs in a batch, 4 MiB of them.
const BATCH: usize = 4000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("This is a benchmark: cargo bench --bench store -- [--blobs NUMBER] [--directory DIR]");
        return Ok(());
    }
    let value = |flag: &str| {
        let position = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(position + 1)
    };
    let blobs: u64 = value("--blobs").map_or(Ok(20_000), |number| number.parse()).context("--blobs")?;
    let temporary = tempfile::tempdir()?;
    let directory = value("--directory").map_or_else(|| temporary.path().join("store"), PathBuf::from);
    start(&directory, blobs)?;
    throughput(&temporary.path().join("throughput"))
}

fn open(directory: &Path) -> anyhow::Result<DiskStore> {
    Ok(DiskStore::open(&StoreSettings { directory: directory.to_owned(), ..StoreSettings::default() })?)
}

/// The blob with this number: 16 bytes.
fn numbered(number: u64) -> (Digest, [u8; 16]) {
    let bytes = u128::from(number).to_le_bytes();
    (DigestFunction::Sha256.digest(&bytes), bytes)
}

fn start(directory: &Path, blobs: u64) -> anyhow::Result<()> {
    let made = Instant::now();
    make_store(directory, blobs)?;
    println!("{blobs} blobs made or found in {:.1?}", made.elapsed());
    for round in ["first", "second"] {
        let started = Instant::now();
        let store = open(directory)?;
        let opened = started.elapsed();
        let some: Vec<Digest> = (0..100.min(blobs)).map(|number| numbered(number).0).collect();
        ensure!(store.find_missing(&some)?.is_empty(), "blobs are missing");
        let answered = started.elapsed();
        wait_until("all blobs to be listed", || store.usage().listed);
        let listed = started.elapsed();
        ensure!(store.usage().blobs == blobs, "{:?}", store.usage());
        let memory = fs_err::read_to_string("/proc/self/status")?;
        let memory = memory.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim();
        println!(
            "{round} start: open after {opened:.1?}, 100 blobs found after {answered:.1?}, all listed after \
             {listed:.1?}, {memory} of memory"
        );
    }
    Ok(())
}

/// Writes the files as they lie in a store, faster than a store would.
fn make_store(directory: &Path, blobs: u64) -> anyhow::Result<()> {
    for first in 0..=255_u8 {
        fs_err::create_dir_all(directory.join(format!("cas/{first:02x}")))?;
    }
    std::thread::scope(|scope| {
        let halves: Vec<_> = (0..2)
            .map(|half| {
                scope.spawn(move || -> anyhow::Result<()> {
                    for number in (half..blobs).step_by(2) {
                        let (digest, bytes) = numbered(number);
                        let hex = digest.hex();
                        let place = directory.join("cas").join(&hex[..2]).join(&hex);
                        if !place.exists() {
                            fs_err::write(place, bytes)?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        halves.into_iter().try_for_each(|half| half.join().expect("the writer does not panic"))
    })
}

fn throughput(directory: &Path) -> anyhow::Result<()> {
    let store = open(directory)?;
    let blobs: Vec<(Digest, Bytes)> = (0..10 * BATCH as u64)
        .map(|number| Bytes::from(number.to_le_bytes().repeat(128)))
        .map(|bytes| (DigestFunction::Sha256.digest(&bytes), bytes))
        .collect();
    let digests: Vec<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
    println!("\n{:42} {:>12}   limit", "", "per second");

    let hashing = rate(blobs.len(), || {
        blobs.iter().for_each(|(digest, bytes)| assert_eq!(digest.function.digest(bytes), *digest));
        Ok(())
    })?;
    let files = rate(blobs.len(), || files_alone(&directory.join("alone"), &blobs))?;
    let batches = || blobs.chunks(BATCH);
    let write = || batches().try_for_each(|batch| all(store.write_many(batch)));
    row(
        "write 1 KiB blobs, batches of 4,000",
        rate(blobs.len(), write)?,
        "create, write, rename, 1 thread",
        files,
    );
    row("write those again", rate(blobs.len(), write)?, "SHA-256, 1 thread", hashing);
    let read = || digests.chunks(BATCH).try_for_each(|batch| all(store.read_many(batch)));
    let reading = rate(digests.len(), || {
        digests.iter().try_for_each(|digest| {
            fs_err::read(directory.join("cas").join(&digest.hex()[..2]).join(digest.hex()))?;
            Ok(())
        })
    })?;
    row(
        "read 1 KiB blobs, batches of 4,000",
        rate(digests.len(), read)?,
        "read the files, 1 thread",
        reading,
    );
    row("read those again", rate(digests.len(), read)?, "", 0.0);
    let find = || {
        (0..10).try_for_each(|_| {
            ensure!(store.find_missing(&digests)?.is_empty());
            Ok(())
        })
    };
    row("find_missing, digests", rate(10 * digests.len(), find)?, "", 0.0);
    let pin = || store.pin(&digests).map(drop).map_err(|_| anyhow::anyhow!("cannot pin"));
    row("pin and unpin", rate(digests.len(), pin)?, "", 0.0);

    let links: Vec<_> = digests[..5000]
        .iter()
        .enumerate()
        .map(|(number, digest)| {
            (*digest, FileMode::Executable, store.trees_directory().join(number.to_string()))
        })
        .collect();
    row("link 5,000 blobs", rate(links.len(), || all(store.link_many(&links)))?, "", 0.0);

    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "out".into(),
            digest: Some(digests[0].to_message()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let some = &digests[..5000];
    let put = || some.iter().try_for_each(|action| Ok(store.put("", action, &result)?));
    row("put action results, 1 thread", rate(some.len(), put)?, "", 0.0);
    let get = || {
        some.iter().try_for_each(|action| {
            ensure!(store.result("", action)?.is_some());
            Ok(())
        })
    };
    row("get action results, 1 thread", rate(some.len(), get)?, "", 0.0);

    let large = Bytes::from(vec![7_u8; 64 << 20]);
    let megabytes = large.len() / 1_000_000;
    let digest = DigestFunction::Sha256.digest(&large);
    let hashing = rate(megabytes, || {
        assert_eq!(digest.function.digest(&large), digest);
        Ok(())
    })?;
    let upload = || {
        let mut upload = store.upload(&digest)?;
        large.chunks(256 << 10).try_for_each(|piece| upload.write(piece))?;
        Ok(upload.finish()?)
    };
    row("upload 64 MiB, MB", rate(megabytes, upload)?, "SHA-256, 1 thread", hashing);
    Ok(())
}

/// What creating that many files costs at least.
fn files_alone(directory: &Path, blobs: &[(Digest, Bytes)]) -> anyhow::Result<()> {
    for first in 0..=255_u8 {
        fs_err::create_dir_all(directory.join(format!("{first:02x}")))?;
    }
    for (digest, bytes) in blobs {
        let temporary = directory.join("temporary");
        fs_err::write(&temporary, bytes)?;
        fs_err::rename(&temporary, directory.join(format!("{:02x}", digest.hash[0])).join(digest.hex()))?;
    }
    Ok(())
}

fn all<T>(outcomes: Vec<Result<T, crosswheel::cas::StoreError>>) -> anyhow::Result<()> {
    outcomes.into_iter().try_for_each(|outcome| Ok(outcome.map(drop)?))
}

fn rate(count: usize, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    run()?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

fn row(what: &str, rate: f64, limit: &str, limit_rate: f64) {
    let limit = if limit.is_empty() { String::new() } else { format!("{limit_rate:.0} ({limit})") };
    println!("{what:42} {rate:>12.0}   {limit}");
}

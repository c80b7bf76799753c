//! What it costs that a blob of an earlier process is hashed before it is served: reads of each once after a start, and
//! the same reads again. All are in the page cache, which is the worst that can be said of hashing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::load::Connection;
use crate::rows::{Options, own_processor_time, read_blob, salt, write_blob};
use crate::table::{Figure, Table};
use crate::trees::{self, Blob};

const LENGTH: usize = 16 << 20;
const BLOBS: u64 = 32;
const AT_A_TIME: usize = 4;

const ROWS: [&str; 2] =
    ["first read after a start, 16 MiB, 4 at a time", "second read after a start, 16 MiB, 4 at a time"];

/// Measures both rows with servers of this `binary` on one store, one after the other.
pub async fn measure(
    name: &str,
    binary: &Path,
    store: &Path,
    options: &Options,
    table: &mut Table,
) -> anyhow::Result<()> {
    if !ROWS.iter().any(|row| options.wants(row)) {
        return Ok(());
    }
    let base = salt();
    let blobs = (0..BLOBS).map(|index| anyhow::Ok(Blob::new(trees::compiled_code(LENGTH, base + index)?)));
    let blobs: Arc<Vec<Blob>> = Arc::new(blobs.collect::<Result<_, _>>()?);
    {
        let before = Endpoint::crosswheel(name, binary, store)?;
        let connection = Connection::open(&before.url).await?;
        for blob in blobs.iter() {
            write_blob(&connection, blob, blob.bytes.clone(), false).await?;
        }
    }
    let endpoint = Endpoint::crosswheel(name, binary, store)?;
    let limits = &table.limits;
    let copies = 1.0 / limits.file_read_mb_per_s + 2.0 / limits.copy_mb_per_s;
    let hash = 1.0 / limits.sha256_mb_per_s + 1.0 / limits.file_read_mb_per_s;
    let said = [
        format!("{:.0} MB/s: hash, two reads and two copies on two cores", 2.0 / (hash + copies)),
        format!("{:.0} MB/s: file and two copies on two cores", 2.0 / copies),
    ];
    for (row, limit) in ROWS.into_iter().zip(said) {
        let figure = read_each(&endpoint, &blobs).await.context(row)?;
        table.add((row, "MB/s", ""), limit, name, figure);
    }
    Ok(())
}

async fn read_each(endpoint: &Endpoint, blobs: &Arc<Vec<Blob>>) -> anyhow::Result<Figure> {
    let next = Arc::new(AtomicU64::new(0));
    let mut connections = Vec::new();
    for _ in 0..AT_A_TIME {
        connections.push(Connection::open(&endpoint.url).await?);
    }
    let (server_before, client_before) = (endpoint.processor_time(), own_processor_time());
    let begin = Instant::now();
    let lanes = connections.into_iter().map(|connection| {
        let (blobs, next) = (Arc::clone(blobs), Arc::clone(&next));
        tokio::spawn(async move {
            while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                read_blob(&connection, &blob.digest, false).await?;
            }
            anyhow::Ok(())
        })
    });
    for lane in futures_util::future::join_all(lanes).await {
        lane??;
    }
    let elapsed = begin.elapsed();
    let bytes: usize = blobs.iter().map(|blob| Bytes::len(&blob.bytes)).sum();
    let megabytes = bytes as f64 / 1e6;
    let per_megabyte = |time: Duration| time.div_f64(megabytes);
    let server_time = endpoint.processor_time().zip(server_before);
    Ok(Figure {
        value: megabytes / elapsed.as_secs_f64(),
        server_time: server_time.map(|(after, before)| per_megabyte(after.saturating_sub(before))),
        client_time: per_megabyte(own_processor_time().saturating_sub(client_before)),
    })
}

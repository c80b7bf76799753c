//! The rows: one kind of work each, offered for a while to one server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use crosswheel::digest::Digest;
use crosswheel::reapi;
use crosswheel::reapi::{bytestream, longrunning};
use prost::Message as _;

use crate::endpoint::Endpoint;
use crate::load::{Connection, Message};
use crate::table::{Figure, Table};
use crate::trees::{self, Blob, InputRoot};
use crate::waiting::{LONG_DEADLINE, within_time};

const CAPABILITIES: &str = "/build.bazel.remote.execution.v2.Capabilities/GetCapabilities";
const EXECUTE: &str = "/build.bazel.remote.execution.v2.Execution/Execute";
const GET_ACTION_RESULT: &str = "/build.bazel.remote.execution.v2.ActionCache/GetActionResult";
const BATCH_UPDATE: &str = "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs";
const BATCH_READ: &str = "/build.bazel.remote.execution.v2.ContentAddressableStorage/BatchReadBlobs";
const FIND_MISSING: &str = "/build.bazel.remote.execution.v2.ContentAddressableStorage/FindMissingBlobs";
const WRITE: &str = "/google.bytestream.ByteStream/Write";
const READ: &str = "/google.bytestream.ByteStream/Read";

/// What to measure.
pub struct Options {
    pub time: Duration,
    /// Parts of names; all rows if empty.
    pub only: Vec<String>,
}

impl Options {
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

/// Measures all rows against one server.
pub async fn measure(endpoint: &Endpoint, options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(Connection::open(&endpoint.url).await?);
    }
    let capabilities = connections[0].unary(CAPABILITIES, Bytes::new()).await?;
    reapi::ServerCapabilities::decode(capabilities).context("GetCapabilities")?;
    if let (Some(start_up), Some(memory)) = (endpoint.start_up, endpoint.memory()) {
        table.note(format!(
            "{}: {:.0} ms from start to the first connection, {:.1} MiB resident when idle.",
            endpoint.name,
            start_up.as_secs_f64() * 1e3,
            memory as f64 / f64::from(1 << 20)
        ));
    }
    let mut bench = Bench { endpoint, options, table, connections };
    within_time(LONG_DEADLINE, "the end of all rows", bench.rows()).await?;
    if let Some(memory) = endpoint.memory() {
        let mebibytes = memory as f64 / f64::from(1 << 20);
        bench.table.note(format!("{}: {mebibytes:.1} MiB resident after all rows.", endpoint.name));
    }
    Ok(())
}

struct Bench<'a> {
    endpoint: &'a Endpoint,
    options: &'a Options,
    table: &'a mut Table,
    connections: Vec<Connection>,
}

/// What came of offering work for a while.
struct Offered {
    units: u64,
    elapsed: Duration,
    latencies: Vec<Duration>,
    server_time: Option<Duration>,
    client_time: Duration,
}

impl Offered {
    fn per_second(&self) -> f64 {
        self.units as f64 / self.elapsed.as_secs_f64()
    }

    fn median_milliseconds(&self) -> f64 {
        self.latencies.get(self.latencies.len() / 2).map_or(f64::NAN, |median| median.as_secs_f64() * 1e3)
    }

    /// `value`, with the processor time of `units` of work.
    fn figure(&self, value: f64) -> Figure {
        let units = u32::try_from(self.units.max(1)).unwrap_or(u32::MAX);
        Figure {
            value,
            server_time: self.server_time.map(|time| time / units),
            client_time: self.client_time / units,
        }
    }
}

impl Bench<'_> {
    fn wants(&self, name: &str) -> bool {
        self.options.wants(name)
    }

    /// Does `work` again and again, `at_a_time` of it at once, until the time is over. `work` gets a number of
    /// its own and a connection, and returns how many units it was.
    async fn offer<F>(&self, at_a_time: usize, work: impl Fn(u64, Connection) -> F) -> anyhow::Result<Offered>
    where
        F: Future<Output = anyhow::Result<u64>> + Send + 'static,
    {
        let next = Arc::new(AtomicU64::new(0));
        let (server_before, client_before) = (self.endpoint.processor_time(), own_processor_time());
        let begin = Instant::now();
        let mut lanes = Vec::new();
        for lane in 0..at_a_time {
            let connection = self.connections[lane % self.connections.len()].clone();
            let (next, work) = (Arc::clone(&next), &work);
            lanes.push(async move {
                let (mut units, mut latencies) = (0, Vec::new());
                while begin.elapsed() < self.options.time {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let started = Instant::now();
                    units += tokio::spawn(work(number, connection.clone())).await??;
                    latencies.push(started.elapsed());
                }
                anyhow::Ok((units, latencies))
            });
        }
        let mut offered = Offered {
            units: 0,
            elapsed: Duration::ZERO,
            latencies: Vec::new(),
            server_time: None,
            client_time: Duration::ZERO,
        };
        for (units, latencies) in futures_util::future::try_join_all(lanes).await? {
            offered.units += units;
            offered.latencies.extend(latencies);
        }
        offered.elapsed = begin.elapsed();
        offered.latencies.sort();
        offered.client_time = own_processor_time().saturating_sub(client_before);
        offered.server_time = match (self.endpoint.processor_time(), server_before) {
            (Some(after), Some(before)) => Some(after.saturating_sub(before)),
            _ => None,
        };
        Ok(offered)
    }

    async fn rows(&mut self) -> anyhow::Result<()> {
        self.no_ops().await?;
        self.large_input_roots().await?;
        self.action_results().await?;
        self.byte_streams().await?;
        self.small_blobs().await?;
        self.find_missing().await
    }

    async fn no_ops(&mut self) -> anyhow::Result<()> {
        let (one, eight) = ("no-op action, 1 at a time, p50", "no-op actions/s, 8 at a time");
        if !self.wants(one) && !self.wants(eight) {
            return Ok(());
        }
        let command = trees::command();
        let root = Blob::of(&reapi::Directory::default());
        upload(&self.connections[0], &[command.clone(), root.clone()]).await?;
        let base = salt();
        let work = |offset: u64| {
            let (command, root) = (command.digest, root.digest);
            move |number: u64, connection: Connection| async move {
                let action = trees::action(&command, &root, base + offset + number);
                execute(&connection, std::slice::from_ref(&action), &action.digest).await?;
                Ok(1)
            }
        };
        let floor = self.table.limits.fork_exec_namespaces;
        let floor = floor.unwrap_or(self.table.limits.fork_and_exec).as_secs_f64() * 1e3;
        if self.wants(one) {
            let offered = self.offer(1, work(0)).await?;
            let figure = offered.figure(offered.median_milliseconds());
            let limit = format!("{floor:.2} ms: fork, exec, namespaces");
            self.table.add((one, "ms", "≤ 3"), limit, &self.endpoint.name, figure);
        }
        if self.wants(eight) {
            let offered = self.offer(8, work(1 << 40)).await?;
            let limit = format!("{:.0}/s: the same on two cores", 2e3 / floor);
            let figure = offered.figure(offered.per_second());
            self.table.add((eight, "/s", "≥ 600"), limit, &self.endpoint.name, figure);
        }
        Ok(())
    }

    async fn large_input_roots(&mut self) -> anyhow::Result<()> {
        let warm = "warm 5,000-file input root, 2 at a time, p50";
        let changed = "the same, one file changed each time, p50";
        if !self.wants(warm) && !self.wants(changed) {
            return Ok(());
        }
        let base = salt();
        let command = trees::command();
        let mut root = InputRoot::large(base);
        upload(&self.connections[0], std::slice::from_ref(&command)).await?;
        for blobs in root.blobs.chunks(1000) {
            upload(&self.connections[0], blobs).await?;
        }
        let action = trees::action(&command.digest, &root.digest, base);
        execute(&self.connections[0], std::slice::from_ref(&action), &action.digest).await?;
        let limit = "as a no-op action".to_owned();
        if self.wants(warm) {
            let (command, digest) = (command.digest, root.digest);
            let offered = self
                .offer(2, |number, connection| async move {
                    let action = trees::action(&command, &digest, base + 1 + number);
                    execute(&connection, std::slice::from_ref(&action), &action.digest).await?;
                    Ok(1)
                })
                .await?;
            let figure = offered.figure(offered.median_milliseconds());
            self.table.add((warm, "ms", "≤ 12"), limit.clone(), &self.endpoint.name, figure);
        }
        if self.wants(changed) {
            // Made before the clock starts: a client knows its digests.
            let changes: Vec<_> = (0..4000).map(|round| root.change(base + round)).collect();
            // Each root holds the changes before it, which another lane may still be about to send.
            let earlier: Vec<Blob> =
                changes.iter().flat_map(|(_, blobs)| &blobs[..blobs.len() - 1]).cloned().collect();
            for blobs in earlier.chunks(1000) {
                upload(&self.connections[0], blobs).await?;
            }
            let (changes, command) = (Arc::new(changes), command.digest);
            let offered = self
                .offer(2, |number, connection| {
                    let changes = Arc::clone(&changes);
                    async move {
                        let (digest, blobs) = &changes[number as usize % changes.len()];
                        let action = trees::action(&command, digest, base + (1 << 40) + number);
                        let mut blobs = blobs.clone();
                        blobs.push(action.clone());
                        execute(&connection, &blobs, &action.digest).await?;
                        Ok(1)
                    }
                })
                .await?;
            let figure = offered.figure(offered.median_milliseconds());
            self.table.add((changed, "ms", "≤ 15"), limit, &self.endpoint.name, figure);
        }
        Ok(())
    }

    async fn action_results(&mut self) -> anyhow::Result<()> {
        let name = "GetActionResult hits/s, 32 at a time";
        if !self.wants(name) {
            return Ok(());
        }
        let command = trees::command();
        let root = Blob::of(&reapi::Directory::default());
        upload(&self.connections[0], &[command.clone(), root.clone()]).await?;
        let mut requests = Vec::new();
        for number in 0..64 {
            let action = trees::action(&command.digest, &root.digest, salt() + number);
            execute(&self.connections[0], std::slice::from_ref(&action), &action.digest).await?;
            let action_digest = Some(action.digest.to_message());
            let request = reapi::GetActionResultRequest { action_digest, ..Default::default() };
            requests.push(Bytes::from(request.encode_to_vec()));
        }
        let requests = Arc::new(requests);
        let offered = self
            .offer(32, |number, connection| {
                let requests = Arc::clone(&requests);
                async move {
                    let request = requests[number as usize % requests.len()].clone();
                    let answer = connection.unary(GET_ACTION_RESULT, request).await?;
                    ensure!(!answer.is_empty(), "an empty action result");
                    Ok(1)
                }
            })
            .await?;
        let figure = offered.figure(offered.per_second());
        let limit = "system calls and HTTP/2 of client and server".to_owned();
        self.table.add((name, "/s", "≥ 15,000"), limit, &self.endpoint.name, figure);
        Ok(())
    }

    async fn byte_streams(&mut self) -> anyhow::Result<()> {
        const LENGTH: usize = 16 << 20;
        let limits = &self.table.limits;
        let per_byte =
            1.0 / limits.sha256_mb_per_s + 1.0 / limits.file_write_mb_per_s + 2.0 / limits.copy_mb_per_s;
        let write_limit = format!("{:.0} MB/s: hash, file and two copies on two cores", 2.0 / per_byte);
        let per_byte = 1.0 / limits.file_read_mb_per_s + 2.0 / limits.copy_mb_per_s;
        let read_limit = format!("{:.0} MB/s: file and two copies on two cores", 2.0 / per_byte);
        let zstd_limit = format!("{:.0} MB/s: zstd on two cores", 2.0 * limits.zstd_mb_per_s);
        for compressed in [false, true] {
            let (write, read) = if compressed {
                ("ByteStream write, zstd", "ByteStream read, zstd")
            } else {
                ("ByteStream write, 16 MiB, 4 at a time", "ByteStream read, 16 MiB, 4 at a time")
            };
            if !self.wants(write) && !self.wants(read) {
                continue;
            }
            let base = salt();
            let blobs: Vec<(Blob, Bytes)> = (0..48)
                .map(|index| {
                    let blob = Blob::new(trees::compiled_code(LENGTH, base + index)?);
                    let wire = if compressed {
                        zstd::bulk::compress(&blob.bytes, 1)?.into()
                    } else {
                        blob.bytes.clone()
                    };
                    anyhow::Ok((blob, wire))
                })
                .collect::<Result<_, _>>()?;
            let blobs = Arc::new(blobs);
            // Each blob once: a second write of it would end early.
            let next = Arc::new(AtomicU64::new(0));
            let (server_before, client_before) = (self.endpoint.processor_time(), own_processor_time());
            let begin = Instant::now();
            let lanes = (0..4).map(|lane| {
                let (blobs, next, connection) =
                    (Arc::clone(&blobs), Arc::clone(&next), self.connections[lane].clone());
                tokio::spawn(async move {
                    while let Some((blob, wire)) = blobs.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                        write_blob(&connection, blob, wire.clone(), compressed).await?;
                    }
                    anyhow::Ok(())
                })
            });
            for lane in futures_util::future::join_all(lanes).await {
                lane?.context(if compressed { "a compressed write" } else { "a write" })?;
            }
            let megabytes = (blobs.len() * LENGTH) as f64 / 1e6;
            let offered = Offered {
                units: megabytes as u64,
                elapsed: begin.elapsed(),
                latencies: Vec::new(),
                server_time: server_before
                    .and_then(|before| Some(self.endpoint.processor_time()?.saturating_sub(before))),
                client_time: own_processor_time().saturating_sub(client_before),
            };
            let figure = offered.figure(megabytes / offered.elapsed.as_secs_f64());
            let (write_aim, read_aim) =
                if compressed { ("≥ 700", "≥ 700") } else { ("≥ 1,000", "≥ 1,600") };
            let limit = if compressed { zstd_limit.clone() } else { write_limit.clone() };
            self.table.add((write, "MB/s", write_aim), limit, &self.endpoint.name, figure);

            let digests: Arc<Vec<Digest>> = Arc::new(blobs.iter().map(|(blob, _)| blob.digest).collect());
            drop(blobs);
            let offered = self
                .offer(4, |number, connection| {
                    let digest = digests[number as usize % digests.len()];
                    async move { read_blob(&connection, &digest, compressed).await.map(|()| LENGTH as u64) }
                })
                .await?;
            let megabytes = Offered { units: offered.units / 1_000_000, ..offered };
            let figure = megabytes.figure(megabytes.per_second());
            let limit = if compressed { zstd_limit.clone() } else { read_limit.clone() };
            self.table.add((read, "MB/s", read_aim), limit, &self.endpoint.name, figure);
        }
        Ok(())
    }

    async fn small_blobs(&mut self) -> anyhow::Result<()> {
        const BATCH: usize = 1000;
        let (update, read) =
            ("BatchUpdate of 1 KiB blobs, 4 at a time", "BatchRead of 1 KiB blobs, 4 at a time");
        if !self.wants(update) && !self.wants(read) {
            return Ok(());
        }
        let base = salt();
        let batches: Vec<(Bytes, Bytes)> = (0..200_u64)
            .map(|batch| {
                let blobs: Vec<Blob> = (0..BATCH as u64)
                    .map(|index| Blob::new(trees::text(1024, base + batch * BATCH as u64 + index)))
                    .collect();
                let digests = blobs.iter().map(|blob| blob.digest.to_message()).collect();
                let read = reapi::BatchReadBlobsRequest { digests, ..Default::default() };
                (batch_update(&blobs), read.encode_to_vec().into())
            })
            .collect();
        let batches = Arc::new(batches);
        let next = Arc::new(AtomicU64::new(0));
        let (server_before, client_before) = (self.endpoint.processor_time(), own_processor_time());
        let begin = Instant::now();
        let lanes = (0..4).map(|lane| {
            let (batches, next, connection) =
                (Arc::clone(&batches), Arc::clone(&next), self.connections[lane].clone());
            tokio::spawn(async move {
                while let Some((request, _)) = batches.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    check_batch_update(connection.unary(BATCH_UPDATE, request.clone()).await?)?;
                }
                anyhow::Ok(())
            })
        });
        for lane in futures_util::future::join_all(lanes).await {
            lane?.context("BatchUpdateBlobs")?;
        }
        let offered = Offered {
            units: (batches.len() * BATCH) as u64,
            elapsed: begin.elapsed(),
            latencies: Vec::new(),
            server_time: server_before
                .and_then(|before| Some(self.endpoint.processor_time()?.saturating_sub(before))),
            client_time: own_processor_time().saturating_sub(client_before),
        };
        let limit = format!("{:.0}/s: new files on two cores", 2.0 * self.table.limits.files_of_1_kib_per_s);
        let figure = offered.figure(offered.per_second());
        self.table.add((update, "blobs/s", "≥ 40,000"), limit, &self.endpoint.name, figure);

        let offered = self
            .offer(4, |number, connection| {
                let request = batches[number as usize % batches.len()].1.clone();
                async move {
                    let answer = connection.unary(BATCH_READ, request).await?;
                    ensure!(answer.len() > BATCH * 1024, "only {} bytes of {BATCH} blobs", answer.len());
                    Ok(BATCH as u64)
                }
            })
            .await?;
        let limit =
            format!("{:.0}/s: open and read on two cores", 2.0 * self.table.limits.opens_of_1_kib_per_s);
        let figure = offered.figure(offered.per_second());
        self.table.add((read, "blobs/s", "≥ 100,000"), limit, &self.endpoint.name, figure);
        Ok(())
    }

    async fn find_missing(&mut self) -> anyhow::Result<()> {
        const DIGESTS: u64 = 10_000;
        let name = "FindMissing digests/s, 4 at a time";
        if !self.wants(name) {
            return Ok(());
        }
        let base = salt();
        let present: Vec<Blob> =
            (0..DIGESTS / 2).map(|index| Blob::new(trees::text(64, base + index))).collect();
        for blobs in present.chunks(1000) {
            upload(&self.connections[0], blobs).await?;
        }
        let missing = (0..DIGESTS / 2).map(|index| Blob::new(trees::text(64, base + DIGESTS + index)));
        let blob_digests =
            present.iter().cloned().chain(missing).map(|blob| blob.digest.to_message()).collect();
        let request = reapi::FindMissingBlobsRequest { blob_digests, ..Default::default() };
        let request = Bytes::from(request.encode_to_vec());
        let answer = self.connections[0].unary(FIND_MISSING, request.clone()).await?;
        let found = reapi::FindMissingBlobsResponse::decode(answer)?.missing_blob_digests.len() as u64;
        ensure!(found == DIGESTS / 2, "{found} digests are missing, not {}", DIGESTS / 2);
        let offered = self
            .offer(4, |_, connection| {
                let request = request.clone();
                async move {
                    let answer = connection.unary(FIND_MISSING, request).await?;
                    ensure!(answer.len() as u64 > DIGESTS / 2 * 60, "too few missing digests");
                    Ok(DIGESTS)
                }
            })
            .await?;
        let figure = offered.figure(offered.per_second());
        let limit = "reading 64 digits and one look-up each".to_owned();
        self.table.add((name, "digests/s", "≥ 2 M"), limit, &self.endpoint.name, figure);
        Ok(())
    }
}

/// A number no earlier run has used.
pub fn salt() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

pub fn own_processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

fn batch_update(blobs: &[Blob]) -> Bytes {
    let requests = blobs.iter().map(|blob| reapi::batch_update_blobs_request::Request {
        digest: Some(blob.digest.to_message()),
        data: blob.bytes.to_vec(),
        ..Default::default()
    });
    reapi::BatchUpdateBlobsRequest { requests: requests.collect(), ..Default::default() }
        .encode_to_vec()
        .into()
}

fn check_batch_update(answer: Bytes) -> anyhow::Result<()> {
    for response in reapi::BatchUpdateBlobsResponse::decode(answer)?.responses {
        let status = response.status.unwrap_or_default();
        ensure!(status.code == 0, "a blob was refused: {}", status.message);
    }
    Ok(())
}

async fn upload(connection: &Connection, blobs: &[Blob]) -> anyhow::Result<()> {
    check_batch_update(connection.unary(BATCH_UPDATE, batch_update(blobs)).await?)
}

/// Uploads `blobs` and executes `action` among them.
async fn execute(connection: &Connection, blobs: &[Blob], action: &Digest) -> anyhow::Result<()> {
    upload(connection, blobs).await?;
    let request = reapi::ExecuteRequest { action_digest: Some(action.to_message()), ..Default::default() };
    let mut last = Bytes::new();
    connection.server_streaming(EXECUTE, request.encode_to_vec().into(), |answer| last = answer).await?;
    let operation = longrunning::Operation::decode(last)?;
    let Some(longrunning::operation::Result::Response(response)) = operation.result else {
        anyhow::bail!("the operation ended without a response: {operation:?}");
    };
    let response = reapi::ExecuteResponse::decode(&response.value[..])?;
    let result = response.result.with_context(|| format!("no result: {:?}", response.status))?;
    ensure!(result.exit_code == 0, "exit code {}: {:?}", result.exit_code, response.message);
    Ok(())
}

/// A write in messages of 256 KiB.
pub async fn write_blob(
    connection: &Connection,
    blob: &Blob,
    wire: Bytes,
    compressed: bool,
) -> anyhow::Result<()> {
    const MESSAGE: usize = 256 << 10;
    let kind = if compressed { "compressed-blobs/zstd" } else { "blobs" };
    let name = format!("uploads/{}/{kind}/{}", uuid::Uuid::new_v4(), blob.digest);
    let length = wire.len();
    let messages = (0..length.div_ceil(MESSAGE)).map(move |index| {
        let (begin, end) = (index * MESSAGE, ((index + 1) * MESSAGE).min(length));
        let mut head = bytestream::WriteRequest {
            resource_name: if index == 0 { name.clone() } else { String::new() },
            write_offset: begin as i64,
            finish_write: end == length,
            data: Default::default(),
        }
        .encode_to_vec();
        // The field `data` (number 10) comes last and is sent as it lies in memory.
        prost::encoding::encode_key(10, prost::encoding::WireType::LengthDelimited, &mut head);
        prost::encoding::encode_varint((end - begin) as u64, &mut head);
        Message { head: head.into(), body: wire.slice(begin..end) }
    });
    let answer = connection.client_streaming(WRITE, messages).await?;
    let committed = bytestream::WriteResponse::decode(answer)?.committed_size;
    ensure!(committed == length as i64, "{committed} of {length} bytes committed");
    Ok(())
}

/// Counts what comes; it was hashed when it was written.
pub async fn read_blob(connection: &Connection, digest: &Digest, compressed: bool) -> anyhow::Result<()> {
    let kind = if compressed { "compressed-blobs/zstd" } else { "blobs" };
    let request =
        bytestream::ReadRequest { resource_name: format!("{kind}/{digest}"), read_offset: 0, read_limit: 0 };
    let mut received = 0;
    connection
        .server_streaming(READ, request.encode_to_vec().into(), |answer| received += answer.len() as u64)
        .await?;
    let least = if compressed { digest.size_bytes / 20 } else { digest.size_bytes };
    ensure!(received >= least, "only {received} bytes of {}", digest.size_bytes);
    Ok(())
}

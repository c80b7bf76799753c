//! Many small blobs in few calls. Knows nothing of streams but when to use them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::StreamExt;
use tonic::{Code, Status};

use super::failure::{failed, refused, wrong_bytes};
use super::link::{COMPRESS_FROM, Link, ZSTD_LEVEL, is_about_size, may_pass};
use crate::cas::error::StoreError;
use crate::digest::{Digest, DigestFunction};
use crate::reapi::{
    self, BatchReadBlobsRequest, BatchUpdateBlobsRequest, FindMissingBlobsRequest, batch_read_blobs_response,
    batch_update_blobs_request, compressor, rpc,
};
use crate::remote::Backoff;

/// What a blob takes in a message besides its bytes, at most.
const OVERHEAD: usize = 160;
/// Digests in one question: well below 1 MiB.
const MOST_DIGESTS: usize = 10_000;
/// Calls under way at a time.
const AT_ONCE: usize = 4;
/// A batch of no more than this is refused for something else than its size.
const NEVER_TOO_MUCH: usize = 128 << 10;

type Outcomes<T> = HashMap<Digest, Result<T, StoreError>>;

impl Link {
    pub fn find_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let asked = |digest: &&Digest| **digest != Digest::empty(digest.function);
        let groups = groups(digests.iter().filter(asked), |_| 0, usize::MAX);
        let calls = groups.iter().map(|group| self.find_missing_group(group));
        let answers = self.wait_for(futures_util::stream::iter(calls).buffered(AT_ONCE).collect::<Vec<_>>());
        let mut missing = HashSet::new();
        for answer in answers.map_err(|status| failed("find missing blobs", &status))? {
            missing.extend(answer?);
        }
        Ok(digests.iter().filter(|digest| missing.contains(*digest)).copied().collect())
    }

    async fn find_missing_group(&self, digests: &[Digest]) -> Result<Vec<Digest>, StoreError> {
        let function = function_of(digests);
        let message = FindMissingBlobsRequest {
            instance_name: self.instance_name.clone(),
            blob_digests: digests.iter().map(Digest::to_message).collect(),
            digest_function: function.to_wire(),
        };
        let doing = "find missing blobs";
        let answer = self
            .ask(message, |request| async { self.cas().find_missing_blobs(request).await })
            .await
            .map_err(|status| failed(doing, &status))?;
        let digest = |message: &reapi::Digest| {
            Digest::from_message(function, message).map_err(|error| StoreError::Remote {
                doing: doing.to_owned(),
                message: format!("its answer makes no sense: {error}"),
                exhausted: false,
            })
        };
        answer.missing_blob_digests.iter().map(digest).collect()
    }

    pub fn read_many(self: &Arc<Self>, digests: &[Digest]) -> Vec<Result<Bytes, StoreError>> {
        let distinct: HashSet<Digest> = digests.iter().copied().collect();
        let most = self.batch_bytes();
        let mut outcomes = Outcomes::new();
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for digest in distinct {
            if digest == Digest::empty(digest.function) {
                outcomes.insert(digest, Ok(Bytes::new()));
            } else if digest.size_bytes as usize + OVERHEAD <= most {
                small.push(digest);
            } else {
                large.push(digest);
            }
        }
        let groups = groups(small.iter(), |digest| digest.size_bytes as usize, most);
        let calls = groups.into_iter().map(|group| self.read_group(group));
        let answers = self.wait_for(futures_util::stream::iter(calls).buffered(AT_ONCE).collect::<Vec<_>>());
        match answers {
            Ok(answers) => outcomes.extend(answers.into_iter().flatten()),
            Err(status) => fail_all(&mut outcomes, &small, "read blobs", &status),
        }
        large.extend(too_large(&outcomes));
        for digest in large {
            outcomes.insert(digest, self.read_large(&digest));
        }
        digests.iter().map(|digest| outcome(&outcomes, digest)).collect()
    }

    async fn read_group(&self, mut pending: Vec<Digest>) -> Outcomes<Bytes> {
        let function = function_of(&pending);
        let mut outcomes = Outcomes::new();
        let mut backoff = Backoff::new(self.patience);
        loop {
            let message = BatchReadBlobsRequest {
                instance_name: self.instance_name.clone(),
                digests: pending.iter().map(Digest::to_message).collect(),
                acceptable_compressors: if self.limits.zstd {
                    vec![compressor::Value::Zstd as i32]
                } else {
                    vec![]
                },
                digest_function: function.to_wire(),
            };
            let answer =
                self.ask(message, |request| async { self.cas().batch_read_blobs(request).await }).await;
            let mut answered = match answer {
                Ok(answer) => by_digest(function, answer.responses, |response| response.digest.as_ref()),
                Err(status) if is_too_much(&status, &pending) => {
                    return self.in_parts(pending, |part| self.read_group(part)).await;
                }
                Err(status) => {
                    fail_all(&mut outcomes, &pending, "read blobs", &status);
                    return outcomes;
                }
            };
            let last = settle(&mut pending, &mut outcomes, "read a blob", |digest| {
                let response = answered.remove(digest).ok_or_else(left_out)?;
                of_status(response.status.as_ref())?;
                Ok(unpack(digest, response))
            });
            match last.and_then(|status| backoff.pause().map(|pause| (pause, status))) {
                Some((pause, _)) => tokio::time::sleep(pause).await,
                None => return outcomes,
            }
        }
    }

    pub fn write_many(&self, blobs: &[(Digest, Bytes)]) -> Vec<Result<(), StoreError>> {
        let most = self.batch_bytes();
        let mut outcomes = Outcomes::new();
        let mut small: HashMap<Digest, &Bytes> = HashMap::new();
        let mut large: HashMap<Digest, &Bytes> = HashMap::new();
        let actual: Vec<Digest> = blobs.iter().map(|(digest, bytes)| digest.function.digest(bytes)).collect();
        for ((digest, bytes), actual) in blobs.iter().zip(&actual) {
            if actual != digest {
                continue;
            }
            if bytes.is_empty() {
                outcomes.insert(*digest, Ok(()));
            } else if bytes.len() + OVERHEAD <= most {
                small.insert(*digest, bytes);
            } else {
                large.insert(*digest, bytes);
            }
        }
        let groups = groups(small.keys(), |digest| digest.size_bytes as usize, most);
        let calls = groups.into_iter().map(|group| self.write_group(group, &small));
        let answers = self.wait_for(futures_util::stream::iter(calls).buffered(AT_ONCE).collect::<Vec<_>>());
        match answers {
            Ok(answers) => outcomes.extend(answers.into_iter().flatten()),
            Err(status) => {
                fail_all(&mut outcomes, &small.keys().copied().collect::<Vec<_>>(), "take blobs", &status);
            }
        }
        large.extend(too_large(&outcomes).into_iter().filter_map(|digest| small.remove_entry(&digest)));
        for (digest, bytes) in large {
            outcomes.insert(digest, self.write_reopening(&digest, &mut || Ok(Box::new(&bytes[..]))));
        }
        let own = blobs.iter().zip(actual).map(|((digest, _), actual)| {
            if actual == *digest {
                outcome(&outcomes, digest)
            } else {
                Err(StoreError::Mismatch { expected: *digest, actual })
            }
        });
        own.collect()
    }

    async fn write_group(&self, mut pending: Vec<Digest>, blobs: &HashMap<Digest, &Bytes>) -> Outcomes<()> {
        let function = function_of(&pending);
        let mut outcomes = Outcomes::new();
        let mut backoff = Backoff::new(self.patience);
        loop {
            let message = BatchUpdateBlobsRequest {
                instance_name: self.instance_name.clone(),
                requests: pending.iter().map(|digest| self.pack(digest, blobs[digest])).collect(),
                digest_function: function.to_wire(),
            };
            let answer =
                self.ask(message, |request| async { self.cas().batch_update_blobs(request).await }).await;
            let mut answered = match answer {
                Ok(answer) => by_digest(function, answer.responses, |response| response.digest.as_ref()),
                Err(status) if is_too_much(&status, &pending) => {
                    return self.in_parts(pending, |part| self.write_group(part, blobs)).await;
                }
                Err(status) => {
                    fail_all(&mut outcomes, &pending, "take blobs", &status);
                    return outcomes;
                }
            };
            let last = settle(&mut pending, &mut outcomes, "take a blob", |digest| {
                let response = answered.remove(digest).ok_or_else(left_out)?;
                of_status(response.status.as_ref()).map(Ok)
            });
            match last.and_then(|status| backoff.pause().map(|pause| (pause, status))) {
                Some((pause, _)) => tokio::time::sleep(pause).await,
                None => return outcomes,
            }
        }
    }

    /// Does the same to both halves of a batch that was too much for a server that has named no limit, or not its own.
    /// What goes well is remembered.
    async fn in_parts<T, F>(&self, mut batch: Vec<Digest>, call: impl Fn(Vec<Digest>) -> F) -> Outcomes<T>
    where
        F: Future<Output = Outcomes<T>>,
    {
        if let [digest] = batch[..] {
            let error = StoreError::TooLarge { digest, what: "batch", limit: self.batch_bytes() as u64 };
            return Outcomes::from([(digest, Err(error))]);
        }
        let half = sum(&batch) / 2;
        let mut first_bytes = 0;
        let middle = batch.iter().position(|digest| {
            first_bytes += digest.size_bytes as usize + OVERHEAD;
            first_bytes > half
        });
        let rest = batch.split_off(middle.unwrap_or(0).clamp(1, batch.len() - 1));
        let mut outcomes = Outcomes::new();
        for part in [batch, rest] {
            let bytes = sum(&part);
            // One in the other: how deep that goes is bounded by the size of the first.
            let of_part = Box::pin(call(part)).await;
            if of_part.values().any(Result::is_ok) {
                self.learned_batch_bytes.fetch_min(bytes.max(half).max(NEVER_TOO_MUCH), Ordering::Relaxed);
            }
            outcomes.extend(of_part);
        }
        outcomes
    }

    fn pack(&self, digest: &Digest, bytes: &Bytes) -> batch_update_blobs_request::Request {
        let mut request = batch_update_blobs_request::Request {
            digest: Some(digest.to_message()),
            data: Vec::new(),
            compressor: compressor::Value::Identity as i32,
        };
        if self.limits.zstd_batch_update
            && digest.size_bytes >= COMPRESS_FROM
            && let Ok(packed) = zstd::bulk::compress(bytes, ZSTD_LEVEL)
            && packed.len() < bytes.len()
        {
            request.data = packed;
            request.compressor = compressor::Value::Zstd as i32;
        } else {
            request.data = bytes.to_vec();
        }
        request
    }
}

/// The bytes in an answer, if they are those of the digest.
fn unpack(digest: &Digest, response: batch_read_blobs_response::Response) -> Result<Bytes, StoreError> {
    let bytes = match compressor::Value::try_from(response.compressor) {
        Ok(compressor::Value::Identity) => response.data,
        Ok(compressor::Value::Zstd) => zstd::bulk::decompress(&response.data, digest.size_bytes as usize)
            .map_err(|error| {
                StoreError::Damaged(format!("what the server sent for {digest} is no zstd of it: {error}"))
            })?,
        _ => {
            let compressor = response.compressor;
            let problem = format!("the server sent {digest} with the compressor {compressor}, unasked");
            return Err(StoreError::Damaged(problem));
        }
    };
    let actual = digest.function.digest(&bytes);
    if actual == *digest { Ok(bytes.into()) } else { Err(wrong_bytes(digest, &actual)) }
}

/// Takes from `pending` what has its outcome, and says what some of the rest waits for. When that is not waited
/// for, the outcomes are what is known so far.
fn settle<T>(
    pending: &mut Vec<Digest>,
    outcomes: &mut Outcomes<T>,
    doing: &str,
    mut of: impl FnMut(&Digest) -> Result<Result<T, StoreError>, Status>,
) -> Option<Status> {
    let mut last = None;
    pending.retain(|digest| match of(digest) {
        Ok(outcome) => {
            outcomes.insert(*digest, outcome);
            false
        }
        Err(status) => {
            outcomes.insert(*digest, Err(refused(doing, digest, &status)));
            let again = may_pass(&status);
            if again {
                last = Some(status);
            }
            again
        }
    });
    last
}

fn fail_all<T>(outcomes: &mut Outcomes<T>, pending: &[Digest], doing: &str, status: &Status) {
    for digest in pending {
        let error = match status.code() {
            Code::ResourceExhausted => refused(doing, digest, status),
            // Not found is what a blob can be, but not a call.
            _ => failed(doing, status),
        };
        outcomes.insert(*digest, Err(error));
    }
}

/// Whether a server that refuses a batch like this may take a part of it.
fn is_too_much(status: &Status, batch: &[Digest]) -> bool {
    let about_size =
        matches!(status.code(), Code::InvalidArgument | Code::OutOfRange) || is_about_size(status);
    about_size && sum(batch) > NEVER_TOO_MUCH
}

fn sum(batch: &[Digest]) -> usize {
    batch.iter().map(|digest| digest.size_bytes as usize + OVERHEAD).sum()
}

/// Those that no batch has room for.
fn too_large<T>(outcomes: &Outcomes<T>) -> Vec<Digest> {
    let refused = |outcome: &Result<T, StoreError>| matches!(outcome, Err(StoreError::TooLarge { .. }));
    outcomes.iter().filter(|(_, outcome)| refused(outcome)).map(|(digest, _)| *digest).collect()
}

fn of_status(status: Option<&rpc::Status>) -> Result<(), Status> {
    match status {
        Some(status) if status.code != 0 => Err(Status::new(Code::from(status.code), status.message.clone())),
        _ => Ok(()),
    }
}

fn left_out() -> Status {
    Status::internal("the server's answer leaves this blob out")
}

fn by_digest<R>(
    function: DigestFunction,
    responses: Vec<R>,
    digest: impl Fn(&R) -> Option<&reapi::Digest>,
) -> HashMap<Digest, R> {
    let keyed = responses.into_iter().filter_map(|response| {
        let digest = Digest::from_field(function, digest(&response)).ok()?;
        Some((digest, response))
    });
    keyed.collect()
}

/// Digests of one function each, few and small enough for one call.
fn groups<'a>(
    digests: impl Iterator<Item = &'a Digest>,
    size: impl Fn(&Digest) -> usize,
    most_bytes: usize,
) -> Vec<Vec<Digest>> {
    let mut groups: Vec<Vec<Digest>> = Vec::new();
    let mut open: HashMap<DigestFunction, (Vec<Digest>, usize)> = HashMap::new();
    for digest in digests {
        let (group, bytes) = open.entry(digest.function).or_default();
        let more = size(digest) + OVERHEAD;
        if !group.is_empty() && (group.len() == MOST_DIGESTS || bytes.saturating_add(more) > most_bytes) {
            groups.push(std::mem::take(group));
            *bytes = 0;
        }
        group.push(*digest);
        *bytes = bytes.saturating_add(more);
    }
    groups.extend(open.into_values().map(|(group, _)| group).filter(|group| !group.is_empty()));
    groups
}

fn function_of(group: &[Digest]) -> DigestFunction {
    group.first().map_or_else(DigestFunction::default, |digest| digest.function)
}

/// What became of a digest that may have been asked for several times.
fn outcome<T: Clone>(outcomes: &Outcomes<T>, digest: &Digest) -> Result<T, StoreError> {
    match outcomes.get(digest) {
        Some(Ok(value)) => Ok(value.clone()),
        Some(Err(error)) => Err(error.again()),
        None => Err(StoreError::NotFound(*digest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_keep_to_their_limits() {
        let digests: Vec<Digest> = (0..1000_u32)
            .map(|number| {
                let function = DigestFunction::ALL[(number % 2) as usize];
                Digest { size_bytes: u64::from(number), ..function.digest(&number.to_le_bytes()) }
            })
            .collect();
        let groups = groups(digests.iter(), |digest| digest.size_bytes as usize, 5000);
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 1000);
        for group in groups {
            assert!(group.iter().all(|digest| digest.function == group[0].function));
            let bytes: u64 = group.iter().map(|digest| digest.size_bytes + OVERHEAD as u64).sum();
            assert!(bytes <= 5000);
        }
    }
}

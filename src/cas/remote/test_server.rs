//! A small server in memory that can be told to misbehave, for tests of its clients.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use crate::digest::{Digest, DigestFunction, parse_hash};
use crate::reapi::action_cache_server::{ActionCache, ActionCacheServer};
use crate::reapi::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use crate::reapi::bytestream::{
    QueryWriteStatusRequest, QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};
use crate::reapi::content_addressable_storage_server::{
    ContentAddressableStorage, ContentAddressableStorageServer,
};
use crate::reapi::{self, *};
use crate::remote::{RemoteChannel, in_process};

/// What the server has, what it was asked, and what it is to do wrong.
#[derive(Debug, Default)]
pub struct State {
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    pub results: BTreeMap<(String, String), ActionResult>,
    /// Names of calls, in order.
    pub calls: Vec<String>,
    /// Largest sum of blobs in a batch.
    pub largest_batch: usize,
    /// So many calls fail at once.
    pub unavailable: usize,
    /// So many blobs in batches fail although the call does not.
    pub unavailable_blobs: usize,
    /// Streams break after so many bytes, one entry for each stream.
    pub break_after: VecDeque<usize>,
    /// Uploads by resource name.
    pub uploads: BTreeMap<String, Vec<u8>>,
    /// A server that breaks an upload loses all of it.
    pub forgetful: bool,
    /// An upload is answered when this many bytes have come.
    pub answer_early: Option<usize>,
    /// The bytes of these are changed on their way out.
    pub corrupt: Vec<Digest>,
    /// What `GetTree` answers, whatever is asked for. It is not there if there is none.
    pub trees: Option<Vec<Directory>>,
    /// Nothing is answered.
    pub silent: bool,
    /// Batches of more are refused, though nothing says so before.
    pub most_batch: Option<usize>,
    /// Everything is refused with it.
    pub refusal: Option<Status>,
}

#[derive(Debug, Clone, Default)]
pub struct TestServer {
    pub state: Arc<Mutex<State>>,
}

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl TestServer {
    /// Listens on a port of its own.
    pub fn start(&self, runtime: &Runtime) -> RemoteChannel {
        let service = self.clone();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = Server::builder()
                .add_service(ContentAddressableStorageServer::new(service.clone()))
                .add_service(ActionCacheServer::new(service.clone()))
                .add_service(ByteStreamServer::new(service));
            tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
            let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
            in_process(endpoint.connect().await.unwrap())
        })
    }

    fn enter(&self, call: &str) -> Result<(), Status> {
        let mut state = self.state.lock();
        state.calls.push(call.to_owned());
        if let Some(status) = &state.refusal {
            return Err(status.clone());
        }
        if state.unavailable > 0 {
            state.unavailable -= 1;
            return Err(Status::unavailable("try again"));
        }
        Ok(())
    }

    fn check_batch(&self, bytes: usize) -> Result<(), Status> {
        match self.state.lock().most_batch {
            Some(most) if bytes > most => Err(Status::invalid_argument(format!("more than {most} bytes"))),
            _ => Ok(()),
        }
    }

    /// What a blob's bytes look like on their way out.
    fn outgoing(&self, digest: &Digest) -> Option<Vec<u8>> {
        let state = self.state.lock();
        let mut bytes = state.blobs.get(digest)?.clone();
        if state.corrupt.contains(digest) {
            bytes[0] ^= 1;
        }
        Some(bytes)
    }

    fn blob_outcome(&self) -> rpc::Status {
        let mut state = self.state.lock();
        if state.unavailable_blobs > 0 {
            state.unavailable_blobs -= 1;
            return rpc::Status { code: 14, message: "try this one again".into(), details: vec![] };
        }
        rpc::Status::default()
    }
}

/// The digest in a resource name, and whether its bytes are compressed.
fn parse(name: &str) -> (Digest, bool) {
    let parts: Vec<&str> = name.split('/').collect();
    let at = parts.iter().rposition(|part| *part == "blobs" || *part == "compressed-blobs").unwrap();
    let compressed = parts[at] == "compressed-blobs";
    let mut rest = &parts[at + 1 + usize::from(compressed)..];
    let mut function = DigestFunction::Sha256;
    if rest[0] == "blake3" {
        function = DigestFunction::Blake3;
        rest = &rest[1..];
    }
    (
        Digest { function, hash: parse_hash(rest[0]).unwrap(), size_bytes: rest[1].parse().unwrap() },
        compressed,
    )
}

fn decompressed_so_far(upload: &[u8]) -> usize {
    let mut bytes = Vec::new();
    // It breaks off, and that is an error.
    let _ = zstd::stream::read::Decoder::new(upload).unwrap().read_to_end(&mut bytes);
    bytes.len()
}

fn digest(function: i32, message: Option<&reapi::Digest>) -> Digest {
    Digest::from_field(DigestFunction::from_wire(function).unwrap(), message).unwrap()
}

#[tonic::async_trait]
impl ContentAddressableStorage for TestServer {
    async fn find_missing_blobs(
        &self,
        request: Request<FindMissingBlobsRequest>,
    ) -> Result<Response<FindMissingBlobsResponse>, Status> {
        self.enter("FindMissingBlobs")?;
        let silent = self.state.lock().silent;
        if silent {
            std::future::pending::<()>().await;
        }
        let request = request.into_inner();
        let state = self.state.lock();
        let missing = request
            .blob_digests
            .into_iter()
            .filter(|message| !state.blobs.contains_key(&digest(request.digest_function, Some(message))));
        Ok(Response::new(FindMissingBlobsResponse { missing_blob_digests: missing.collect() }))
    }

    async fn batch_update_blobs(
        &self,
        request: Request<BatchUpdateBlobsRequest>,
    ) -> Result<Response<BatchUpdateBlobsResponse>, Status> {
        self.enter("BatchUpdateBlobs")?;
        let request = request.into_inner();
        let sum = request.requests.iter().map(|blob| blob.data.len()).sum();
        self.check_batch(sum)?;
        let responses = request.requests.into_iter().map(|blob| {
            let digest = digest(request.digest_function, blob.digest.as_ref());
            let status = self.blob_outcome();
            if status.code == 0 {
                let bytes = if blob.compressor == compressor::Value::Zstd as i32 {
                    zstd::decode_all(&blob.data[..]).unwrap()
                } else {
                    blob.data
                };
                assert_eq!(digest.function.digest(&bytes), digest);
                self.state.lock().blobs.insert(digest, bytes);
            }
            batch_update_blobs_response::Response { digest: blob.digest, status: Some(status) }
        });
        let responses = responses.collect();
        let mut state = self.state.lock();
        state.largest_batch = state.largest_batch.max(sum);
        Ok(Response::new(BatchUpdateBlobsResponse { responses }))
    }

    async fn batch_read_blobs(
        &self,
        request: Request<BatchReadBlobsRequest>,
    ) -> Result<Response<BatchReadBlobsResponse>, Status> {
        self.enter("BatchReadBlobs")?;
        let request = request.into_inner();
        let zstd = compressor::Value::Zstd as i32;
        let compress = request.acceptable_compressors.contains(&zstd);
        let asked = request.digests.iter().map(|digest| digest.size_bytes);
        self.check_batch(usize::try_from(asked.sum::<i64>()).unwrap())?;
        let responses = request.digests.into_iter().map(|message| {
            let mut status = self.blob_outcome();
            let mut data = Vec::new();
            match self.outgoing(&digest(request.digest_function, Some(&message))) {
                Some(bytes) if status.code == 0 => data = bytes,
                Some(_) => {}
                None => status = rpc::Status { code: 5, message: "no such blob".into(), details: vec![] },
            }
            if compress {
                data = zstd::bulk::compress(&data, 1).unwrap();
            }
            batch_read_blobs_response::Response {
                digest: Some(message),
                data,
                compressor: if compress { zstd } else { 0 },
                status: Some(status),
            }
        });
        let responses: Vec<_> = responses.collect();
        let mut state = self.state.lock();
        let sum = responses.iter().map(|response| response.data.len()).sum();
        state.largest_batch = state.largest_batch.max(sum);
        Ok(Response::new(BatchReadBlobsResponse { responses }))
    }

    type GetTreeStream = Boxed<GetTreeResponse>;

    async fn get_tree(&self, _: Request<GetTreeRequest>) -> Result<Response<Self::GetTreeStream>, Status> {
        self.enter("GetTree")?;
        let trees = self.state.lock().trees.clone().ok_or_else(|| Status::unimplemented("not here"))?;
        let pages = trees.into_iter().map(|directory| {
            Ok(GetTreeResponse { directories: vec![directory], next_page_token: String::new() })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(pages.collect::<Vec<_>>()))))
    }

    async fn split_blob(&self, _: Request<SplitBlobRequest>) -> Result<Response<SplitBlobResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    type GetChunkMappingStream = Boxed<GetChunkMappingResponse>;

    async fn get_chunk_mapping(
        &self,
        _: Request<GetChunkMappingRequest>,
    ) -> Result<Response<Self::GetChunkMappingStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn splice_blob(
        &self,
        _: Request<SpliceBlobRequest>,
    ) -> Result<Response<SpliceBlobResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn register_chunk_mapping(
        &self,
        _: Request<Streaming<RegisterChunkMappingRequest>>,
    ) -> Result<Response<RegisterChunkMappingResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tonic::async_trait]
impl ByteStream for TestServer {
    type ReadStream = Boxed<ReadResponse>;

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let request = request.into_inner();
        self.enter(&format!("Read {} {}", request.resource_name, request.read_offset))?;
        let (digest, compressed) = parse(&request.resource_name);
        let bytes = self.outgoing(&digest).ok_or_else(|| Status::not_found("no such blob"))?;
        let mut bytes = bytes[usize::try_from(request.read_offset).unwrap()..].to_vec();
        if compressed {
            bytes = zstd::bulk::compress(&bytes, 1).unwrap();
        }
        let broken = self.state.lock().break_after.pop_front();
        let mut pieces: Vec<Result<ReadResponse, Status>> = bytes
            [..broken.unwrap_or(usize::MAX).min(bytes.len())]
            .chunks(100_000)
            .map(|piece| Ok(ReadResponse { data: piece.to_vec() }))
            .collect();
        if broken.is_some() {
            pieces.push(Err(Status::unavailable("going down")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(pieces))))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        self.enter("Write")?;
        let broken = self.state.lock().break_after.pop_front();
        let mut stream = request.into_inner();
        let mut name = String::new();
        let mut taken = 0;
        while let Some(message) = stream.next().await {
            let message = message?;
            if name.is_empty() {
                name = message.resource_name.clone();
                self.state.lock().calls.push(format!("Write {name} {}", message.write_offset));
            }
            let mut state = self.state.lock();
            let upload = state.uploads.entry(name.clone()).or_default();
            if usize::try_from(message.write_offset) != Ok(upload.len()) {
                return Err(Status::invalid_argument("this is not where the upload is"));
            }
            upload.extend(&message.data);
            taken += message.data.len();
            let (digest, compressed) = parse(&name);
            if message.finish_write {
                let committed_size = i64::try_from(upload.len()).unwrap();
                let sent = upload.clone();
                let bytes = if compressed { zstd::decode_all(&sent[..]).unwrap() } else { sent };
                if digest.function.digest(&bytes) != digest {
                    return Err(Status::invalid_argument("these are not its bytes"));
                }
                state.blobs.insert(digest, bytes);
                return Ok(Response::new(WriteResponse { committed_size }));
            }
            if broken.is_some_and(|after| taken >= after) {
                if state.forgetful {
                    state.uploads.clear();
                }
                return Err(Status::unavailable("going down"));
            }
            if state.answer_early.is_some_and(|after| taken >= after) {
                let whole = i64::try_from(digest.size_bytes).unwrap();
                let committed_size = if compressed { -1 } else { whole };
                return Ok(Response::new(WriteResponse { committed_size }));
            }
        }
        Err(Status::invalid_argument("it was not finished"))
    }

    async fn query_write_status(
        &self,
        request: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        self.enter("QueryWriteStatus")?;
        let state = self.state.lock();
        let name = request.into_inner().resource_name;
        let upload = state.uploads.get(&name).ok_or_else(|| Status::not_found("no such upload"))?;
        // What servers decompress as it comes, they count in bytes of the blob.
        let committed_size = if parse(&name).1 { decompressed_so_far(upload) } else { upload.len() };
        let committed_size = i64::try_from(committed_size).unwrap();
        Ok(Response::new(QueryWriteStatusResponse { committed_size, complete: false }))
    }
}

#[tonic::async_trait]
impl ActionCache for TestServer {
    async fn get_action_result(
        &self,
        request: Request<GetActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        self.enter("GetActionResult")?;
        let request = request.into_inner();
        let key = (request.instance_name, request.action_digest.unwrap().hash);
        let found = self.state.lock().results.get(&key).cloned();
        found.map(Response::new).ok_or_else(|| Status::not_found("no such result"))
    }

    async fn update_action_result(
        &self,
        request: Request<UpdateActionResultRequest>,
    ) -> Result<Response<ActionResult>, Status> {
        self.enter("UpdateActionResult")?;
        let request = request.into_inner();
        let key = (request.instance_name, request.action_digest.unwrap().hash);
        let result = request.action_result.unwrap();
        self.state.lock().results.insert(key, result.clone());
        Ok(Response::new(result))
    }
}

//! A server with the storage services, and clients of it.

use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use crosswheel::cas::{BlobStore, CompleteActionCache, DiskStore, StoreSettings};
use crosswheel::digest::{Digest, DigestFunction};
use crosswheel::reapi::action_cache_client::ActionCacheClient;
use crosswheel::reapi::bytestream::byte_stream_client::ByteStreamClient;
use crosswheel::reapi::capabilities_client::CapabilitiesClient;
use crosswheel::reapi::content_addressable_storage_client::ContentAddressableStorageClient;
use crosswheel::server::{
    ActionCacheService, ByteStreamService, CONNECTION_WINDOW, CapabilitiesService, CapabilitiesSettings,
    ContentAddressableStorageService, MAX_FRAME_BYTES, RefuseMalformed, STREAM_WINDOW, StorageSettings,
    WireService as _,
};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint as ClientEndpoint, Server};
use tonic::{Request, Status};

use crate::support::waiting::{DEADLINE, within};

/// A server that runs until this is dropped.
pub struct Endpoint {
    pub store: Arc<DiskStore>,
    pub channel: Channel,
    address: String,
    server: tokio::task::JoinHandle<()>,
    directory: tempfile::TempDir,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Endpoint {
    pub async fn start() -> Self {
        Self::start_with(StorageSettings { update_action_results: true, ..StorageSettings::default() }).await
    }

    pub async fn start_with(settings: StorageSettings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = StoreSettings { directory: directory.path().to_owned(), ..StoreSettings::default() };
        let store = Arc::new(DiskStore::open(&store).unwrap());
        let blobs: Arc<dyn BlobStore> = Arc::clone(&store) as Arc<dyn BlobStore>;
        let results = Arc::new(CompleteActionCache::new(Arc::clone(&store)));
        let capabilities = CapabilitiesSettings {
            execution: false,
            priorities: -1000..=1000,
            node_properties: Vec::new(),
            update_action_results: settings.update_action_results,
            max_blob_bytes: settings.max_blob_bytes,
            max_batch_bytes: settings.max_batch_bytes,
            absolute_symlinks: false,
        };
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap().with_nodelay(Some(true));
        let address = format!("http://{}", incoming.local_addr().unwrap());
        let router = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME_BYTES)
            .layer(RefuseMalformed)
            .add_service(CapabilitiesService::new(&capabilities).served())
            .add_service(ContentAddressableStorageService::new(Arc::clone(&blobs), &settings).served())
            .add_service(ByteStreamService::new(Arc::clone(&store), &settings).served())
            .add_service(ActionCacheService::new(results, blobs, &settings).served());
        let server = tokio::spawn(async move { router.serve_with_incoming(incoming).await.unwrap() });
        let channel = connect(&address).await;
        Self { store, channel, address, server, directory }
    }

    /// A connection of its own.
    pub async fn another_channel(&self) -> Channel {
        connect(&self.address).await
    }

    pub fn cas(&self) -> ContentAddressableStorageClient<Channel> {
        ContentAddressableStorageClient::new(self.channel.clone()).max_decoding_message_size(usize::MAX)
    }

    pub fn byte_stream(&self) -> ByteStreamClient<Channel> {
        ByteStreamClient::new(self.channel.clone())
    }

    pub fn action_cache(&self) -> ActionCacheClient<Channel> {
        ActionCacheClient::new(self.channel.clone())
    }

    pub fn capabilities(&self) -> CapabilitiesClient<Channel> {
        CapabilitiesClient::new(self.channel.clone())
    }

    /// Puts a blob into the store directly.
    pub fn put(&self, bytes: &[u8]) -> Digest {
        let digest = DigestFunction::Sha256.digest(bytes);
        self.store.write(&digest, Bytes::copy_from_slice(bytes)).unwrap();
        digest
    }

    /// Whether a blob is in the store.
    pub fn has(&self, digest: &Digest) -> bool {
        self.store.find_missing(&[*digest]).unwrap().is_empty()
    }

    /// Calls a method with any bytes for a request.
    pub async fn call_with_bytes(&self, method: &'static str, request: &[u8]) -> Result<Bytes, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static(method);
        let request = Request::new(Bytes::copy_from_slice(request));
        client.unary(request, path, BytesCodec).await.map(tonic::Response::into_inner)
    }

    /// Files of uploads that are not complete.
    pub fn unfinished_files(&self) -> usize {
        files_below(&self.directory.path().join("tmp"))
    }
}

fn files_below(directory: &Path) -> usize {
    let entries = fs_err::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

async fn connect(address: &str) -> Channel {
    let endpoint = ClientEndpoint::new(address.to_owned()).unwrap().tcp_nodelay(true).timeout(DEADLINE);
    let connecting = endpoint.initial_stream_window_size(4 << 20);
    within("a connection", connecting.connect()).await.unwrap()
}

/// Bytes that do not compress and do not repeat.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Messages are bytes, whatever they should be.
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}
